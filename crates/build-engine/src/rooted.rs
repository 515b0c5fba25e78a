//! A folder tree that nothing leads out of: the root file system of an image, read and changed from outside.
//!
//! What is inside was made by arbitrary scripts. Reading follows symbolic links as the booted machine would, with
//! the tree's own top as `/`. Changing follows none, and never crosses into another mount, so neither a link
//! `/etc -> /` nor a bound cache can turn a clean-up into damage. The kernel enforces both (`openat2(2)`).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, fchmod, fchown, fstat, mkdirat,
    openat, openat2, renameat, statat, unlinkat,
};
use rustix::io::Errno;

/// Folders nested deeper than this are refused rather than walked: each level costs a descriptor and stack.
const MAX_DEPTH: usize = 256;
/// `openat2` asks to be called again when anything on the machine was renamed or mounted meanwhile.
const MAX_RETRIES: usize = 1000;

/// An open root; see the module's own words.
#[derive(Debug)]
pub struct Rooted {
    top: OwnedFd,
    path: PathBuf,
}

/// Something inside a root could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {path} of the image in {root}")]
pub struct RootedError {
    /// What was tried.
    pub action: &'static str,
    /// The path as the image sees it.
    pub path: String,
    /// Where the image's root is.
    pub root: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl RootedError {
    /// The reason when it was not tried for safety: a link or a mount stands in the way.
    pub fn refusal(&self) -> Option<&'static str> {
        match Errno::from_io_error(&self.source)? {
            Errno::LOOP => Some("a symbolic link stands where a folder is expected"),
            Errno::XDEV => Some("it is on another mount"),
            _ => None,
        }
    }
}

/// What is at a path is not what can be read as a file: whoever made the image is to change it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

impl Unfit {
    fn error(why: String) -> io::Error {
        io::Error::other(Self(why))
    }

    /// Whether this is at the bottom of an error.
    pub fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.any(|error| {
            let error: Option<&io::Error> = error.downcast_ref();
            error.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref::<Self>()).is_some()
        })
    }
}

/// What [`Rooted::sweep`] does with one thing it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Take it away; a folder goes only when nothing in it is kept.
    Remove,
    /// Cut a regular file to length 0, keeping owner and mode; anything else stays.
    Truncate,
    /// Leave it as it is; a folder is still walked.
    Keep,
}

/// What a name in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a socket or a pipe.
    Other,
}

impl Kind {
    fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            _ => Self::Other,
        }
    }
}

