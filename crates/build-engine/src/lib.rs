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
pub mod base;
mod build;
mod customize;
mod distribute;
pub mod egress;
mod finish;
pub mod manifest;
pub mod network;
mod packages;
pub mod request;
mod run;
mod step;
mod user;
mod validate;

pub use build::build;

/// Functions of the engine that run inside sandboxes: what the program's `main` hands to
/// `sandbox::enter_if_requested`.
pub const JOBS: &[sandbox::Job] = &[base::JOB, finish::JOB, packages::JOB, user::JOB];
