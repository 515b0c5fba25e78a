//! The root file system of a disk: found by its partition table, read by `debugfs`, not mounted.
//!
//! Kept are names, types, owners, permissions, times, file capabilities, hard links and holes; not kept are other
//! extended attributes (access control lists, `user.*`, labels) and file flags (`chattr`).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::UnpackError;
use super::kind::Format;
use super::tree::{Meta, NewFile, Tree};
use crate::disk::ext4::{CAPABILITY, Details, Image, TOP};
use crate::disk::gpt::{EXTENDED_BOOT, Gpt, Header, LINUX_DATA, Partition, ROOT_X86_64};
use crate::disk::listing::Node;
use crate::tools::{self, Tool, ToolError};

#[cfg(test)]
mod tests;

type Result<T> = std::result::Result<T, UnpackError>;

const CHUNK: usize = 1 << 20;
/// Features of ext4: the file system has a journal that was not written back, and is one itself.
const NEEDS_RECOVERY: u32 = 0x4;
const IS_JOURNAL: u32 = 0x8;
/// Flags of inodes.
const FIXED: u32 = 0x10 | 0x20;
const ENCRYPTED: u32 = 0x800;
const HAS_EXTENTS: u32 = 0x8_0000;
const DATA_INLINE: u32 = 0x1000_0000;

