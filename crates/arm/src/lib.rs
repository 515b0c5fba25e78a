//! Azure Resource Manager: resource ids.

mod resource_id;

pub use resource_id::{ParseError, ResourceId};
