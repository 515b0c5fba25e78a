//! The root file system of a finished disk, read back into a folder: what validators look at is what will boot.
//!
//! `debugfs` is the one reader that needs neither a mount nor privileges, knows every ext4 feature and is quick. Its
//! `rdump` copies contents but loses set-user-id bits, hard links, devices and extended attributes, so a listing of
//! the same file system puts them back, and proves on the way that nothing is missing: `debugfs` itself reports no
//! failure by its exit status.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, mknodat};

use super::listing::{self, Node};
use super::{DiskError, inspect};
use crate::tools::{self, Tool};

/// Inode of an ext4 file system's top folder.
const TOP: u32 = 2;
const CAPABILITY: &str = "security.capability";

/// What was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Files, folders and links now in the folder.
    pub entries: u64,
    /// Devices, which need privileges to make: image paths of those left out.
    pub left_out: Vec<PathBuf>,
}

/// Reads the root partition of `vhd` into the folder `into`, which must be empty.
///
/// Contents, owners, permissions (with set-user-id), symbolic and hard links, file capabilities and modification
/// times (to the second) are as on the disk. Owners need the privilege to give files away; a caller without it runs
/// this in a user namespace, and gets its own files otherwise.
///
/// # Errors
/// [`DiskError`] when the disk is not sound, `into` lacks space, or what arrived is not what the disk lists.
pub fn read_back(vhd: &Path, into: &Path) -> Result<ReadBack, DiskError> {
    let layout = inspect(vhd)?;
    let image = Image {
        vhd: std::path::absolute(vhd).map_err(DiskError::io("find", vhd))?,
        offset: layout.root.offset,
    };
    let nodes = image.nodes()?;
    check_space(&nodes, into)?;
    image.dump(into)?;
    let mut result = ReadBack { entries: nodes.len() as u64, ..ReadBack::default() };
    let capabilities = image.capabilities(&nodes)?;
    let mut first_names: HashMap<u32, PathBuf> = HashMap::new();
    // Folders come last and deepest first: closing one for writing earlier would keep its content out.
    let (folders, others): (Vec<_>, Vec<_>) =
        nodes.iter().partition(|node| node.file_type() == FileType::Directory);
    for node in others.into_iter().chain(folders.into_iter().rev()) {
        let path = into.join(&node.path);
        let first = first_names.get(&node.inode);
        if let Some(first) = first.filter(|_| node.file_type() == FileType::RegularFile) {
            replace_by_link(&path, first).map_err(DiskError::io("link", &path))?;
            continue;
        }
        if !restore(node, &path).map_err(DiskError::io("restore", &path))? {
            result.left_out.push(Path::new("/").join(&node.path));
            continue;
        }
        verify(vhd, node, &path)?;
        if let Some(value) = capabilities.get(&node.inode) {
            lsetxattr(&path, CAPABILITY, value, XattrFlags::empty())
                .map_err(|errno| DiskError::io("give capabilities to", &path)(errno.into()))?;
        }
        first_names.insert(node.inode, path);
    }
    Ok(result)
}

fn check_space(nodes: &[Node], into: &Path) -> Result<(), DiskError> {
    let stat = rustix::fs::statvfs(into)
        .map_err(|errno| DiskError::io("ask for free space on", into)(errno.into()))?;
    let needed: u64 = nodes.iter().map(|node| node.bytes.next_multiple_of(4096)).sum();
    let available = stat.f_bavail * stat.f_frsize;
    if needed > available {
        return Err(DiskError::NoSpace { folder: into.to_owned(), needed, available });
    }
    Ok(())
}

fn replace_by_link(path: &Path, first: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    fs::hard_link(first, path)
}

/// Makes what `rdump` does not make and repairs what it loses; false for a device that may not be made here.
fn restore(node: &Node, path: &Path) -> io::Result<bool> {
    let mode = Mode::from_raw_mode(node.mode & 0o7777);
    match node.file_type() {
        FileType::RegularFile | FileType::Directory | FileType::Symlink => {}
        FileType::Fifo => mknodat(CWD, path, FileType::Fifo, mode, 0)?,
        _ => return Ok(false),
    }
    // Only a privileged process may give files away; anyone else's stay its own, as documented.
    match lchown(path, Some(node.uid), Some(node.gid)) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
        _ => {}
    }
    if node.file_type() != FileType::Symlink {
        // After the owner: changing that clears the set-user-id bit.
        fs::set_permissions(path, fs::Permissions::from_mode(node.mode & 0o7777))?;
    }
    Ok(true)
}

fn verify(vhd: &Path, node: &Node, path: &Path) -> Result<(), DiskError> {
    let meta = fs::symlink_metadata(path).map_err(DiskError::io("look at", path))?;
    let kind = FileType::from_raw_mode(std::os::unix::fs::MetadataExt::mode(&meta));
    let whole = node.file_type() != FileType::RegularFile || meta.len() == node.bytes;
    if kind == node.file_type() && whole {
        return Ok(());
    }
    Err(DiskError::unsound(vhd, format!("/{} could not be read back whole", node.path.display())))
}

/// The root file system inside the disk, as `debugfs` addresses it.
struct Image {
    vhd: PathBuf,
    offset: u64,
}

impl Image {
    fn argument(&self) -> std::ffi::OsString {
        let mut out = self.vhd.clone().into_os_string();
        out.push(format!("?offset={}", self.offset));
        out
    }

    /// Runs the requests in one go and returns what they printed, each after a line that repeats it.
    fn ask(&self, requests: &str) -> Result<Vec<u8>, DiskError> {
        let mut file =
            tempfile::NamedTempFile::new().map_err(DiskError::io("write in", &std::env::temp_dir()))?;
        file.write_all(requests.as_bytes()).map_err(DiskError::io("write", file.path()))?;
        let output = tools::run(Tool::Debugfs.command()?.arg("-f").arg(file.path()).arg(self.argument()))?;
        Ok(output.stdout)
    }

    /// Everything in the file system but its top, each folder before its content.
    fn nodes(&self) -> Result<Vec<Node>, DiskError> {
        let mut out: Vec<Node> = Vec::new();
        let mut level = vec![(TOP, PathBuf::new())];
        while !level.is_empty() {
            let requests = level.iter().fold(String::new(), |mut all, (inode, _)| {
                let _ = writeln!(all, "ls -p <{inode}>");
                all
            });
            let printed = self.ask(&requests)?;
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

    /// Copies the contents. Relative to the target folder, so that no path needs quoting for `debugfs`.
    fn dump(&self, into: &Path) -> Result<(), DiskError> {
        let mut command = Tool::Debugfs.command()?;
        tools::run(command.current_dir(into).args(["-R", "rdump / ."]).arg(self.argument()))?;
        Ok(())
    }

    /// The file capabilities of all regular files that have some.
    fn capabilities(&self, nodes: &[Node]) -> Result<HashMap<u32, Vec<u8>>, DiskError> {
        let requests = nodes.iter().filter(|node| node.file_type() == FileType::RegularFile).fold(
            String::new(),
            |mut all, node| {
                let _ = writeln!(all, "ea_get -x <{}> {CAPABILITY}", node.inode);
                all
            },
        );
        Ok(listing::attributes(&String::from_utf8_lossy(&self.ask(&requests)?), CAPABILITY))
    }
}