impl Rooted {
    /// Opens the folder `path` as a root.
    ///
    /// # Errors
    /// [`RootedError`] when it is not a folder that can be opened.
    pub fn open(path: &Path) -> Result<Self, RootedError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| RootedError {
            action: "open",
            path: "/".into(),
            root: path.to_owned(),
            source: errno.into(),
        })?;
        Ok(Self { top, path: path.to_owned() })
    }

    /// Where the root is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a regular file; `None` when there is nothing at `path`, a folder or a device.
    ///
    /// # Errors
    /// [`RootedError`] when it cannot be read, is longer than `limit` bytes, or is a pipe or a socket.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, RootedError> {
        self.try_read(path, limit).map_err(|source| self.error("read", path, source))
    }

    fn try_read(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        // Without NONBLOCK a pipe of that name would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match self.follow(path, flags) {
            // As the kernel says it of a socket.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => Err(no_regular_file()),
            opened => absent_is_none(opened),
        };
        let Some(file) = file? else { return Ok(None) };
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => {}
            FileType::Fifo => return Err(no_regular_file()),
            _ => return Ok(None),
        }
        let mut content = Vec::new();
        File::from(file).take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(Unfit::error(format!("it is longer than {limit} bytes")));
        }
        Ok(Some(content))
    }

    /// Names in the folder `path` with what they are, sorted; none when there is no such folder.
    ///
    /// # Errors
    /// [`RootedError`] when the folder cannot be read.
    pub fn list(&self, path: &str) -> Result<Vec<(OsString, Kind)>, RootedError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let read = || match absent_is_none(self.follow(path, flags))? {
            None => Ok(Vec::new()),
            Some(folder) => names(&folder)?
                .into_iter()
                .map(|name| {
                    let stat = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
                    Ok((name, Kind::of(&stat)))
                })
                .collect(),
        };
        read().map_err(|source| self.error("list", path, source))
    }

    /// What `path` itself is, without following a link at its end; `None` when nothing is there.
    ///
    /// # Errors
    /// [`RootedError`] when the folders on the way cannot be opened.
    pub fn kind(&self, path: &str) -> Result<Option<Kind>, RootedError> {
        let look = || {
            let Some((parent, name)) = self.parent(path)? else { return Ok(None) };
            Ok(stat_if_there(&parent, name)?.map(|stat| Kind::of(&stat)))
        };
        look().map_err(|source| self.error("look at", path, source))
    }

    /// Where a symbolic link points; `None` when `path` is not one.
    ///
    /// # Errors
    /// [`RootedError`] when the folders on the way cannot be opened.
    pub fn read_link(&self, path: &str) -> Result<Option<PathBuf>, RootedError> {
        let look = || {
            let Some((parent, name)) = self.parent(path)? else { return Ok(None) };
            match rustix::fs::readlinkat(&parent, name, Vec::new()) {
                Ok(target) => Ok(Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))),
                Err(Errno::NOENT | Errno::INVAL) => Ok(None),
                Err(errno) => Err(errno.into()),
            }
        };
        look().map_err(|source| self.error("look at", path, source))
    }

    /// Puts a file at `path`, in one step and whatever was there: owner and mode of a regular file that it replaces
    /// are kept, a new one gets `mode`. Folders on the way are made.
    ///
    /// # Errors
    /// [`RootedError`] when it cannot be written, or a link or mount is on the way.
    pub fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), RootedError> {
        self.try_write(path, content, mode).map_err(|source| self.error("write", path, source))
    }

    fn try_write(&self, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let (folder, name) = split(path)?;
        let parent = self.make_folders(folder)?;
        let old = stat_if_there(&parent, name)?.filter(|stat| Kind::of(stat) == Kind::File);
        let mut fresh = OsString::from(".");
        fresh.push(name);
        fresh.push(".new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        absent_is_none(unlinkat(&parent, &fresh, AtFlags::empty()).map_err(Into::into))?;
        let file = openat(&parent, &fresh, flags, Mode::from_raw_mode(0o600))?;
        if let Some(old) = &old {
            fchown(&file, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)))?;
        }
        fchmod(&file, Mode::from_raw_mode(old.map_or(mode, |old| old.st_mode & 0o7777)))?;
        File::from(file).write_all(content)?;
        Ok(renameat(&parent, &fresh, &parent, name)?)
    }

    /// Makes the folder `path`, and those on the way, unless they are there; new ones get mode 0755.
    ///
    /// # Errors
    /// [`RootedError`] when it cannot be made, or a link or mount is on the way.
    pub fn make_folder(&self, path: &str) -> Result<(), RootedError> {
        self.make_folders(Path::new(path))
            .map(drop)
            .map_err(|source| self.error("make the folder", path, source))
    }

    /// Opens the folder `path`, which it makes with those on the way unless they are there. No link is followed.
    pub(crate) fn make_folders(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut folder = self.top.try_clone()?;
        for part in path.strip_prefix("/").unwrap_or(path) {
            match mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            folder = open_strictly(&folder, Path::new(part), OFlags::PATH | OFlags::DIRECTORY)?;
        }
        Ok(folder)
    }

    /// Removes `path`, a folder with everything in it except other mounts. Returns how many things went.
    ///
    /// # Errors
    /// [`RootedError`] when something cannot be removed, or a link or mount is on the way.
    pub fn remove(&self, path: &str) -> Result<u64, RootedError> {
        let remove = || {
            let Some((parent, name)) = self.parent(path)? else { return Ok(0) };
            let Some(stat) = stat_if_there(&parent, name)? else { return Ok(0) };
            meet(&parent, name, &stat, &|_, _| Fate::Remove, 0).map(|(changed, _)| changed)
        };
        remove().map_err(|source| self.error("remove", path, source))
    }

    /// Walks everything below the folder `path`, which itself stays, and does what `decide` says, leaving out what is
    /// on other mounts.
    /// Returns how many things were changed; 0 when there is no such folder.
    ///
    /// # Errors
    /// [`RootedError`] when something cannot be changed, or a link or mount is on the way.
    pub fn sweep(&self, path: &str, decide: &dyn Fn(&OsStr, Kind) -> Fate) -> Result<u64, RootedError> {
        let sweep = || {
            let inside = Path::new(path).strip_prefix("/").unwrap_or(Path::new(path));
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            match absent_is_none(open_strictly(&self.top, inside, flags))? {
                None => Ok(0),
                Some(folder) => walk(&folder, decide, 0).map(|(changed, _)| changed),
            }
        };
        sweep().map_err(|source| self.error("clean", path, source))
    }

    /// Opens the folder `path` without following a link.
    pub(crate) fn open_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.top.try_clone();
        }
        open_strictly(&self.top, path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The folder that holds `path`, reached without following a link, and the name in it.
    fn parent<'p>(&self, path: &'p str) -> io::Result<Option<(OwnedFd, &'p OsStr)>> {
        let (folder, name) = split(path)?;
        Ok(absent_is_none(self.open_folder(folder))?.map(|folder| (folder, name)))
    }

    fn follow(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        open(&self.top, Path::new(path), flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    fn error(&self, action: &'static str, path: &str, source: io::Error) -> RootedError {
        RootedError { action, path: path.into(), root: self.path.clone(), source }
    }
}

fn no_regular_file() -> io::Error {
    Unfit::error("it is a pipe or a socket, and no regular file".to_owned())
}

/// Folder and name of an absolute path, the folder relative to the root.
fn split(path: &str) -> io::Result<(&Path, &OsStr)> {
    let inside = Path::new(path.strip_prefix('/').unwrap_or(path));
    match (inside.parent(), inside.file_name()) {
        (Some(folder), Some(name)) => Ok((folder, name)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file")),
    }
}

fn open_strictly(from: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    open(from, path, flags, resolve)
}

fn open(from: &OwnedFd, path: &Path, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    let attempt = || openat2(from, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
    let mut result = attempt();
    for _ in 0..MAX_RETRIES {
        if result.as_ref().err() != Some(&Errno::AGAIN) {
            break;
        }
        result = attempt();
    }
    Ok(result?)
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn stat_if_there(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<Stat>> {
    absent_is_none(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Into::into))
}

fn names(folder: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut out = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            out.push(OsStr::from_bytes(name).to_owned());
        }
    }
    out.sort();
    Ok(out)
}

type Decide<'a> = &'a dyn Fn(&OsStr, Kind) -> Fate;

/// How many things below `folder` were changed, and whether nothing is left in it.
fn walk(folder: &OwnedFd, decide: Decide<'_>, depth: usize) -> io::Result<(u64, bool)> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("folders are nested more than {MAX_DEPTH} deep")));
    }
    let (mut changed, mut empty) = (0, true);
    for name in names(folder)? {
        let stat = statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let (count, gone) = meet(folder, &name, &stat, decide, depth)?;
        changed += count;
        empty &= gone;
    }
    Ok((changed, empty))
}

/// How many things were changed at and below `name`, and whether it is gone.
fn meet(
    folder: &OwnedFd,
    name: &OsStr,
    stat: &Stat,
    decide: Decide<'_>,
    depth: usize,
) -> io::Result<(u64, bool)> {
    let kind = Kind::of(stat);
    let fate = decide(name, kind);
    let mut changed = 0;
    let mut flags = AtFlags::empty();
    if kind == Kind::Folder {
        let inner = match open_strictly(folder, Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY) {
            // Another mount is no part of the image.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) => return Ok((0, false)),
            inner => inner?,
        };
        let (count, empty) = walk(&inner, decide, depth + 1)?;
        if fate != Fate::Remove || !empty {
            return Ok((count, false));
        }
        changed = count;
        flags = AtFlags::REMOVEDIR;
    }
    match fate {
        Fate::Keep => Ok((changed, false)),
        // A second name of the file may be anything, so it must not be emptied through this one.
        Fate::Truncate if kind == Kind::File && stat.st_nlink == 1 => {
            if stat.st_size == 0 {
                return Ok((0, false));
            }
            let file = open_strictly(folder, Path::new(name), OFlags::WRONLY | OFlags::NONBLOCK)?;
            rustix::fs::ftruncate(&file, 0)?;
            Ok((1, false))
        }
        Fate::Truncate if kind != Kind::File => Ok((changed, false)),
        Fate::Truncate | Fate::Remove => {
            match unlinkat(folder, name, flags) {
                Ok(()) => Ok((changed + 1, true)),
                // A file mounted over this one, or a folder in which one is.
                Err(Errno::BUSY) => Ok((changed, false)),
                Err(errno) => Err(errno.into()),
            }
        }
    }
}
