//! The commands, one file each.

pub mod build;
pub mod cache;
pub mod cancel;
pub mod check;
pub mod clean;
pub mod completions;
pub mod deploy;
pub mod diagnose;
pub mod doctor;
pub mod explain;
pub mod init;
pub mod logs;
pub mod man;
pub mod prove;
pub mod reference;
pub mod render;
pub mod serve;
pub mod snapshot;
pub mod status;
pub mod try_image;
