//! Inodes of a root file system as they stand on the disk, found and read by ourselves: neither the program that wrote
//! them nor the one that lists them is asked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::DiskError;
use super::plan::{BLOCK, INODE_BYTES};

/// Bytes of an inode, in memory.
pub(super) const IN_INODE: usize = INODE_BYTES as usize;
const SUPERBLOCK_AT: u64 = 1024;
/// Bytes of a group descriptor with the feature `64bit`.
const DESCRIPTOR: usize = 64;
/// Where an inode has the two halves of its checksum, which covers the file system's identity, too.
const CHECKSUM: [std::ops::Range<usize>; 2] = [0x7c..0x7e, 0x82..0x84];
const FLAG_INDEX: u32 = 0x1000;
const FLAG_EXTENTS: u32 = 0x8_0000;

/// The inodes of a file system that `mke2fs` made as [`Plan`](super::Plan) says.
#[derive(Debug)]
pub(super) struct Inodes {
    file: File,
    per_group: u32,
    /// Where each group's inodes begin, in bytes from the begin of the file.
    tables: Vec<u64>,
}

impl Inodes {
    /// Of the file system that begins `offset` bytes into the file.
    pub(super) fn open(file: File, offset: u64, path: &Path) -> Result<Self, DiskError> {
        let mut superblock = vec![0; 1024];
        file.read_exact_at(&mut superblock, offset + SUPERBLOCK_AT).map_err(DiskError::io("read", path))?;
        let (inodes, per_group) = (u32_at(&superblock, 0), u32_at(&superblock, 40));
        let as_planned = u32_at(&superblock, 24) == 2
            && u16_at(&superblock, 88) == INODE_BYTES
            && usize::from(u16_at(&superblock, 254)) == DESCRIPTOR;
        if !as_planned || per_group == 0 {
            return Err(DiskError::unsound(
                path,
                "its root file system has other measures than were asked for",
            ));
        }
        let mut descriptors = vec![0; inodes.div_ceil(per_group) as usize * DESCRIPTOR];
        file.read_exact_at(&mut descriptors, offset + BLOCK).map_err(DiskError::io("read", path))?;
        let table = |group: &[u8]| u64::from(u32_at(group, 8)) | u64::from(u32_at(group, 40)) << 32;
        let tables =
            descriptors.chunks_exact(DESCRIPTOR).map(|group| offset + table(group) * BLOCK).collect();
        Ok(Self { file, per_group, tables })
    }

    /// Where an inode stands, in bytes from the begin of the file.
    pub(super) fn place(&self, inode: u32) -> io::Result<u64> {
        let index = inode.checked_sub(1).ok_or(io::ErrorKind::InvalidData)?;
        let table = self.tables.get((index / self.per_group) as usize).ok_or(io::ErrorKind::InvalidData)?;
        Ok(table + u64::from(index % self.per_group) * u64::from(INODE_BYTES))
    }

    pub(super) fn read(&self, inode: u32) -> io::Result<Inode> {
        let mut bytes = [0; IN_INODE];
        self.file.read_exact_at(&mut bytes, self.place(inode)?)?;
        Ok(Inode(bytes))
    }
}

/// One inode: owner, mode, times, short attributes, where the data are.
pub(super) struct Inode([u8; IN_INODE]);

impl Inode {
    /// Without the checksum, which differs where nothing else does between file systems.
    pub(super) fn same_as(mut self, mut other: Self) -> bool {
        for part in CHECKSUM {
            self.0[part.clone()].fill(0);
            other.0[part].fill(0);
        }
        self.0 == other.0
    }

    /// Nobody's, and may still hold what it held.
    pub(super) fn is_free(&self) -> bool {
        u16_at(&self.0, 26) == 0
    }

    /// Lower half of the time of modification, in seconds since 1970.
    pub(super) fn modified(&self) -> u32 {
        u32_at(&self.0, 16)
    }

    /// Whether all that it says is in itself: no block of attributes, no blocks of extents.
    pub(super) fn is_whole(&self) -> bool {
        let attributes = u64::from(u32_at(&self.0, 0x68)) | u64::from(u16_at(&self.0, 0x76)) << 32;
        let deep = u32_at(&self.0, 32) & FLAG_EXTENTS != 0 && u16_at(&self.0, 40 + 6) > 0;
        attributes == 0 && !deep
    }

    /// The blocks of a folder that is a plain list; none for one with an index or with blocks of extents.
    pub(super) fn folder_blocks(&self) -> Option<Vec<u64>> {
        let flags = u32_at(&self.0, 32);
        if flags & FLAG_INDEX != 0 || flags & FLAG_EXTENTS == 0 || !self.is_whole() {
            return None;
        }
        let extent = |index: u16| {
            let at = 40 + 12 + usize::from(index) * 12;
            let first = u64::from(u32_at(&self.0, at + 8)) | u64::from(u16_at(&self.0, at + 6)) << 32;
            first..first + u64::from(u16_at(&self.0, at + 4))
        };
        Some((0..u16_at(&self.0, 40 + 2).min(4)).flat_map(extent).collect())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([0, 1].map(|byte| bytes[at + byte]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]))
}
