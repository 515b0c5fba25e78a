//! Folders and files of the host that a sandbox may use: detached mounts, made where the host's paths can be
//! walked, attached where they are needed.
//!
//! Root inside is nobody outside, so below a home folder that only its owner may enter it could not reach them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::mounts::tmpfs;
use crate::sys;

/// A mount of its own of what is at `path`, through the id map of `namespace` when there is one. No mount made
/// below it reaches the host.
pub fn open(path: &Path, namespace: Option<BorrowedFd<'_>>) -> Result<OwnedFd, String> {
    let fail = |error: std::io::Error| format!("failed to open {}: {error}", path.display());
    // Recursive, because what an ordinary user has mounted here must not show what another mount covers.
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags).map_err(|errno| fail(errno.into()))?;
    sys::make_own(tree.as_fd(), namespace).map_err(|error| match namespace {
        Some(_) => format!("{} cannot be seen with other ids: {error}", path.display()),
        None => fail(error),
    })?;
    Ok(tree)
}

/// Everything below `tree` is read-only from now on.
pub fn read_only(tree: &OwnedFd) -> Result<(), String> {
    sys::make_read_only(tree.as_fd()).map_err(|error| format!("failed to protect a mount: {error}"))
}

/// Attaches a tree at `target`, which is made when it is missing.
pub fn attach(tree: &OwnedFd, target: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("failed to make {} visible inside: {error}", target.display());
    let is_folder =
        rustix::fs::fstat(tree).map_err(|errno| fail(errno.into()))?.st_mode & libc::S_IFMT == libc::S_IFDIR;
    if is_folder {
        fs::create_dir_all(target).map_err(fail)?;
    } else if !target.exists() {
        fs::create_dir_all(target.parent().unwrap_or(target)).map_err(fail)?;
        File::create(target).map_err(fail)?;
    }
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|errno| fail(errno.into()))
}

/// Where host paths are while the sandbox's root is put together.
pub struct Places(HashMap<PathBuf, PathBuf>);

impl Places {
    /// Attaches the tree of each path below `folder`, on a file system of its own.
    pub fn attach(folder: &Path, paths: &[&Path], trees: &[OwnedFd]) -> Result<Self, String> {
        tmpfs(folder, "mode=0755")?;
        let place = |(number, (path, tree)): (usize, (&&Path, &OwnedFd))| {
            let target = folder.join(number.to_string());
            attach(tree, &target)?;
            Ok(((*path).to_path_buf(), target))
        };
        paths.iter().zip(trees).enumerate().map(place).collect::<Result<_, String>>().map(Self)
    }

    /// Where a host path is.
    pub fn of(&self, path: &Path) -> Result<&Path, String> {
        let place = self.0.get(path).map(PathBuf::as_path);
        place.ok_or_else(|| format!("{} was not opened for the sandbox", path.display()))
    }
}
