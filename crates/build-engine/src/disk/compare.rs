//! Compares the root file system of a finished disk with the tree it was written from: when they are the same, what
//! is true of the tree (validators run on it) is true of what will boot, and nothing has to be copied out.
//!
//! `debugfs` reads the disk's own structures: it needs neither a mount nor privileges, knows every ext4 feature, and is
//! not what wrote the disk. It reports no failure by its exit status, so whatever it does not list counts as missing.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{FileType, lgetxattr};
use rustix::io::Errno;

use super::listing::{self, Extent, Node};
use super::{DiskError, inspect};
use crate::tools::{self, Tool};

/// Inode of an ext4 file system's top folder.
const TOP: u32 = 2;
const CAPABILITY: &str = "security.capability";
/// Made by `mke2fs`, and in no tree.
const LOST_AND_FOUND: &str = "lost+found";
/// A symbolic link shorter than this is in its inode.
const INLINE: u64 = 60;
const BLOCK: u64 = 4096;
const CHUNK: usize = 1 << 20;

/// Checks that the root partition of `vhd` holds the tree at `root`: every name and no other, with type, permissions,
/// owner, content, target, file capabilities, and which names are one file. Returns how many names that are.
///
/// # Errors
/// [`DiskError`] naming the first difference, or when either cannot be read.
pub fn compare(vhd: &Path, root: &Path) -> Result<u64, DiskError> {
    let disk = Image::open(vhd)?;
    let nodes: Vec<_> =
        disk.nodes()?.into_iter().filter(|node| node.path != Path::new(LOST_AND_FOUND)).collect();
    let differs = |path: &Path, what: &str| DiskError::unsound(vhd, format!("/{} {what}", path.display()));
    let listed: HashSet<_> = nodes.iter().map(|node| node.path.as_path()).collect();
    if let Some(path) = names(root)?.iter().find(|path| !listed.contains(path.as_path())) {
        return Err(differs(path, "is missing"));
    }
    let details = Details {
        capabilities: disk.capabilities(&nodes)?,
        extents: disk.extents(&nodes)?,
        inline: disk.inline(&nodes)?,
    };
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
fn names(root: &Path) -> Result<Vec<PathBuf>, DiskError> {
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

/// One buffer for each side.
type Buffers = [Vec<u8>; 2];

fn in_parallel(
    nodes: &[Node],
    check: impl Fn(&Node, &mut Buffers) -> Result<(), DiskError> + Sync,
) -> Result<(), DiskError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffers = [vec![0; CHUNK], vec![0; CHUNK]];
        while let Some(node) = nodes.get(next.fetch_add(1, Ordering::Relaxed)) {
            check(node, &mut buffers)?;
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().map(join).collect::<Vec<_>>().into_iter().collect()
    })
}

/// What `debugfs` says about inodes beside their listing.
struct Details {
    capabilities: HashMap<u32, Vec<u8>>,
    extents: HashMap<u32, Vec<Extent>>,
    /// Targets of short symbolic links, with zeroes behind them.
    inline: HashMap<u32, Vec<u8>>,
}

/// The root file system inside the disk, as `debugfs` addresses it.
struct Image {
    vhd: PathBuf,
    file: File,
    offset: u64,
}

impl Image {
    fn open(vhd: &Path) -> Result<Self, DiskError> {
        let layout = inspect(vhd)?;
        let file = File::open(vhd).map_err(DiskError::io("open", vhd))?;
        let vhd = std::path::absolute(vhd).map_err(DiskError::io("find", vhd))?;
        Ok(Self { vhd, file, offset: layout.root.offset })
    }

    /// Runs the requests in one go and returns what they printed, each after a line that repeats it.
    fn ask(&self, requests: impl Iterator<Item = String>) -> Result<Vec<u8>, DiskError> {
        let mut file =
            tempfile::NamedTempFile::new().map_err(DiskError::io("write in", &std::env::temp_dir()))?;
        let text: String = requests.map(|request| request + "\n").collect();
        file.write_all(text.as_bytes()).map_err(DiskError::io("write", file.path()))?;
        let mut image = self.vhd.clone().into_os_string();
        image.push(format!("?offset={}", self.offset));
        Ok(tools::run(Tool::Debugfs.command()?.arg("-f").arg(file.path()).arg(image))?.stdout)
    }

