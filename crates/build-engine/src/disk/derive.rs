//! A disk's root file system made of a copy of the base's ([`super::base_image`]), to which `debugfs` applies only what
//! differs. `debugfs` says nothing when it fails: a disk counts only after [`super::compare`].

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, copy_file_range, fallocate, seek};
use rustix::io::Errno;

use super::base_image::{BaseImage, Place};
use super::difference::{Difference, Whole, is_tellable};
use super::ext4::{TOP, capability_of};
use super::inodes::{IN_INODE, Inodes};
use super::plan::{BLOCK, IN_BLOCK, ROOT_OFFSET};
use super::{DiskError, Origin, Plan};
use crate::tools::{self, Tool};

/// The root partition of the disk that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partition<'a> {
    pub(super) plan: &'a Plan,
    pub(super) path: &'a Path,
    pub(super) file: &'a File,
}

impl Partition<'_> {
    /// Makes the file system of the tree at `root` in the partition, which is empty. The contents of what has not
    /// changed are left to [`Partition::copy_contents`]: the programs wait for the storage device, and would have to
    /// wait for these.
    pub(super) fn derive(
        &self,
        root: &Path,
        origin: &Origin,
        image: &BaseImage,
    ) -> Result<Difference, Whole> {
        let difference = Difference::of(root, origin)?;
        let contents = ranges(image.names.values());
        let ends = contents.iter().map(|range| range.end);
        let starts = contents.iter().map(|range| range.start).chain([self.plan.root_bytes() / BLOCK]);
        self.copy(image, [0].into_iter().chain(ends).zip(starts).map(|(start, end)| start..end))?;
        self.apply(&difference, root)?;
        // The folders' checksums no longer hold after that. The last program computes all anew, for they cover the
        // identity.
        self.clear(&difference, image).map_err(DiskError::io("write", self.path))?;
        let identity = self.plan.ids.root.to_string();
        tools::run(Tool::Tune2fs.command()?.args(["-U", &identity]).arg(self.address()))?;
        self.free()?;
        Ok(difference)
    }

    /// Copies the contents that the base's file system has, of all that has not been removed.
    pub(super) fn copy_contents(&self, image: &BaseImage, difference: &Difference) -> Result<(), DiskError> {
        let stay = image.names.iter().filter(|(path, _)| !difference.removed.contains_key(*path));
        self.copy(image, ranges(stay.map(|(_, place)| place)).into_iter())
    }

    /// How e2fsprogs are told where the file system is.
    fn address(&self) -> OsString {
        let mut address = self.path.as_os_str().to_owned();
        address.push(format!("?offset={ROOT_OFFSET}"));
        address
    }

    /// Copies what is not a hole in these blocks; file systems that can share blocks do.
    fn copy(&self, image: &BaseImage, blocks: impl Iterator<Item = Range<u64>>) -> Result<(), DiskError> {
        let copy = || {
            let from = File::open(&image.file)?;
            for range in blocks {
                copy_data(&from, self.file, range.start * BLOCK..range.end * BLOCK)?;
            }
            Ok(())
        };
        copy().map_err(DiskError::io("copy", &image.file))
    }

    fn apply(&self, difference: &Difference, root: &Path) -> Result<(), Whole> {
        let mut values = Vec::new();
        let requests = requests(difference, root, &mut values)?;
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(requests.as_bytes())?;
        tools::run(Tool::Debugfs.command()?.arg("-w").arg("-f").arg(file.path()).arg(self.address()))?;
        Ok(())
    }

    /// Clears what stays readable of removed names: their inodes, and their entries in folders.
    fn clear(&self, difference: &Difference, image: &BaseImage) -> io::Result<()> {
        let inodes =
            Inodes::open(self.file.try_clone()?, ROOT_OFFSET, self.path).map_err(io::Error::other)?;
        let inode_of = |path: &Path| image.names.get(path).map(|place| place.inode);
        for inode in difference.removed.keys().filter_map(|path| inode_of(path)) {
            // Another name may have it by now.
            if inodes.read(inode)?.is_free() {
                self.file.write_all_at(&[0; IN_INODE], inodes.place(inode)?)?;
            }
        }
        let parents: BTreeSet<_> = difference.removed.keys().filter_map(|path| path.parent()).collect();
        for parent in parents {
            let inode = if parent == Path::new("") { Some(TOP) } else { inode_of(parent) };
            let Some(inode) = inode.filter(|_| !difference.removed.contains_key(parent)) else { continue };
            let blocks = inodes.read(inode)?.folder_blocks();
            for block in blocks.ok_or_else(|| io::Error::other("a folder is not a plain list"))? {
                let at = ROOT_OFFSET + block * BLOCK;
                let mut bytes = [0; IN_BLOCK];
                self.file.read_exact_at(&mut bytes, at)?;
                clear_gaps(&mut bytes).ok_or_else(|| io::Error::other("a folder is not a list of names"))?;
                self.file.write_all_at(&bytes, at)?;
            }
        }
        Ok(())
    }

    /// Makes every free block a hole: no content of a removed file stays.
    fn free(&self) -> Result<(), Whole> {
        let printed = tools::run(Tool::Dumpe2fs.command()?.arg(self.address()))?.stdout;
        let ranges = free_ranges(&String::from_utf8_lossy(&printed));
        let ranges = ranges.ok_or_else(|| Whole("dumpe2fs prints its free blocks otherwise".to_owned()))?;
        for (first, last) in ranges {
            self.punch(first * BLOCK, (last - first + 1) * BLOCK)?;
        }
        Ok(())
    }

    /// Empties the partition.
    pub(super) fn empty(&self) -> Result<(), DiskError> {
        self.punch(0, self.plan.root_bytes())
    }

    fn punch(&self, at: u64, bytes: u64) -> Result<(), DiskError> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(self.file, flags, ROOT_OFFSET + at, bytes)
            .map_err(|errno| DiskError::io("make holes in", self.path)(errno.into()))
    }
}

