//! The Azure Image Builder image template: model, strict parsing, validation, lints.
//!
//! [`ImageTemplate`] is the resource `Microsoft.VirtualMachineImages/imageTemplates` as plain values.

mod api_version;
mod model;
mod text;
mod to_json;

pub use api_version::ApiVersion;
pub use model::*;
pub use text::{Text, Unknown};

/// The type of the resource.
pub const RESOURCE_TYPE: &str = "Microsoft.VirtualMachineImages/imageTemplates";
