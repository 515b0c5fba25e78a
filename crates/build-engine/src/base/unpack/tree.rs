//! A tree that is written from what an untrusted archive or disk names: nothing leads out of it, nothing in it is
//! replaced, and it does not grow past what was agreed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod,
    fchown, fsetxattr, futimens, linkat, openat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::UnpackError;
use crate::rooted::Rooted;

type Result<T> = std::result::Result<T, UnpackError>;

/// Longest path and link target, in bytes, that Linux takes.
const LONGEST_PATH: usize = 4095;
/// As deep as [`Rooted`] walks.
const DEEPEST: usize = 256;
/// More names than any machine's root file system has.
const MOST_NAMES: u64 = 10_000_000;
/// More than a root file system to build on holds, holes included.
const MOST_BYTES: u64 = 256 << 30;
/// Left free on the cache's file system, for everything else that is on it.
const RESERVE: u64 = 1 << 30;

/// Who a file belongs to, what may be done with it, and when it was changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Meta {
    /// Permissions with set-user-id, set-group-id and sticky bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub(super) modified: (i64, u32),
    /// Extended attributes; only those of files are kept.
    pub(super) attributes: Vec<(OsString, Vec<u8>)>,
}

/// The tree, while it is written.
pub(super) struct Tree {
    rooted: Rooted,
    names: u64,
    /// Bytes that may still be named, and those that may still be written.
    nameable: u64,
    writable: u64,
    /// What writing in a folder changes, set when all is written.
    folders: Vec<(PathBuf, Timestamps)>,
    not_kept: BTreeMap<String, u64>,
}

impl Tree {
    /// Writes below `root`, an empty folder.
    pub(super) fn new(root: &Path) -> Result<Self> {
        let rooted = Rooted::open(root)?;
        let space = rustix::fs::statvfs(root).map_err(std::io::Error::from)?;
        let writable = (space.f_bavail * space.f_frsize).saturating_sub(RESERVE);
        let (folders, not_kept) = (Vec::new(), BTreeMap::new());
        Ok(Self { rooted, names: 0, nameable: MOST_BYTES, writable, folders, not_kept })
    }

    /// A folder; one that is there already, made for what it holds, gets its owner and rights.
    pub(super) fn folder(&mut self, path: &Path, meta: &Meta) -> Result<()> {
        let path = self.count(path)?;
        let folder = self.open_folder(&path)?;
        let folder =
            openat(&folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(not_written)?;
        own(&folder, meta)?;
        for (name, _) in &meta.attributes {
            self.note_attribute(name);
        }
        self.folders.push((path, times(meta)));
        Ok(())
    }

    /// A file, to be filled and finished.
    pub(super) fn file(&mut self, path: &Path) -> Result<NewFile<'_>> {
        let (folder, name) = self.place(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&folder, &name, flags, Mode::from_raw_mode(0o600)).map_err(not_written)?;
        Ok(NewFile { file: file.into(), tree: self })
    }

    /// A symbolic link: its target is text for whoever looks at the finished tree from within.
    pub(super) fn link(&mut self, path: &Path, target: &OsStr, meta: &Meta) -> Result<()> {
        if target.is_empty() || target.len() > LONGEST_PATH {
            return Err(UnpackError::refused(format!("a symbolic link to {} bytes of path", target.len())));
        }
        let (folder, name) = self.place(path)?;
        symlinkat(target, &folder, &name).map_err(not_written)?;
        let (uid, gid) = (Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)));
        chownat(&folder, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| not_owned(errno, meta))?;
        utimensat(&folder, &name, &times(meta), AtFlags::SYMLINK_NOFOLLOW).map_err(not_written)
    }

    /// Another name of a file that is there already.
    pub(super) fn another_name(&mut self, path: &Path, of: &Path) -> Result<()> {
        let missing = || UnpackError::refused(format!("a hard link to {}, which is not there", of.display()));
        let target = inside(of)?;
        let (Some(name), Some(parent)) = (target.file_name(), target.parent()) else { return Err(missing()) };
        let parent = self.rooted.open_folder(parent).map_err(|_| missing())?;
        let there = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            return Err(UnpackError::refused(format!("a hard link to the folder {}", of.display())));
        }
        let (folder, new) = self.place(path)?;
        linkat(&parent, name, &folder, &new, AtFlags::empty()).map_err(not_written)
    }

    /// A device: those in /dev the kernel makes anew with each boot, and any other has no place in an image.
    pub(super) fn device(&mut self, path: &Path) -> Result<()> {
        let path = self.count(path)?;
        if !path.starts_with("dev") {
            return Err(UnpackError::refused("a device outside of /dev"));
        }
        self.note("devices in /dev");
        Ok(())
    }

    /// A pipe or a socket, which whoever uses it makes anew.
    pub(super) fn pipe(&mut self, path: &Path) -> Result<()> {
        self.count(path)?;
        self.note("pipes and sockets");
        Ok(())
    }

    /// Notes something that is left out.
    pub(super) fn note(&mut self, what: impl Into<String>) {
        *self.not_kept.entry(what.into()).or_default() += 1;
    }

    fn note_attribute(&mut self, name: &OsStr) {
        self.note(format!("extended attributes {}", name.display()));
    }

    /// Gives folders their times and returns what was left out, and of each how many.
    pub(super) fn finish(self) -> Result<BTreeMap<String, u64>> {
        for (path, times) in self.folders.iter().rev() {
            let folder = self.rooted.open_folder(path)?;
            utimensat(&folder, ".", times, AtFlags::empty()).map_err(not_written)?;
        }
        Ok(self.not_kept)
    }

    fn count(&mut self, path: &Path) -> Result<PathBuf> {
        self.names += 1;
        if self.names > MOST_NAMES {
            return Err(UnpackError::refused(format!("more than {MOST_NAMES} names")));
        }
        inside(path)
    }

    /// The folder that a new name belongs into, made when it is missing, and the name.
    fn place(&mut self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let path = self.count(path)?;
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return Err(UnpackError::refused("the top of the tree as something else than a folder"));
        };
        Ok((self.open_folder(parent)?, name.to_owned()))
    }

    fn open_folder(&self, path: &Path) -> Result<OwnedFd> {
        self.rooted.make_folders(path).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::LOOP) => UnpackError::refused("a symbolic link stands where it needs a folder"),
            Some(Errno::NOTDIR) => UnpackError::refused("a file stands where it needs a folder"),
            Some(errno) => not_written(errno),
            None => error.into(),
        })
    }
}

