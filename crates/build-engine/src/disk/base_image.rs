//! The root file system of a base as `mke2fs` writes it, kept beside the base: [`super::derive`] makes disks of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use uuid::Uuid;

use super::compare::compare_at;
use super::{DiskError, Plan};
use crate::checkpoint::{Checkpoint, reached};
use crate::digest::KeyBuilder;
use crate::tools::{self, Tool};

/// Free space that is left to others.
const LEFT_FREE: u64 = 1 << 30;
const PREFIX: &str = "ext4-";
const IMAGE: &str = "root.ext4";
const NAMES: &str = "names";
/// Of a line of that file, up to a NUL.
const NAME_FORMAT: &[u8] = b"INODE FIRST+BLOCKS,... PATH";
/// Every disk gets an identity of its own.
const IDENTITY: Uuid = Uuid::from_u128(1);

/// A base's root file system at one size, compared with the base when it was made.
#[derive(Debug)]
pub(super) struct BaseImage {
    pub(super) file: PathBuf,
    pub(super) names: HashMap<PathBuf, Place>,
}

/// Where a name's file is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) inode: u32,
    /// Blocks of a file's content.
    pub(super) blocks: Vec<Range<u64>>,
}

/// The name of the folder, beside a base's tree, of what this host's `mke2fs` would write of that for a disk of the
/// plan's size.
pub(super) fn folder_name(plan: &Plan) -> Result<String, DiskError> {
    let version = tools::run(Tool::Mke2fs.command()?.arg("-V"))?.stderr;
    let mut key = KeyBuilder::new("base image").part("mke2fs", &version).part("names", NAME_FORMAT);
    for argument in plan.arguments(IDENTITY, 0, Path::new("tree"), Path::new("file")) {
        key = key.part("argument", argument.as_bytes());
    }
    Ok(format!("{PREFIX}{}", &key.finish()[..16]))
}

/// The newest file system that is kept of a base, at whatever size.
pub(crate) fn kept_beside(base: &Path) -> Option<PathBuf> {
    let beside = fs::read_dir(base.parent()?).ok()?.flatten();
    let kept = beside.filter(|entry| entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()));
    let newest = kept.max_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).ok())?;
    Some(newest.path().join(IMAGE))
}

impl BaseImage {
    /// The one in the folder, when there is one.
    pub(super) fn open(folder: &Path) -> Option<Self> {
        let names = fs::read(folder.join(NAMES)).ok()?;
        let names = names.split(|byte| *byte == 0).filter(|line| !line.is_empty()).map(read_name);
        Some(Self { file: folder.join(IMAGE), names: names.collect::<Option<_>>()? })
    }

    /// Writes the one of the tree `base` into an empty folder and compares it with the tree, name by name and byte by
    /// byte.
    pub(super) fn make(plan: &Plan, base: &Path, folder: &Path) -> Result<(), DiskError> {
        let image = folder.join(IMAGE);
        let file = File::create_new(&image).map_err(DiskError::io("write", &image))?;
        let stat = rustix::fs::fstatvfs(&file)
            .map_err(|errno| DiskError::io("ask for free space on", folder)(errno.into()))?;
        let (needed, available) = (plan.allocation() + LEFT_FREE, stat.f_bavail * stat.f_frsize);
        if available < needed {
            return Err(DiskError::NoSpace { folder: folder.to_owned(), needed, available });
        }
        file.set_len(plan.root_bytes()).map_err(DiskError::io("write", &image))?;
        tools::run(Tool::Mke2fs.command()?.args(plan.arguments(IDENTITY, 0, base, &image)))?;
        reached(Checkpoint::BaseImageWritten);
        let (nodes, details) = compare_at(&image, 0, base)?;
        let mut names = Vec::new();
        for node in &nodes {
            // What links lead to counts as part of the file system for `e2fsck`.
            let is_file = node.file_type() == FileType::RegularFile;
            let extents = details.extents.get(&node.inode).filter(|_| is_file);
            let extents = extents.map(Vec::as_slice).unwrap_or_default();
            let blocks = extents.iter().map(|extent| format!("{}+{}", extent.physical, extent.blocks));
            let blocks = blocks.collect::<Vec<_>>().join(",");
            names.extend(format!("{} {blocks} ", node.inode).into_bytes());
            names.extend(node.path.as_os_str().as_bytes());
            names.push(0);
        }
        let path = folder.join(NAMES);
        fs::write(&path, names).map_err(DiskError::io("write", &path))?;
        // Disks rely on it: it may not lose something with the machine's power.
        file.sync_all().map_err(DiskError::io("write", &image))
    }
}

/// See [`NAME_FORMAT`].
fn read_name(line: &[u8]) -> Option<(PathBuf, Place)> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let inode = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let ranges = std::str::from_utf8(words.next()?).ok()?.split(',').filter(|range| !range.is_empty());
    let range = |text: &str| {
        let (first, blocks) = text.split_once('+')?;
        let first: u64 = first.parse().ok()?;
        Some(first..first.checked_add(blocks.parse().ok()?)?)
    };
    let blocks = ranges.map(range).collect::<Option<_>>()?;
    Some((PathBuf::from(OsStr::from_bytes(words.next()?)), Place { inode, blocks }))
}