/// Makes a raw disk of `file` in the folder `scratch` and returns where.
pub(super) fn convert(file: &Path, format: Format, scratch: &Path) -> Result<PathBuf> {
    let raw = scratch.join("disk.raw");
    let mut command = Tool::QemuImg.command()?;
    command.args(["convert", "-O", "raw", "-f", format.name()]).arg(file).arg(&raw);
    match tools::run(&mut command) {
        Ok(_) => Ok(raw),
        Err(ToolError::Failed { tail, .. }) if !tail.contains("No space left") => {
            Err(UnpackError::refused(format!("it cannot be converted: {tail}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Copies the root file system of a raw disk, and a separate `/boot`, into `tree`; or the file system that fills the disk.
pub(super) fn unpack(disk: &Path, tree: &mut Tree) -> Result<()> {
    let file = File::open(disk)?;
    if is_file_system(&file)? {
        return copy(disk, &file, 0, Path::new(""), tree);
    }
    let gpt = table(&file)?;
    let mut copy_partition = |partition: &Partition, below: &str| {
        copy(disk, &file, partition.offset, Path::new(below), tree)
            .map_err(|error| error.at(&format!("partition {}", partition.number)))
    };
    copy_partition(root_of(&gpt, &file)?, "")?;
    let boot = gpt.partitions.iter().find(|partition| partition.kind == EXTENDED_BOOT);
    boot.map_or(Ok(()), |boot| copy_partition(boot, "boot"))
}

fn table(file: &File) -> Result<Gpt> {
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, Header::AT)?;
    let wrong = |error: &dyn std::fmt::Display| UnpackError::refused(error.to_string());
    let header = Header::decode(&sector).map_err(|error| wrong(&error))?;
    let mut entries = vec![0; header.table_bytes];
    file.read_exact_at(&mut entries, header.table_at)
        .map_err(|_| UnpackError::refused("the partition table's entries are beyond the disk"))?;
    header.table(&entries, file.metadata()?.len()).map_err(|error| wrong(&error))
}

/// The root by its type, else the only partition with Linux data, where nothing else may be it.
fn root_of<'t>(gpt: &'t Gpt, file: &File) -> Result<&'t Partition> {
    let of = |kind| gpt.partitions.iter().filter(move |partition| partition.kind == kind);
    let typed: Vec<_> = of(ROOT_X86_64).collect();
    if let [only] = typed[..] {
        return Ok(only);
    }
    let candidates: Vec<_> = if typed.is_empty() { of(LINUX_DATA).collect() } else { typed };
    let mut unread = Vec::new();
    for partition in gpt.partitions.iter().filter(|partition| partition.kind != EXTENDED_BOOT) {
        if let Some(what) = unread_at(file, partition.offset)? {
            unread.push(format!("partition {} holds {what}", partition.number));
        }
    }
    match (&candidates[..], &unread[..]) {
        ([only], []) => Ok(only),
        (_, [_, ..]) => Err(only_ext4(&unread.join(", "))),
        ([], []) => Err(UnpackError::refused("it has no partition for Linux").hint(AS_ARCHIVE)),
        (several, []) => {
            let numbers = several.iter().map(|partition| partition.number.to_string());
            let numbers = numbers.collect::<Vec<_>>().join(", ");
            Err(UnpackError::refused(format!("each of the partitions {numbers} may be its root")).hint(format!(
                "say which on a copy, by their types (`sfdisk --part-type DISK NUMBER TYPE`): {ROOT_X86_64:X} is the root, \
                 {EXTENDED_BOOT:X} a separate /boot; or {AS_ARCHIVE}"
            )))
        }
    }
}

const AS_ARCHIVE: &str = "give a tar archive of the root file system";

/// File systems and the like that are not read: where and what their mark is.
const UNREAD: [(u64, &[u8], &str); 5] = [
    (0, b"XFSB", "an XFS file system"),
    (0x1_0040, b"_BHRfS_M", "a Btrfs file system"),
    (512, b"LABELONE", "an LVM volume"),
    (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)"),
    (0, b"hsqs", "a squashfs file system"),
];
const EXT4: (u64, &[u8]) = (1080, b"\x53\xef");

/// Whether a disk has a file system in place of a partition table.
pub(super) fn is_file_system(disk: &File) -> io::Result<bool> {
    Ok(!has(disk, Header::AT, b"EFI PART")? && (has(disk, EXT4.0, EXT4.1)? || unread_at(disk, 0)?.is_some()))
}

/// What of those that are not read begins at a place.
fn unread_at(disk: &File, offset: u64) -> io::Result<Option<&'static str>> {
    for (at, mark, what) in UNREAD {
        if has(disk, offset + at, mark)? {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

fn has(disk: &File, at: u64, mark: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; mark.len()];
    match disk.read_exact_at(&mut found, at) {
        Ok(()) => Ok(found == mark),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn only_ext4(found: &str) -> UnpackError {
    UnpackError::refused(format!("{found}; only ext4 is read")).hint(AS_ARCHIVE)
}

fn copy(disk: &Path, file: &File, offset: u64, below: &Path, tree: &mut Tree) -> Result<()> {
    if let Some(what) = unread_at(file, offset)? {
        return Err(only_ext4(&format!("it holds {what}")));
    }
    let ext4 = Image::at(disk, offset)?;
    if ext4.features & NEEDS_RECOVERY != 0 {
        return Err(UnpackError::refused(
            "its file system was not unmounted: its journal is not written back",
        )
        .hint("shut the machine down before its disk is taken, or let e2fsck mend it"));
    }
    if ext4.features & IS_JOURNAL != 0 {
        return Err(UnpackError::refused("it holds the journal of another file system"));
    }
    let nodes = ext4.nodes()?;
    let (details, inodes) = (ext4.details(&nodes)?, ext4.inodes(&nodes)?);
    let top = Node { path: PathBuf::new(), inode: TOP, mode: 0, uid: 0, gid: 0, bytes: 0 };
    let mut copying = Copying { ext4, details, inodes, tree, first: HashMap::new(), buffer: vec![0; CHUNK] };
    copying.top(&top, below)?;
    for node in &nodes {
        let path = below.join(&node.path);
        copying.one(node, &path).map_err(|error| error.at(&format!("/{}", path.display())))?;
    }
    Ok(())
}

struct Copying<'t> {
    ext4: Image,
    details: Details,
    /// Inodes as they are on the disk.
    inodes: HashMap<u32, Vec<u8>>,
    tree: &'t mut Tree,
    /// Where the first name of an inode is.
    first: HashMap<u32, PathBuf>,
    buffer: Vec<u8>,
}

impl Copying<'_> {
    fn top(&mut self, top: &Node, below: &Path) -> Result<()> {
        let inode = self.inode(top)?;
        let meta = Meta {
            mode: u32::from(inode.half(0)),
            uid: u32::from(inode.half(2)),
            gid: u32::from(inode.half(24)),
            ..inode.meta(top)
        };
        self.tree.folder(below, &meta)
    }

    fn inode(&self, node: &Node) -> Result<Inode> {
        let bytes = self.inodes.get(&node.inode).filter(|bytes| bytes.len() >= Inode::LENGTH);
        bytes
            .map(|bytes| Inode(bytes.clone()))
            .ok_or_else(|| UnpackError::refused("its inode cannot be read"))
    }

    fn one(&mut self, node: &Node, path: &Path) -> Result<()> {
        let inode = self.inode(node)?;
        let mut meta = inode.meta(node);
        if inode.flags() & FIXED != 0 {
            self.tree.note("file flags (chattr)");
        }
        let kind = node.file_type();
        if kind != FileType::Directory {
            if let Some(first) = self.first.get(&node.inode) {
                return self.tree.another_name(path, first);
            }
            self.first.insert(node.inode, path.to_path_buf());
        }
        match kind {
            FileType::Directory => self.tree.folder(path, &meta),
            FileType::RegularFile => {
                inode.check_data(node)?;
                let capability = self.details.capabilities.get(&node.inode);
                meta.attributes.extend(capability.map(|value| (CAPABILITY.into(), value.clone())));
                self.file(node, path, &meta)
            }
            FileType::Symlink => {
                inode.check_data(node)?;
                let target = self.ext4.link_target(node, &self.details)?;
                self.tree.link(path, OsStr::from_bytes(&target), &meta)
            }
            FileType::CharacterDevice | FileType::BlockDevice => self.tree.device(path),
            FileType::Fifo | FileType::Socket => self.tree.pipe(path),
            FileType::Unknown => Err(UnpackError::refused("an entry of an unknown type")),
        }
    }

    fn file(&mut self, node: &Node, path: &Path, meta: &Meta) -> Result<()> {
        let mut file = self.tree.file(path)?;
        file.claim(node.bytes)?;
        let extents = self.details.extents.get(&node.inode).map(Vec::as_slice).unwrap_or_default();
        let (block, mut end) = (self.ext4.block, 0);
        for extent in extents {
            let start = extent.logical.checked_mul(block).filter(|start| *start >= end);
            let stop = extent.blocks.checked_mul(block).and_then(|bytes| start?.checked_add(bytes));
            let (Some(start), Some(stop)) = (start, stop) else {
                return Err(UnpackError::refused("its pieces contradict each other"));
            };
            end = stop;
            if extent.written {
                let range = start..stop.min(node.bytes);
                copy_piece(&self.ext4, extent.physical, range, &mut self.buffer, &mut file)?;
            }
        }
        file.finish(node.bytes, meta)
    }
}

fn copy_piece(
    ext4: &Image,
    block: u64,
    range: std::ops::Range<u64>,
    buffer: &mut [u8],
    file: &mut NewFile<'_>,
) -> Result<()> {
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
        ext4.read_block(block, at - range.start, &mut buffer[..length]).map_err(|error| {
            match error.kind() {
                io::ErrorKind::UnexpectedEof => UnpackError::refused("its data are beyond the disk"),
                _ => error.into(),
            }
        })?;
        file.write_at(at, &buffer[..length])?;
        at += length as u64;
    }
    Ok(())
}

/// An inode as it is on the disk (kernel, "ext4 data structures: index nodes").
struct Inode(Vec<u8>);

impl Inode {
    const LENGTH: usize = 256;
    const CHANGED_AT: usize = 16;
    const FLAGS_AT: usize = 32;
    /// How much of the inode beyond the first 128 bytes is in use, and the finer part of the time in it.
    const MORE_AT: usize = 128;
    const CHANGED_MORE_AT: usize = 136;

    fn half(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn word(&self, at: usize) -> u32 {
        u32::from(self.half(at)) | u32::from(self.half(at + 2)) << 16
    }

    fn flags(&self) -> u32 {
        self.word(Self::FLAGS_AT)
    }

    fn meta(&self, node: &Node) -> Meta {
        let more = if self.half(Self::MORE_AT) >= 12 { self.word(Self::CHANGED_MORE_AT) } else { 0 };
        let seconds = i64::from(self.word(Self::CHANGED_AT).cast_signed()) + (i64::from(more & 3) << 32);
        let modified = (seconds, more >> 2);
        Meta { mode: node.mode, uid: node.uid, gid: node.gid, modified, attributes: Vec::new() }
    }

    /// Whether its data are where they are looked for.
    fn check_data(&self, node: &Node) -> Result<()> {
        let flags = self.flags();
        if flags & ENCRYPTED != 0 {
            return Err(UnpackError::refused("it is encrypted"));
        }
        let blocks = self.word(28);
        let short = node.file_type() == FileType::Symlink && node.bytes < 60;
        if flags & DATA_INLINE != 0 || !short && blocks != 0 && flags & HAS_EXTENTS == 0 {
            return Err(UnpackError::refused("its data are kept in a form that is not read (no extents)")
                .hint("give a tar archive of the root file system"));
        }
        Ok(())
    }
}
