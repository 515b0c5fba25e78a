//! Who may do what, where: role definitions, role assignments and deny assignments, as Azure evaluates them
//! (role-based-access-control/overview and /deny-assignments of Azure's documentation).
//!
//! [`Access::read`] takes them from an inventory, [`Access::may`] answers. What a document leaves open, a condition,
//! or a group whose members nobody tells can leave an answer undecided; nothing of it ever grants.

mod action;
mod answer;
mod builtin;
mod read;
mod role;
mod scope;

pub use action::{Action, Pattern};
pub use answer::{Access, Answer};
pub use builtin::builtin_roles;
pub use role::{Assignment, Denial, Permission, Role, Told};
pub use scope::Scope;
