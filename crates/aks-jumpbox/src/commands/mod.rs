//! The commands, one file each.

pub mod build;
pub mod cache;
pub mod check;
pub mod completions;
pub mod diagnose;
pub mod doctor;
pub mod explain;
pub mod init;
pub mod man;
pub mod prove;
pub mod reference;
pub mod render;
pub mod serve;
pub mod snapshot;
pub mod try_image;
