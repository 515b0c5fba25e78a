//! Makes a tree what a disk holds that was written from it and changed since, touching only what changed: on an
//! overlay, what is touched is the layer of the changes.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lremovexattr,
    lsetxattr, mknodat, utimensat,
};

use super::DiskError;
use super::compare::names;
use super::ext4::{self, Buffers, Details, Image};
use super::listing::{self, Node};

/// Extended attributes of a file, by name.
type Attributes = HashMap<String, Vec<u8>>;

/// Makes the tree at `root` what the root partition of `vhd` holds: names, types, permissions, owners, contents,
/// links, extended attributes (with access control lists and capabilities) and modification times. Returns what a
/// tree cannot hold here, in words with its path: devices outside `/dev`, and attributes that only the host's root
/// may set.
///
/// The disk may have been written by anybody. Every folder is made a folder before anything is written into it, so no
/// link of the disk is ever followed.
///
/// # Errors
/// [`DiskError`] when the disk is not sound or the tree cannot be changed.
pub fn take_back(vhd: &Path, root: &Path) -> Result<Vec<String>, DiskError> {
    let disk = Image::open(vhd)?;
    let nodes = disk.nodes()?;
    let mut taking = Taking {
        details: disk.details(&nodes)?,
        modified: disk.modified(&nodes)?,
        attributes: disk.attributes(&nodes)?,
        disk: &disk,
        root,
        first_names: HashMap::new(),
        buffers: ext4::buffers(),
        left_out: Vec::new(),
    };
    remove_others(root, &nodes)?;
    for node in &nodes {
        let path = root.join(&node.path);
        taking.content(node, &path).map_err(DiskError::io("write", &path))?;
    }
    // Deepest first: what is done in a folder changes the folder's own time.
    for node in nodes.iter().rev() {
        let path = root.join(&node.path);
        taking.properties(node, &path).map_err(DiskError::io("restore", &path))?;
    }
    Ok(taking.left_out)
}

/// Removes what the disk no longer holds.
fn remove_others(root: &Path, nodes: &[Node]) -> Result<(), DiskError> {
    let listed: HashSet<_> = nodes.iter().map(|node| node.path.as_path()).collect();
    for path in names(root)?.iter().filter(|path| !listed.contains(path.as_path())) {
        let path = root.join(path);
        remove(&path).map_err(DiskError::io("remove", &path))?;
    }
    Ok(())
}

/// Gone already is fine.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

struct Taking<'a> {
    disk: &'a Image,
    root: &'a Path,
    details: Details,
    modified: HashMap<u32, (i64, u32)>,
    attributes: HashMap<u32, Attributes>,
    /// Inode of the disk -> the first of its names.
    first_names: HashMap<u32, PathBuf>,
    buffers: Buffers,
    left_out: Vec<String>,
}

