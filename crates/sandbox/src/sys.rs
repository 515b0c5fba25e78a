//! The only `unsafe` of the workspace.
#![allow(unsafe_code, reason = "this module is the one place for it")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes ownership of a descriptor that the kernel has just given to this process.
pub fn own(raw: RawFd) -> OwnedFd {
    // SAFETY: `raw` comes straight from a received SCM_RIGHTS message, so it is open and nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// Marks every descriptor above standard error close-on-exec, so that nothing the engine's own parent left open
/// reaches a command of the sandbox.
pub fn hide_inherited_descriptors() {
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC only sets a flag on open descriptors; it closes nothing and
    // touches no memory.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}
