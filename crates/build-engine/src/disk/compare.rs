//! Compares the root file system of a finished disk with the tree it was written from: when they are the same, what
//! is true of the tree (validators run on it) is true of what will boot, and nothing has to be copied out.
//!
//! What reads the disk ([`super::ext4`]) is not what wrote it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fs::FileType;

use super::ext4::{self, Buffers, Image};
use super::listing::Node;
use super::{DiskError, joined};

/// Checks that the root partition of `vhd` holds the tree at `root`: every name and no other, with type, permissions,
/// owner, content, target, file capabilities, and which names are one file. Returns how many names that are.
///
/// # Errors
/// [`DiskError`] naming the first difference, or when either cannot be read.
pub fn compare(vhd: &Path, root: &Path) -> Result<u64, DiskError> {
    let disk = Image::open(vhd)?;
    let (nodes, names) = both(|| disk.nodes(), || names(root));
    let nodes = nodes?;
    let differs = |path: &Path, what: &str| disk.unsound(path, what);
    let listed: HashSet<_> = nodes.iter().map(|node| node.path.as_path()).collect();
    if let Some(path) = names?.iter().find(|path| !listed.contains(path.as_path())) {
        return Err(differs(path, "is missing"));
    }
    let same_inodes = || -> Result<(), DiskError> {
        let mut files = HashMap::new();
        for node in &nodes {
            let path = root.join(&node.path);
            let meta = fs::symlink_metadata(&path).map_err(DiskError::io("look at", &path))?;
            let file = (meta.dev(), meta.ino());
            if node.file_type() != FileType::Directory && *files.entry(node.inode).or_insert(file) != file {
                return Err(differs(&node.path, "is another file"));
            }
            if (meta.mode(), meta.uid(), meta.gid()) != (node.mode, node.uid, node.gid) {
                return Err(differs(&node.path, "has another type, owner or permissions"));
            }
        }
        Ok(())
    };
    let (details, same) = both(|| disk.details(&nodes), same_inodes);
    same?;
    let details = details?;
    in_parallel(&nodes, |node, buffers| {
        let path = root.join(&node.path);
        match disk.same_content(node, &path, &details, buffers) {
            Ok(true) => Ok(()),
            Ok(false) => Err(differs(&node.path, "has another content")),
            Err(error) => Err(DiskError::io("compare", &path)(error)),
        }
    })?;
    Ok(nodes.len() as u64)
}

/// Every name in a tree, relative to its top.
pub(super) fn names(root: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let (mut out, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let full = root.join(&folder);
        for entry in fs::read_dir(&full).map_err(DiskError::io("list", &full))? {
            let entry = entry.map_err(DiskError::io("list", &full))?;
            let path = folder.join(entry.file_name());
            if entry.file_type().map_err(DiskError::io("look at", &full))?.is_dir() {
                folders.push(path.clone());
            }
            out.push(path);
        }
    }
    Ok(out)
}

fn in_parallel(
    nodes: &[Node],
    check: impl Fn(&Node, &mut Buffers) -> Result<(), DiskError> + Sync,
) -> Result<(), DiskError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffers = ext4::buffers();
        while let Some(node) = nodes.get(next.fetch_add(1, Ordering::Relaxed)) {
            check(node, &mut buffers)?;
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(joined).collect::<Vec<_>>().into_iter().collect()
    })
}

/// The results of two functions that run at the same time.
fn both<A, B: Send>(here: impl FnOnce() -> A, beside: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let beside = scope.spawn(beside);
        (here(), joined(beside))
    })
}