/// The blocks of all these, in order and joined.
fn ranges<'a>(places: impl Iterator<Item = &'a Place>) -> Vec<Range<u64>> {
    let mut all: Vec<_> = places.flat_map(|place| place.blocks.iter().cloned()).collect();
    all.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in all {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// Copies the data that stand in these bytes of the base's file system into the root partition.
fn copy_data(from: &File, to: &File, bytes: Range<u64>) -> io::Result<()> {
    let mut at = bytes.start;
    while at < bytes.end {
        at = match seek(from, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(from, SeekFrom::Hole(at))?.min(bytes.end);
        while at < end {
            at += copy_some(from, at, to, ROOT_OFFSET + at, end - at)?;
        }
    }
    Ok(())
}

/// Copies up to `bytes` bytes and returns how many; in memory of ours where the kernel cannot.
fn copy_some(from: &File, at: u64, to: &File, place: u64, bytes: u64) -> io::Result<u64> {
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    match copy_file_range(from, Some(&mut at.clone()), to, Some(&mut place.clone()), length) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(copied) => Ok(copied as u64),
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            let mut buffer = vec![0; length.min(256 << 10)];
            from.read_exact_at(&mut buffer, at)?;
            to.write_all_at(&buffer, place)?;
            Ok(buffer.len() as u64)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// What `debugfs` is asked for. Values of attributes go through files, which `values` keeps.
fn requests(
    difference: &Difference,
    root: &Path,
    values: &mut Vec<tempfile::NamedTempFile>,
) -> Result<String, Whole> {
    let quoted = |path: &Path| format!("\"{}\"", path.display());
    let inside = |path: &Path| quoted(&Path::new("/").join(path));
    // Whoever knows the seed of the base's file system need not know this one's.
    let mut out = "ssv hash_seed random\n".to_owned();
    for (path, is_folder) in difference.removed.iter().rev() {
        let _ = writeln!(out, "{} {}", if *is_folder { "rmdir" } else { "rm" }, inside(path));
    }
    let (mut current, mut first_names) = (None, HashMap::<_, &Path>::new());
    for (path, meta) in &difference.added {
        let kind = meta.file_type();
        if kind.is_dir() {
            let _ = writeln!(out, "mkdir {}", inside(path));
        } else if let Some(first) = first_names.get(&(meta.dev(), meta.ino())).copied() {
            let _ = writeln!(out, "ln {} {}", inside(first), inside(path));
        } else if kind.is_symlink() {
            let target = std::fs::read_link(root.join(path))?;
            let _ = writeln!(out, "symlink {} {}", inside(path), quoted(&target));
        } else {
            let (folder, name) =
                (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
            if current != Some(folder) {
                let _ = writeln!(out, "cd {}", inside(folder));
                current = Some(folder);
            }
            let source = root.join(path);
            if !is_tellable(&source) {
                return Err(Whole(format!("{} cannot be told to debugfs", source.display())));
            }
            let _ = writeln!(out, "write {} {}", quoted(&source), quoted(Path::new(name)));
            if meta.nlink() > 1 {
                first_names.insert((meta.dev(), meta.ino()), path.as_path());
                let _ = writeln!(out, "sif {} links_count {}", inside(path), meta.nlink());
            }
            if let Some(value) = capability_of(&source)? {
                let mut file = tempfile::NamedTempFile::new()?;
                file.write_all(&value)?;
                let _ =
                    writeln!(out, "ea_set -f {} {} security.capability", quoted(file.path()), inside(path));
                values.push(file);
            }
        }
    }
    // Last, for what is done in a folder may change its own.
    for (path, meta) in difference.added.iter().chain(&difference.kept) {
        for (field, value) in properties(meta) {
            let _ = writeln!(out, "sif {} {field} {value}", inside(path));
        }
    }
    Ok(out)
}

fn properties(meta: &Metadata) -> [(&'static str, String); 6] {
    [
        ("mode", format!("0{:o}", meta.mode())),
        ("uid", meta.uid().to_string()),
        ("gid", meta.gid().to_string()),
        ("atime", format!("@{}", meta.atime())),
        ("ctime", format!("@{}", meta.ctime())),
        ("mtime", format!("@{}", meta.mtime())),
    ]
}

/// Clears what lies between the names in a block of a folder; none when it is no such block.
fn clear_gaps(block: &mut [u8; IN_BLOCK]) -> Option<()> {
    /// The checksum at a block's end looks like an entry of this length without a name.
    const CHECKSUM: usize = 12;
    let end = block.len() - CHECKSUM;
    let mut at = 0;
    while at < end {
        let used = u32::from_le_bytes(block.get(at..at + 4)?.try_into().ok()?) != 0;
        let length = usize::from(u16::from_le_bytes([block[at + 4], block[at + 5]]));
        if !used {
            block[at + 6..at + 8].fill(0);
        }
        let name = usize::from(block[at + 6]);
        if length < 8 + name || at + length > end {
            return None;
        }
        block[at + 8 + name..at + length].fill(0);
        at += length;
    }
    (at == end).then_some(())
}

/// First and last block of every free range that `dumpe2fs` prints.
fn free_ranges(printed: &str) -> Option<Vec<(u64, u64)>> {
    let lists = printed.lines().filter_map(|line| line.strip_prefix("  Free blocks: "));
    let ranges = lists.flat_map(|list| list.split(", ")).filter(|range| !range.trim().is_empty());
    ranges
        .map(|range| {
            let (first, last) = range.trim().split_once('-').unwrap_or((range.trim(), range.trim()));
            Some((first.parse().ok()?, last.parse().ok()?)).filter(|(first, last)| first <= last)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of a folder with these entries: inode, length, name.
    fn block(entries: &[(u32, u16, &str)]) -> [u8; IN_BLOCK] {
        let mut block = [0xaa; IN_BLOCK];
        let mut at = 0;
        for (inode, length, name) in entries {
            block[at..at + 4].copy_from_slice(&inode.to_le_bytes());
            block[at + 4..at + 6].copy_from_slice(&length.to_le_bytes());
            block[at + 6..at + 8].copy_from_slice(&[u8::try_from(name.len()).unwrap(), 1]);
            block[at + 8..at + 8 + name.len()].copy_from_slice(name.as_bytes());
            at += usize::from(*length);
        }
        block
    }

    #[test]
    fn what_lies_between_names_is_cleared_and_names_stay() {
        let mut bytes = block(&[(12, 40, "kept"), (0, 20, "gone"), (13, 4024, "last")]);
        clear_gaps(&mut bytes).unwrap();
        assert_eq!(&bytes[8..12], b"kept");
        assert!(bytes[12..40].iter().all(|byte| *byte == 0));
        assert!(bytes[46..60].iter().all(|byte| *byte == 0), "name and length of the entry without inode");
        assert_eq!(&bytes[68..72], b"last");
        assert!(bytes[72..4084].iter().all(|byte| *byte == 0));
        assert!(bytes[4084..].iter().all(|byte| *byte == 0xaa), "the checksum");
        for wrong in [&[(12, 4, "a")][..], &[(12, 4096, "a")], &[(12, 9, "ab")], &[(12, 4080, "a")]] {
            assert!(clear_gaps(&mut block(wrong)).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn free_ranges_are_those_of_the_groups() {
        let printed = "Free blocks:              356104\n\nGroup 0: (Blocks 0-32767)\n  Free blocks: \n\
                       Group 1:\n  Free blocks: 7-9, 12\n  Free inodes: 1-2\n";
        assert_eq!(free_ranges(printed), Some(vec![(7, 9), (12, 12)]));
        assert_eq!(free_ranges("  Free blocks: many\n"), None);
    }
}
