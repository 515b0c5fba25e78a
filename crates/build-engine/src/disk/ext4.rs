//! The root file system of a disk, read with `debugfs` and by ourselves: `debugfs` knows every ext4 feature and needs
//! neither a mount nor privileges; where the data are it tells, and we read them there. It reports no failure by its
//! exit status, so whatever it does not list counts as missing.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{FileType, SeekFrom, lgetxattr, seek};
use rustix::io::Errno;

use super::listing::{self, Extent, Node};
use super::{DiskError, inspect, joined};
use crate::tools::{self, Tool};

/// Inode of an ext4 file system's top folder.
pub(crate) const TOP: u32 = 2;
pub(crate) const CAPABILITY: &str = "security.capability";
/// Made by `mke2fs`, and in no tree.
pub(super) const LOST_AND_FOUND: &str = "lost+found";
/// A symbolic link shorter than this is in its inode.
const INLINE: u64 = 60;
const SUPERBLOCK_AT: u64 = 1024;
const MAGIC: [u8; 2] = [0x53, 0xef];
/// More than any machine's root file system has.
const MOST_NODES: usize = 10_000_000;
const CHUNK: usize = 1 << 20;
/// So many inodes are asked about at once: starting the program takes next to nothing beside that.
const AT_ONCE: usize = 5000;

/// One buffer for each side of a comparison.
pub(super) type Buffers = [Vec<u8>; 2];

pub(super) fn buffers() -> Buffers {
    [vec![0; CHUNK], vec![0; CHUNK]]
}

/// What `debugfs` says about inodes beside their listing.
#[derive(Debug)]
pub(crate) struct Details {
    pub(crate) capabilities: HashMap<u32, Vec<u8>>,
    pub(crate) extents: HashMap<u32, Vec<Extent>>,
    /// Targets of short symbolic links, with zeroes behind them.
    inline: HashMap<u32, Vec<u8>>,
}

/// The root file system inside the disk, as `debugfs` addresses it.
#[derive(Debug)]
pub(crate) struct Image {
    vhd: PathBuf,
    file: File,
    offset: u64,
    /// Bytes of a block.
    pub(crate) block: u64,
    /// Incompatible features, as the superblock has them.
    pub(crate) features: u32,
}

impl Image {
    pub(super) fn open(vhd: &Path) -> Result<Self, DiskError> {
        Self::at(vhd, inspect(vhd)?.root.offset)
    }

