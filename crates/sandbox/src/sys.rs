//! The only `unsafe` of the workspace.
#![allow(unsafe_code, reason = "this module is the one place for it")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::unistd::ForkResult;

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

/// Forks the outer process, which has no other thread.
pub fn fork() -> nix::Result<ForkResult> {
    // SAFETY: only the outer process calls this. It is our own binary, started again, that has not started a thread,
    // so no lock can be held by a thread that the child lacks.
    unsafe { nix::unistd::fork() }
}

/// Mounts made in a tree of mounts reach no other from now on; with a user namespace, owners in it are seen through
/// the id map of that.
pub fn make_own(tree: BorrowedFd<'_>, namespace: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut attributes = libc::mount_attr { propagation: libc::MS_PRIVATE, ..NOTHING };
    if let Some(namespace) = namespace {
        attributes.attr_set = libc::MOUNT_ATTR_IDMAP;
        attributes.userns_fd = u64::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
    }
    change(tree, attributes)
}

/// Nothing can be written through a tree of mounts.
pub fn make_read_only(tree: BorrowedFd<'_>) -> io::Result<()> {
    change(tree, libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, ..NOTHING })
}

const NOTHING: libc::mount_attr = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: 0, userns_fd: 0 };

fn change(tree: BorrowedFd<'_>, attributes: libc::mount_attr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: mount_setattr reads an empty, terminated path and `size_of` bytes of `attributes`, both of which
    // outlive the call, and writes to neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts a filter on every system call of this process and of those it starts. Without `no_new_privs`, under which
/// sudo could not work: the caller needs `CAP_SYS_ADMIN` in its user namespace instead (`seccomp(2)`).
pub fn filter_system_calls(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let description = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: `description` points to `len` instructions that outlive the call; the kernel checks and copies them.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const description) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
