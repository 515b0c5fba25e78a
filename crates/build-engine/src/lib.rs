//! Runs an image template on this machine: base, layers, customizers, disk, boot.

pub mod boot;
pub mod disk;
pub mod event;
pub mod tools;
