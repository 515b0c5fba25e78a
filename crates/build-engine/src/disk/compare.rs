//! Compares the root file system of a finished disk with the tree it was written from: when they are the same, what
//! is true of the tree (validators run on it) is true of what will boot, and nothing has to be copied out.
//!
//! What reads the disk ([`super::ext4`]) is not what wrote it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fs::FileType;

use super::base_image::BaseImage;
use super::ext4::{self, Buffers, Details, Image};
use super::inodes::Inodes;
use super::listing::Node;
use super::plan::ROOT_OFFSET;
use super::{DiskError, inspect, joined};
use crate::tools::{self, Tool};

/// What a disk was derived from, and so need not be compared byte by byte.
#[derive(Debug)]
pub(super) struct Derivation<'a> {
    pub(super) image: &'a BaseImage,
    pub(super) base: &'a Path,
    /// Compare every byte all the same.
    pub(super) wholly: bool,
}

/// Checks that the root partition of `vhd` holds the tree at `root`: every name and no other, with type, permissions,
/// owner, content, target, file capabilities, and which names are one file. Returns how many names that are.
///
/// # Errors
/// [`DiskError`] naming the first difference, or when either cannot be read.
pub fn compare(vhd: &Path, root: &Path) -> Result<u64, DiskError> {
    Ok(compare_at(vhd, inspect(vhd)?.root.offset, root)?.0.len() as u64)
}

/// The same for the file system that begins `offset` bytes into the file; returns what it holds.
pub(super) fn compare_at(file: &Path, offset: u64, root: &Path) -> Result<(Vec<Node>, Details), DiskError> {
    let disk = Image::at(file, offset)?;
    let (nodes, names) = both(|| disk.nodes(), || names(root));
    let nodes = nodes?;
    same_names(&disk, &nodes, &names?)?;
    let (details, same) =
        both(|| disk.details(&nodes), || same_inodes(&disk, &nodes, root, |_, _| Ok(false)));
    same?;
    let details = details?;
    same_contents(&disk, &nodes, root, &details)?;
    Ok((nodes, details))
}

/// What is left to be compared of a derived disk.
#[derive(Debug)]
pub(super) struct Unsettled {
    disk: Image,
    nodes: Vec<Node>,
}

impl Derivation<'_> {
    /// Checks everything but contents that [`compare`] does, times, and what `e2fsck` checks. Contents need not be
    /// there yet. Unsettled is then what has not the very inode of the base's file system, or is not the very file of
    /// the base: all else was compared with the base when that file system was made.
    pub(super) fn check(&self, vhd: &Path, root: &Path) -> Result<Unsettled, DiskError> {
        let disk = Image::open(vhd)?;
        let (sound, (nodes, names)) = both(|| is_sound(vhd), || both(|| disk.nodes(), || names(root)));
        sound?;
        let nodes = nodes?;
        same_names(&disk, &nodes, &names?)?;
        let open = |path: &Path| File::open(path).map_err(DiskError::io("open", path));
        let inodes = Inodes::open(open(vhd)?, ROOT_OFFSET, vhd)?;
        let before = Inodes::open(open(&self.image.file)?, 0, &self.image.file)?;
        let nodes = same_inodes(&disk, &nodes, root, |node, meta| {
            let inode = inodes.read(node.inode)?;
            // mke2fs of today writes these 32 bits.
            if u64::from(inode.modified()) != meta.mtime().cast_unsigned() & u64::from(u32::MAX) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it has another time on the disk"));
            }
            Ok(!self.wholly
                && self.image.names.get(&node.path).is_some_and(|place| place.inode == node.inode)
                && inode.is_whole()
                && inode.same_as(before.read(node.inode)?)
                && is_same_file(meta, &self.base.join(&node.path))?)
        })?;
        Ok(Unsettled { disk, nodes })
    }
}

impl Unsettled {
    /// Compares contents with those of the tree.
    pub(super) fn compare(&self, root: &Path) -> Result<(), DiskError> {
        same_contents(&self.disk, &self.nodes, root, &self.disk.details(&self.nodes)?)
    }
}

/// Whether `e2fsck` finds nothing to mend.
fn is_sound(vhd: &Path) -> Result<(), DiskError> {
    let mut address = vhd.as_os_str().to_owned();
    address.push(format!("?offset={ROOT_OFFSET}"));
    tools::run(Tool::E2fsck.command()?.arg("-fn").arg(address))?;
    Ok(())
}

/// Whether the base has that very file: nobody can set the time at which an inode was last changed.
fn is_same_file(meta: &Metadata, base: &Path) -> io::Result<bool> {
    let known = |meta: &Metadata| {
        (meta.mode(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec())
    };
    match fs::symlink_metadata(base) {
        Ok(other) => Ok(known(meta) == known(&other)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// No other names: every name of the disk is looked for in the tree later.
fn same_names(disk: &Image, nodes: &[Node], names: &[PathBuf]) -> Result<(), DiskError> {
    let listed: HashSet<_> = nodes.iter().map(|node| node.path.as_path()).collect();
    match names.iter().find(|path| !listed.contains(path.as_path())) {
        Some(path) => Err(disk.unsound(path, "is missing")),
        None => Ok(()),
    }
}

/// Compares what the listing tells. Returns the names for which `settled` does not say that they need no more.
fn same_inodes(
    disk: &Image,
    nodes: &[Node],
    root: &Path,
    settled: impl Fn(&Node, &Metadata) -> io::Result<bool>,
) -> Result<Vec<Node>, DiskError> {
    let (mut files, mut rest) = (HashMap::new(), Vec::new());
    for node in nodes {
        let path = root.join(&node.path);
        let meta = fs::symlink_metadata(&path).map_err(DiskError::io("look at", &path))?;
        let file = (meta.dev(), meta.ino());
        if node.file_type() != FileType::Directory && *files.entry(node.inode).or_insert(file) != file {
            return Err(disk.unsound(&node.path, "is another file"));
        }
        if (meta.mode(), meta.uid(), meta.gid()) != (node.mode, node.uid, node.gid) {
            return Err(disk.unsound(&node.path, "has another type, owner or permissions"));
        }
        if !settled(node, &meta).map_err(DiskError::io("compare", &path))? {
            rest.push(node.clone());
        }
    }
    Ok(rest)
}

fn same_contents(disk: &Image, nodes: &[Node], root: &Path, details: &Details) -> Result<(), DiskError> {
    in_parallel(nodes, |node, buffers| {
        let path = root.join(&node.path);
        match disk.same_content(node, &path, details, buffers) {
            Ok(true) => Ok(()),
            Ok(false) => Err(disk.unsound(&node.path, "has another content")),
            Err(error) => Err(DiskError::io("compare", &path)(error)),
        }
    })
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
pub(super) fn both<A, B: Send>(here: impl FnOnce() -> A, beside: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let beside = scope.spawn(beside);
        (here(), joined(beside))
    })
}
