//! From a finished root file system to the fixed VHD that Azure takes, and compared with it for validation.
//!
//! The disk looks like Azure's Debian images: a GUID partition table, the root as partition 1 (ext4), the EFI system
//! partition as 15. No loop device is used and nothing is mounted: the root file system is written by `mke2fs -d`
//! straight into its place in a sparse file, or made there of the base's own (`derive`), the EFI system partition is
//! written by mtools, the rest by this module.
//!
//! The order is: [`DiskIds::random`], [`install_boot_files`] into the last layer, [`Plan::for_tree`], then [`write`];
//! a caller whose root is mounted in another namespace takes `write` apart into [`efi_files`], [`Writer::start`],
//! [`Writer::fill`] and [`Writer::finish`].

mod base_image;
mod boot_files;
mod compare;
mod content;
mod derive;
mod difference;
mod error;
mod esp;
pub(crate) mod ext4;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gpt;
mod inodes;
mod inspect;
pub(crate) mod listing;
mod plan;
mod take_back;
pub mod vhd;
mod write;

pub(crate) use base_image::kept_beside;
pub use boot_files::{BootFile, KERNEL_ARGUMENTS, boot_files, install_boot_files, newest_kernel};
pub use compare::compare;
pub use content::{content_sha256, full_sha256};
pub use difference::Origin;
pub use error::DiskError;
pub use esp::{EfiFile, efi_files};
pub use inspect::{Layout, inspect};
pub use plan::{DiskIds, DiskSpec, EFI_OFFSET, MAX_SIZE_GIB, Plan, ROOT_OFFSET, TreeSize};
pub use take_back::take_back;
pub use write::{Disk, Stage, Writer, write};

/// What a thread has come to; its panic goes on here.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
