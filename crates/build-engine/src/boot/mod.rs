//! Boots a finished image under QEMU and runs its smoke tests over SSH.
//!
//! The image is opened read-only beneath a throw-away overlay, the guest has no way out but the forwarded SSH port,
//! and everything a boot makes (keys, seed, overlay, firmware variables) lives in one private folder that goes away
//! with the [`Machine`]. QEMU cannot outlive this process, however it ends. Waiting follows what the guest says on
//! its serial console: a slow machine may take its time, a silent one may not.

mod accelerator;
mod build_guest;
mod error;
mod firmware;
mod guest;
mod image;
mod machine;
mod overlay;
mod process;
mod qemu;
mod remote;
mod report;
mod rundir;
mod seed;
mod serial;
mod smoke;
mod ssh;
mod trial;

pub use accelerator::{Accelerator, Probe, probe};
pub(crate) use build_guest::{BuildGuest, Key, Order as BuildGuestOrder};
pub use error::BootError;
pub use firmware::{Firmware, NoFirmware};
pub use image::{DiskImage, ImageError};
pub use machine::{Identity, Machine, MachineSpec};
pub use remote::{ADMIN_ACCOUNT, Examined, NoAnswer, SECOND_MACHINE, examine, identity_of, judge_second};
pub use report::{Status, TestResult, TryReport};
pub use serial::{Reading, Stage, Trouble, read as read_serial};
pub use smoke::SmokeTest;
pub use ssh::Output;
pub use trial::{Event, Observer, TrySpec, boot, try_image};
