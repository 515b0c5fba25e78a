//! The commands, one file each.

pub mod cache;
pub mod completions;
pub mod doctor;
pub mod man;
pub mod reference;
