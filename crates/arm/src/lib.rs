//! Azure Resource Manager: resource ids, and the inventory of resources that documents describe.
//!
//! An [`Environment`] names documents: exported resources, the output of `az`, ARM templates, Terraform plans. All of
//! them together make one [`Inventory`], whatever their order. Every value of it knows the place it was read from,
//! and a value that no document tells is unknown and says why; nothing is guessed.

mod environment;
mod inventory;
mod read;
mod resource_id;
mod template;

pub use environment::{Environment, Named, Source, SourceKind};
pub use inventory::{Inventory, Resource, added_at_run_time, field, is_absent, label};
pub use resource_id::{ParseError, ResourceId};
pub use template::{Deployment, Plan, Planned, function_reference};
