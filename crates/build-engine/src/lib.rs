//! Runs an image template on this machine: base, layers, customizers, disk, boot.

pub mod boot;
pub mod cache;
pub mod cancel;
pub mod digest;
pub mod disk;
pub mod error;
pub mod event;
pub mod fetch;
pub mod generalise;
pub mod log;
pub mod rooted;
pub mod sbom;
pub mod tools;