    /// The file system that begins `offset` bytes into the file `disk`.
    ///
    /// # Errors
    /// [`DiskError::Unsound`] when there is none.
    pub(crate) fn at(disk: &Path, offset: u64) -> Result<Self, DiskError> {
        let file = File::open(disk).map_err(DiskError::io("open", disk))?;
        let mut superblock = [0; 256];
        file.read_exact_at(&mut superblock, offset + SUPERBLOCK_AT).map_err(DiskError::io("read", disk))?;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| superblock[at + byte]));
        let shift = word(24);
        if superblock[56..58] != MAGIC || shift > 6 {
            return Err(DiskError::unsound(disk, "there is no ext4 file system where it should be"));
        }
        let vhd = std::path::absolute(disk).map_err(DiskError::io("find", disk))?;
        Ok(Self { vhd, file, offset, block: 1024 << shift, features: word(96) })
    }

    /// Runs the requests in one go and returns what they printed, each after a line that repeats it.
    pub(super) fn ask(&self, requests: impl Iterator<Item = String>) -> Result<Vec<u8>, DiskError> {
        let mut file =
            tempfile::NamedTempFile::new().map_err(DiskError::io("write in", &std::env::temp_dir()))?;
        let text: String = requests.map(|request| request + "\n").collect();
        file.write_all(text.as_bytes()).map_err(DiskError::io("write", file.path()))?;
        let mut image = self.vhd.clone().into_os_string();
        image.push(format!("?offset={}", self.offset));
        Ok(tools::run(Tool::Debugfs.command()?.arg("-f").arg(file.path()).arg(image))?.stdout)
    }

    /// Everything in the file system but its top and `lost+found`, each folder before its content.
    ///
    /// A disk that anybody may have written to is read here, too: one name twice, or a folder in two places, is an
    /// error.
    pub(crate) fn nodes(&self) -> Result<Vec<Node>, DiskError> {
        let mut out: Vec<Node> = Vec::new();
        let mut level = vec![(TOP, PathBuf::new())];
        let (mut folders, mut paths) = (HashSet::from([TOP]), HashSet::new());
        while !level.is_empty() {
            let printed = self.ask(level.iter().map(|(inode, _)| format!("ls -p <{inode}>")))?;
            let mut found =
                listing::parse(&printed, &level).map_err(|problem| DiskError::unsound(&self.vhd, problem))?;
            found.retain(|node| node.path != Path::new(LOST_AND_FOUND));
            for node in &found {
                let again = node.file_type() == FileType::Directory && !folders.insert(node.inode);
                if again || !paths.insert(node.path.clone()) {
                    return Err(self.unsound(&node.path, "is there twice"));
                }
            }
            level = found
                .iter()
                .filter(|node| node.file_type() == FileType::Directory)
                .map(|node| (node.inode, node.path.clone()))
                .collect();
            out.extend(found);
            if out.len() > MOST_NODES {
                return Err(DiskError::unsound(&self.vhd, format!("it has more than {MOST_NODES} names")));
            }
        }
        Ok(out)
    }

    pub(super) fn unsound(&self, path: &Path, what: &str) -> DiskError {
        DiskError::unsound(&self.vhd, format!("/{} {what}", path.display()))
    }

    /// What a comparison of contents needs.
    pub(crate) fn details(&self, nodes: &[Node]) -> Result<Details, DiskError> {
        thread::scope(|scope| {
            let capabilities = scope.spawn(|| self.capabilities(nodes));
            let inline = scope.spawn(|| self.inline(nodes));
            let extents = self.extents(nodes)?;
            Ok(Details { capabilities: joined(capabilities)?, extents, inline: joined(inline)? })
        })
    }

    /// Asks something about each of these, some at a time: what is printed is far larger than what is made of it.
    fn ask_about<'a, T>(
        &self,
        nodes: impl Iterator<Item = &'a Node>,
        request: impl Fn(u32) -> String,
        understand: impl Fn(&str) -> Result<HashMap<u32, T>, String>,
    ) -> Result<HashMap<u32, T>, DiskError> {
        let inodes: Vec<_> = nodes.map(|node| node.inode).collect();
        let mut out = HashMap::with_capacity(inodes.len());
        for some in inodes.chunks(AT_ONCE) {
            let printed = self.ask(some.iter().map(|inode| request(*inode)))?;
            let understood = understand(&String::from_utf8_lossy(&printed));
            out.extend(understood.map_err(|problem| DiskError::unsound(&self.vhd, problem))?);
        }
        out.shrink_to_fit();
        Ok(out)
    }

    /// The file capabilities of all regular files that have some.
    fn capabilities(&self, nodes: &[Node]) -> Result<HashMap<u32, Vec<u8>>, DiskError> {
        let files = nodes.iter().filter(|node| node.file_type() == FileType::RegularFile);
        self.ask_about(
            files,
            |inode| format!("ea_get -x <{inode}> {CAPABILITY}"),
            |printed| Ok(listing::attributes(printed, CAPABILITY)),
        )
    }

    /// Where the data of files and of long symbolic links are.
    fn extents(&self, nodes: &[Node]) -> Result<HashMap<u32, Vec<Extent>>, DiskError> {
        let with_data = nodes.iter().filter(|node| match node.file_type() {
            FileType::RegularFile => true,
            FileType::Symlink => node.bytes >= INLINE,
            _ => false,
        });
        self.ask_about(with_data, |inode| format!("ex -l <{inode}>"), listing::extents)
    }

    /// The targets of short symbolic links.
    fn inline(&self, nodes: &[Node]) -> Result<HashMap<u32, Vec<u8>>, DiskError> {
        let links = nodes.iter().filter(|node| node.file_type() == FileType::Symlink && node.bytes < INLINE);
        self.ask_about(
            links,
            |inode| format!("inode_dump -b <{inode}>"),
            |printed| Ok(listing::inline(printed)),
        )
    }

    /// The inodes of the top folder and of every node, as they are on the disk.
    pub(crate) fn inodes(&self, nodes: &[Node]) -> Result<HashMap<u32, Vec<u8>>, DiskError> {
        let inodes = nodes.iter().map(|node| node.inode).chain([TOP]);
        let printed = self.ask(inodes.map(|inode| format!("inode_dump <{inode}>")))?;
        Ok(listing::inodes(&String::from_utf8_lossy(&printed)))
    }

    /// Reads from `within` bytes after the begin of a block on.
    pub(crate) fn read_block(&self, block: u64, within: u64, buffer: &mut [u8]) -> io::Result<()> {
        let place = block.checked_mul(self.block).and_then(|at| at.checked_add(within));
        let place = place.and_then(|at| at.checked_add(self.offset));
        self.file.read_exact_at(buffer, place.ok_or(io::ErrorKind::UnexpectedEof)?)
    }

    pub(super) fn same_content(
        &self,
        node: &Node,
        path: &Path,
        details: &Details,
        buffers: &mut Buffers,
    ) -> io::Result<bool> {
        match node.file_type() {
            FileType::RegularFile => {
                let capability = details.capabilities.get(&node.inode);
                let extents = details.extents.get(&node.inode).map(Vec::as_slice).unwrap_or_default();
                Ok(capability == capability_of(path)?.as_ref()
                    && self.same_data(node, path, extents, buffers)?)
            }
            FileType::Symlink => {
                Ok(fs::read_link(path)?.as_os_str().as_bytes() == self.link_target(node, details)?)
            }
            _ => Ok(true),
        }
    }

    pub(crate) fn link_target(&self, node: &Node, details: &Details) -> io::Result<Vec<u8>> {
        let length = usize::try_from(node.bytes.min(self.block)).unwrap_or_default();
        if node.bytes < INLINE {
            let inline = details.inline.get(&node.inode).and_then(|bytes| bytes.get(..length));
            return Ok(inline.unwrap_or_default().to_vec());
        }
        let Some([first, ..]) = details.extents.get(&node.inode).map(Vec::as_slice) else {
            return Ok(Vec::new());
        };
        let mut target = vec![0; length];
        self.read_block(first.physical, 0, &mut target)?;
        Ok(target)
    }

    /// Writes the data of a regular file into `file`, which is empty; its holes stay holes.
    pub(super) fn copy_data(
        &self,
        node: &Node,
        file: &File,
        details: &Details,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        file.set_len(node.bytes)?;
        let extents = details.extents.get(&node.inode).map(Vec::as_slice).unwrap_or_default();
        for extent in extents.iter().filter(|extent| extent.written) {
            let mut at = extent.logical * self.block;
            let end = (at + extent.blocks * self.block).min(node.bytes);
            while at < end {
                let part = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                let place = extent.physical * self.block + (at - extent.logical * self.block);
                self.file.read_exact_at(&mut buffer[..part], self.offset + place)?;
                file.write_all_at(&buffer[..part], at)?;
                at += part as u64;
            }
        }
        Ok(())
    }

    /// Whether a file has exactly the data of these extents, and zeroes between them.
    fn same_data(
        &self,
        node: &Node,
        path: &Path,
        extents: &[Extent],
        [ours, theirs]: &mut Buffers,
    ) -> io::Result<bool> {
        let file = File::open(path)?;
        if file.metadata()?.len() != node.bytes {
            return Ok(false);
        }
        let mut at = 0;
        let mut rest = extents.iter().filter(|extent| extent.written).peekable();
        while at < node.bytes {
            let extent = rest.next_if(|extent| extent.logical * self.block <= at);
            let end = match (extent, rest.peek()) {
                (Some(extent), _) => (extent.logical + extent.blocks) * self.block,
                (None, Some(next)) => next.logical * self.block,
                (None, None) => node.bytes,
            };
            let end = end.min(node.bytes);
            // Reading the holes of a file that says to be terabytes long would take hours.
            if extent.is_none() && is_hole(&file, at, end)? {
                at = end;
            }
            while at < end {
                let length = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                file.read_exact_at(&mut ours[..length], at)?;
                match extent {
                    Some(extent) => {
                        let place = extent.physical * self.block + (at - extent.logical * self.block);
                        self.file.read_exact_at(&mut theirs[..length], self.offset + place)?;
                    }
                    None => theirs[..length].fill(0),
                }
                if ours[..length] != theirs[..length] {
                    return Ok(false);
                }
                at += length as u64;
            }
        }
        Ok(true)
    }
}

/// Whether a file has no data from one offset to another.
fn is_hole(file: &File, from: u64, to: u64) -> io::Result<bool> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(data) => Ok(data >= to),
        Err(Errno::NXIO) => Ok(true),
        // A file system without holes.
        Err(Errno::INVAL) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn capability_of(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 64];
    match lgetxattr(path, CAPABILITY, &mut value) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
