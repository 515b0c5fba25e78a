//! Runs an image template on this machine: base, layers, customizers, disk, boot.

pub mod base;
pub mod boot;
mod boot_arguments;
mod build;
pub mod cache;
pub mod cancel;
pub mod checkpoint;
mod customize;
mod differences;
pub mod digest;
pub mod disk;
mod distribute;
pub mod egress;
pub mod error;
pub mod event;
pub mod fetch;
mod finish;
pub mod generalise;
mod isolation;
pub mod limits;
mod lock;
pub mod log;
pub mod manifest;
pub mod network;
mod output;
mod output_lines;
mod packages;
pub mod probe;
mod read_ahead;
mod remove;
pub mod request;
pub mod rooted;
mod run;
pub mod sbom;
mod space;
mod step;
mod task;
pub mod timeline;
pub mod tools;
mod user;
mod validate;

pub use build::build;
pub use isolation::Isolation;

/// Functions of the engine that run inside sandboxes: what the program's `main` hands to
/// `sandbox::enter_if_requested`.
pub const JOBS: &[sandbox::Job] = &[
    base::BOOTSTRAP,
    base::UNPACK,
    finish::PREPARE,
    finish::WRITE,
    isolation::HOLD,
    isolation::MAKE,
    isolation::TAKE_BACK,
    packages::JOB,
    probe::JOB,
    remove::JOB,
    user::JOB,
];