    /// Everything in the file system but its top, each folder before its content.
    fn nodes(&self) -> Result<Vec<Node>, DiskError> {
        let mut out: Vec<Node> = Vec::new();
        let mut level = vec![(TOP, PathBuf::new())];
        while !level.is_empty() {
            let printed = self.ask(level.iter().map(|(inode, _)| format!("ls -p <{inode}>")))?;
            let found =
                listing::parse(&printed, &level).map_err(|problem| DiskError::unsound(&self.vhd, problem))?;
            level = found
                .iter()
                .filter(|node| node.file_type() == FileType::Directory)
                .map(|node| (node.inode, node.path.clone()))
                .collect();
            out.extend(found);
        }
        Ok(out)
    }

    /// The file capabilities of all regular files that have some.
    fn capabilities(&self, nodes: &[Node]) -> Result<HashMap<u32, Vec<u8>>, DiskError> {
        let files = nodes.iter().filter(|node| node.file_type() == FileType::RegularFile);
        let printed = self.ask(files.map(|node| format!("ea_get -x <{}> {CAPABILITY}", node.inode)))?;
        Ok(listing::attributes(&String::from_utf8_lossy(&printed), CAPABILITY))
    }

    /// Where the data of files and of long symbolic links are.
    fn extents(&self, nodes: &[Node]) -> Result<HashMap<u32, Vec<Extent>>, DiskError> {
        let with_data = nodes.iter().filter(|node| match node.file_type() {
            FileType::RegularFile => true,
            FileType::Symlink => node.bytes >= INLINE,
            _ => false,
        });
        let printed = self.ask(with_data.map(|node| format!("ex -l <{}>", node.inode)))?;
        listing::extents(&String::from_utf8_lossy(&printed))
            .map_err(|problem| DiskError::unsound(&self.vhd, problem))
    }

    /// The targets of short symbolic links.
    fn inline(&self, nodes: &[Node]) -> Result<HashMap<u32, Vec<u8>>, DiskError> {
        let links = nodes.iter().filter(|node| node.file_type() == FileType::Symlink && node.bytes < INLINE);
        let printed = self.ask(links.map(|node| format!("inode_dump -b <{}>", node.inode)))?;
        Ok(listing::inline(&String::from_utf8_lossy(&printed)))
    }

    fn same_content(
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

    fn link_target(&self, node: &Node, details: &Details) -> io::Result<Vec<u8>> {
        let length = usize::try_from(node.bytes.min(BLOCK)).unwrap_or_default();
        if node.bytes < INLINE {
            let inline = details.inline.get(&node.inode).and_then(|bytes| bytes.get(..length));
            return Ok(inline.unwrap_or_default().to_vec());
        }
        let Some([first, ..]) = details.extents.get(&node.inode).map(Vec::as_slice) else {
            return Ok(Vec::new());
        };
        let mut target = vec![0; length];
        self.file.read_exact_at(&mut target, self.offset + first.physical * BLOCK)?;
        Ok(target)
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
            let extent = rest.next_if(|extent| extent.logical * BLOCK <= at);
            let end = match (extent, rest.peek()) {
                (Some(extent), _) => (extent.logical + extent.blocks) * BLOCK,
                (None, Some(next)) => next.logical * BLOCK,
                (None, None) => node.bytes,
            };
            let end = end.min(node.bytes);
            while at < end {
                let length = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                file.read_exact_at(&mut ours[..length], at)?;
                match extent {
                    Some(extent) => {
                        let place = extent.physical * BLOCK + (at - extent.logical * BLOCK);
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

fn capability_of(path: &Path) -> io::Result<Option<Vec<u8>>> {
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