impl Taking<'_> {
    /// Makes type and content right.
    fn content(&mut self, node: &Node, path: &Path) -> io::Result<()> {
        let kind = node.file_type();
        let mut there = fs::symlink_metadata(path).ok();
        if there.as_ref().is_some_and(|meta| FileType::from_raw_mode(meta.mode()) != kind) {
            remove(path)?;
            there = None;
        }
        if kind == FileType::Directory {
            return if there.is_none() { fs::create_dir(path) } else { Ok(()) };
        }
        if let Some(first) = self.first_names.get(&node.inode) {
            let first = self.root.join(first);
            let file = |meta: fs::Metadata| (meta.dev(), meta.ino());
            if there.map(file) != fs::symlink_metadata(&first).ok().map(file) {
                remove(path)?;
                fs::hard_link(first, path)?;
            }
            return Ok(());
        }
        self.first_names.insert(node.inode, node.path.clone());
        if there.is_some() && self.disk.same_content(node, path, &self.details, &mut self.buffers)? {
            return Ok(());
        }
        remove(path)?;
        match kind {
            FileType::RegularFile => {
                let file = File::create_new(path)?;
                self.disk.copy_data(node, &file, &self.details, &mut self.buffers[0])
            }
            FileType::Symlink => {
                let target = self.disk.link_target(node, &self.details)?;
                symlink(std::ffi::OsStr::from_bytes(&target), path)
            }
            FileType::Fifo => Ok(mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?),
            // A socket is of no use without the program that made it; every boot makes what is in /dev.
            FileType::Socket => Ok(()),
            _ if node.path.starts_with("dev") => Ok(()),
            _ => {
                self.left_out.push(format!("/{} (device)", node.path.display()));
                Ok(())
            }
        }
    }

    /// Makes owner, permissions, attributes and time right.
    fn properties(&mut self, node: &Node, path: &Path) -> io::Result<()> {
        let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
        let is_link = node.file_type() == FileType::Symlink;
        if (meta.uid(), meta.gid()) != (node.uid, node.gid) {
            lchown(path, Some(node.uid), Some(node.gid))?;
        }
        // Once more after a change of the owner, which takes the set-user-id bit away.
        if !is_link && fs::symlink_metadata(path)?.mode() != node.mode {
            fs::set_permissions(path, fs::Permissions::from_mode(node.mode & 0o7777))?;
        }
        if !is_link {
            self.extended(node, path)?;
        }
        let Some(&(seconds, nanoseconds)) = self.modified.get(&node.inode) else { return Ok(()) };
        if fs::symlink_metadata(path)?.mtime() != seconds {
            let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) };
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    fn extended(&mut self, node: &Node, path: &Path) -> io::Result<()> {
        let wanted = self.attributes.remove(&node.inode).unwrap_or_default();
        let there = attributes_of(path)?;
        for name in there.keys().filter(|name| !wanted.contains_key(*name)) {
            lremovexattr(path, name.as_str())?;
        }
        for (name, value) in wanted.iter().filter(|(name, value)| there.get(*name) != Some(value)) {
            if lsetxattr(path, name.as_str(), value, XattrFlags::empty()).is_err() {
                self.left_out.push(format!("/{} (attribute {name})", node.path.display()));
            }
        }
        Ok(())
    }
}

/// Extended attributes of a file of the tree.
fn attributes_of(path: &Path) -> io::Result<Attributes> {
    /// The kernel's limit for a list of names and for a value.
    const LONGEST: usize = 1 << 16;
    let mut list = vec![0; LONGEST];
    let length = llistxattr(path, &mut list[..])?;
    let mut out = Attributes::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; LONGEST];
        let name = String::from_utf8_lossy(name).into_owned();
        let length = lgetxattr(path, name.as_str(), &mut value[..])?;
        value.truncate(length);
        out.insert(name, value);
    }
    Ok(out)
}

impl Image {
    fn modified(&self, nodes: &[Node]) -> Result<HashMap<u32, (i64, u32)>, DiskError> {
        let printed = self.ask(nodes.iter().map(|node| format!("stat <{}>", node.inode)))?;
        Ok(listing::modified(&String::from_utf8_lossy(&printed)))
    }

    /// The extended attributes of everything but links.
    fn attributes(&self, nodes: &[Node]) -> Result<HashMap<u32, Attributes>, DiskError> {
        let nodes = nodes.iter().filter(|node| node.file_type() != FileType::Symlink);
        let printed = self.ask(nodes.map(|node| format!("ea_list <{}>", node.inode)))?;
        let mut by_name: HashMap<String, HashSet<u32>> = HashMap::new();
        for (inode, name) in listing::attribute_names(&String::from_utf8_lossy(&printed)) {
            by_name.entry(name).or_default().insert(inode);
        }
        let mut out: HashMap<u32, Attributes> = HashMap::new();
        for (name, inodes) in by_name {
            // Only such a name can be asked for; another one is not passed over but fails to be set.
            let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte));
            let requests = inodes.iter().filter(|_| plain).map(|inode| format!("ea_get -x <{inode}> {name}"));
            let printed = self.ask(requests)?;
            let mut values = listing::attributes(&String::from_utf8_lossy(&printed), &name);
            for inode in inodes {
                let value = values.remove(&inode).unwrap_or_default();
                out.entry(inode).or_default().insert(name.clone(), value);
            }
        }
        Ok(out)
    }
}
