//! The Azure Image Builder image template: model, strict parsing, validation, lints.
