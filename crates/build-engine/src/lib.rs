//! Runs an image template on this machine: base, layers, customizers, disk, boot.

pub mod boot;
pub mod disk;
pub mod generalise;
pub mod rooted;
pub mod sbom;
pub mod tools;