/// A file that is being written.
pub(super) struct NewFile<'t> {
    file: File,
    tree: &'t mut Tree,
}

impl NewFile<'_> {
    /// Puts bytes at an offset. Zeroes are left out: what is not written reads as such.
    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        const BLOCK: usize = 64 << 10;
        for (at, block) in (offset..).step_by(BLOCK).zip(bytes.chunks(BLOCK)) {
            if block.iter().all(|byte| *byte == 0) {
                continue;
            }
            let length = block.len() as u64;
            self.tree.writable = self.tree.writable.checked_sub(length).ok_or_else(|| {
                std::io::Error::new(std::io::ErrorKind::StorageFull, "the base leaves no space in the cache")
            })?;
            self.file.write_all_at(block, at)?;
        }
        Ok(())
    }

    /// Claims `bytes` of the tree's size before they are read, so that a claim of too many costs nothing.
    pub(super) fn claim(&mut self, bytes: u64) -> Result<()> {
        self.tree.nameable = self.tree.nameable.checked_sub(bytes).ok_or_else(|| {
            UnpackError::refused(format!("more than {} GiB in all, holes included", MOST_BYTES >> 30))
        })?;
        Ok(())
    }

    /// Gives the file its length, owner, rights, attributes and time.
    pub(super) fn finish(self, bytes: u64, meta: &Meta) -> Result<()> {
        self.file.set_len(bytes)?;
        own(&self.file, meta)?;
        for (name, value) in &meta.attributes {
            let text = name.as_bytes();
            if text.starts_with(b"user.overlay.") {
                // The build's layers are overlays, and these would be read as marks of ours.
                return Err(UnpackError::refused(format!("the extended attribute {}", name.display())));
            }
            if text == b"security.capability" || text.starts_with(b"user.") {
                fsetxattr(&self.file, name, value, XattrFlags::CREATE).map_err(|errno| match errno {
                    Errno::INVAL | Errno::PERM | Errno::RANGE | Errno::TOOBIG | Errno::EXIST => {
                        UnpackError::refused(format!("an extended attribute {} that is none", name.display()))
                    }
                    errno => std::io::Error::from(errno).into(),
                })?;
            } else {
                self.tree.note_attribute(name);
            }
        }
        futimens(&self.file, &times(meta)).map_err(not_written)
    }
}

/// The path relative to the tree's top.
fn inside(path: &Path) -> Result<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() > LONGEST_PATH {
        return Err(UnpackError::refused(format!("a path of {} bytes", bytes.len())));
    }
    if bytes.contains(&0) {
        return Err(UnpackError::refused("a path with a zero byte"));
    }
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let parts: PathBuf = parts
        .map(|part| match part {
            Component::Normal(name) if name.len() > 255 => Err("a name of more than 255 bytes"),
            Component::Normal(name) => Ok(name),
            Component::ParentDir => Err("a path with `..`"),
            _ => Err("an absolute path"),
        })
        .collect::<std::result::Result<_, _>>()
        .map_err(UnpackError::refused)?;
    if parts.components().count() > DEEPEST {
        return Err(UnpackError::refused(format!("a path of more than {DEEPEST} folders")));
    }
    Ok(parts)
}

fn own(file: impl AsFd, meta: &Meta) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)));
    // A change of owner takes set-user-id away, so the mode comes second.
    fchown(&file, uid, gid).map_err(|errno| not_owned(errno, meta))?;
    fchmod(&file, Mode::from_raw_mode(meta.mode & 0o7777)).map_err(not_written)
}

fn not_owned(errno: Errno, meta: &Meta) -> UnpackError {
    match errno {
        Errno::INVAL => UnpackError::refused(format!(
            "the owner {}:{}, which is no id inside the sandbox",
            meta.uid, meta.gid
        )),
        errno => std::io::Error::from(errno).into(),
    }
}

fn not_written(errno: Errno) -> UnpackError {
    match errno {
        Errno::EXIST => UnpackError::refused("a name that is there already"),
        Errno::NAMETOOLONG => UnpackError::refused("a name that is too long"),
        Errno::MLINK => UnpackError::refused("too many names of one file"),
        errno => std::io::Error::from(errno).into(),
    }
}

fn times(meta: &Meta) -> Timestamps {
    let (seconds, nanoseconds) = meta.modified;
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds % 1_000_000_000) },
    }
}
