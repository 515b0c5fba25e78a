//! Reads a template, as strictly as the service, and finds everything that is wrong with it at once.

mod context;
mod distribute;
mod envelope;
mod profile;
mod properties;
mod script;
mod source;
mod steps;

#[cfg(test)]
mod tests;

use document::{Diagnostic, SourceText};

use crate::ImageTemplate;

/// What reading a template gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The template; only there when there is no error.
    pub template: Option<ImageTemplate>,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether anything is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads an image template from JSON (comments are allowed).
///
/// The text is the resource itself, the file that `az image builder create --image-template` takes, or an ARM
/// template that holds one image template resource with literal values. Without an `apiVersion` the template
/// is read as the newest. Where a string holds a `<placeholder>` or an ARM expression its value is unknown:
/// that is a warning, and the rules for that value are skipped.
///
/// The rules are those of the service's specification and documentation; lints warn of what the service
/// accepts and what then fails, or hides a failure, in the build.
pub fn parse(source: &SourceText) -> Parsed {
    let document = document::parse_json(source);
    let mut diagnostics = document.diagnostics;
    let mut template = None;
    if let Some(value) = &document.value {
        let (read, found) = envelope::read(value);
        template = read;
        diagnostics.extend(found);
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    if diagnostics.iter().any(Diagnostic::is_error) {
        template = None;
    }
    Parsed { template, diagnostics }
}
