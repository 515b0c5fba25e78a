//! The Azure Image Builder image template: model, strict parsing, validation, lints.
//!
//! [`ImageTemplate`] is the resource `Microsoft.VirtualMachineImages/imageTemplates` as plain values;
//! [`parse`] reads one from a file and says everything that is wrong with it; [`ImageTemplate::to_json`] writes
//! it back.

mod api_version;
mod bases;
mod lint;
mod model;
mod parse;
mod regions;
mod text;
mod to_json;

pub use api_version::ApiVersion;
pub use lint::{Finding, local_script as lint_local_script, script as lint_script};
pub use model::*;
pub use parse::{Parsed, parse};
pub use regions::{all as listed_regions, is_listed as is_listed_region, slug as region_slug};
pub use text::{Text, Unknown};

/// The type of the resource.
pub const RESOURCE_TYPE: &str = "Microsoft.VirtualMachineImages/imageTemplates";
