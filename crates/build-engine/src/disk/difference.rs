//! In which names a tree differs from the base below its layers. Only the layers are walked for that; what is there now
//! and what was there in the base decides, so that the marks of overlays are never read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::llistxattr;

use super::DiskError;
use super::compare::names;
use super::ext4::{CAPABILITY, LOST_AND_FOUND};
use crate::error::full_text;

/// Beyond these, writing the file system as a whole is about as fast.
const MOST_NAMES: usize = 3000;
const MOST_BYTES: u64 = 128 << 20;

/// Why a disk is not derived, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole(pub(super) String);

impl<E: std::error::Error> From<E> for Whole {
    fn from(error: E) -> Self {
        // What failed; a program's own words after it are about a file that is gone by then.
        Self(full_text(&error).lines().next().unwrap_or_default().to_owned())
    }
}

/// What a merged tree is made of.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// Tree of the base, the lowest layer.
    pub base: PathBuf,
    /// Folders of all layers above it.
    pub layers: Vec<PathBuf>,
    /// Empty folder to write a file system of the base to, where none is kept beside it.
    pub staging: Option<PathBuf>,
}

/// What has to happen to the base.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Names that go, with whether they are folders.
    pub(super) removed: BTreeMap<PathBuf, bool>,
    /// Names that come.
    pub(super) added: BTreeMap<PathBuf, Metadata>,
    /// Folders that stay, with other properties.
    pub(super) kept: BTreeMap<PathBuf, Metadata>,
    /// How many names a file that comes has in all, and how many of them come.
    linked: HashMap<(u64, u64), (u64, u64)>,
}

impl Difference {
    /// Of the merged tree at `root`.
    pub(super) fn of(root: &Path, origin: &Origin) -> Result<Self, Whole> {
        let mut candidates = BTreeSet::new();
        for layer in &origin.layers {
            candidates.extend(names(layer)?);
        }
        let mut out = Self::default();
        let mut folders: [BTreeSet<PathBuf>; 2] = [[PathBuf::new()].into(), [PathBuf::new()].into()];
        out.missing(Path::new(""), root, &origin.base)?;
        // Each folder comes before what is in it.
        for path in candidates {
            // Where a folder has become a link, looking below it would follow that.
            let [now, before] = [(0, root), (1, origin.base.as_path())].map(|(side, tree)| {
                let parent = path.parent().is_some_and(|parent| folders[side].contains(parent));
                if parent { look(&tree.join(&path)) } else { Ok(None) }
            });
            let (now, before) = (now?, before?);
            for (side, meta) in [&now, &before].into_iter().enumerate() {
                if meta.as_ref().is_some_and(Metadata::is_dir) {
                    folders[side].insert(path.clone());
                }
            }
            out.add(path, now, before, root, &origin.base)?;
        }
        out.fits()
    }

    fn add(
        &mut self,
        path: PathBuf,
        now: Option<Metadata>,
        before: Option<Metadata>,
        root: &Path,
        base: &Path,
    ) -> Result<(), Whole> {
        match (now, before) {
            (Some(now), Some(before)) if now.is_dir() && before.is_dir() => {
                plain(&path, &now, &root.join(&path))?;
                plain(&path, &before, &base.join(&path))?;
                self.missing(&path, root, base)?;
                self.kept.insert(path, now);
            }
            (now, before) => {
                if let Some(before) = before {
                    self.remove(&path, &before, base)?;
                }
                if let Some(now) = now {
                    plain(&path, &now, &root.join(&path))?;
                    if now.is_file() && now.nlink() > 1 {
                        self.linked.entry((now.dev(), now.ino())).or_insert((now.nlink(), 0)).1 += 1;
                    }
                    self.added.insert(path, now);
                }
            }
        }
        Ok(())
    }

    /// Removes what a folder of the base has and the tree has not.
    fn missing(&mut self, folder: &Path, root: &Path, base: &Path) -> Result<(), Whole> {
        for entry in fs::read_dir(base.join(folder))? {
            let path = folder.join(entry?.file_name());
            if look(&root.join(&path))?.is_none()
                && let Some(before) = look(&base.join(&path))?
            {
                self.remove(&path, &before, base)?;
            }
        }
        Ok(())
    }

    /// Removes a name, and everything below it, that the base has.
    fn remove(&mut self, path: &Path, before: &Metadata, base: &Path) -> Result<(), Whole> {
        removable(path, before)?;
        self.removed.insert(path.to_owned(), before.is_dir());
        if before.is_dir() {
            for below in names(&base.join(path))? {
                let below = path.join(below);
                let full = base.join(&below);
                let meta = fs::symlink_metadata(&full).map_err(DiskError::io("look at", &full))?;
                removable(&below, &meta)?;
                self.removed.insert(below, meta.is_dir());
            }
        }
        Ok(())
    }

    fn fits(self) -> Result<Self, Whole> {
        let names = self.removed.len() + self.added.len() + self.kept.len();
        let bytes: u64 = self.added.values().map(|meta| meta.blocks() * 512).sum();
        if names > MOST_NAMES {
            return Err(Whole(format!("{names} names differ from the base")));
        }
        if self.linked.values().any(|(all, come)| all != come) {
            return Err(Whole("a file that differs from the base has a name that does not".to_owned()));
        }
        if bytes > MOST_BYTES {
            return Err(Whole(format!("{} MiB differ from the base", bytes >> 20)));
        }
        Ok(self)
    }
}

fn look(path: &Path) -> Result<Option<Metadata>, DiskError> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DiskError::io("look at", path)(error)),
    }
}

/// Whether `debugfs` can be told to remove a name.
fn removable(path: &Path, meta: &Metadata) -> Result<(), Whole> {
    let problem =
        if !meta.is_dir() && meta.nlink() > 1 { "has another name in the base" } else { return named(path) };
    Err(refused(path, problem))
}

/// Whether `debugfs` can be told to make what is there.
fn plain(path: &Path, meta: &Metadata, full: &Path) -> Result<(), Whole> {
    let kind = meta.file_type();
    let in_range = |time: i64| i32::try_from(time).is_ok_and(|time| time >= 0);
    let problem = if !kind.is_dir() && !kind.is_file() && !kind.is_symlink() {
        "is neither file nor folder nor link"
    } else if kind.is_symlink() && meta.nlink() > 1 {
        "is a link with another name"
    } else if ![meta.atime(), meta.mtime(), meta.ctime()].into_iter().all(in_range) {
        "has a time before 1970 or after 2037"
    } else if kind.is_symlink() && !is_tellable(&fs::read_link(full)?) {
        "leads where debugfs cannot be told"
    } else if !kind.is_symlink() && has_other_attributes(full, kind.is_file())? {
        "has extended attributes"
    } else {
        return named(path);
    };
    Err(refused(path, problem))
}

fn named(path: &Path) -> Result<(), Whole> {
    if !is_tellable(path) {
        return Err(refused(path, "has a name that cannot be told to debugfs"));
    }
    if path.starts_with(LOST_AND_FOUND) {
        return Err(refused(path, "is the file system's own"));
    }
    Ok(())
}

fn refused(path: &Path, problem: &str) -> Whole {
    Whole(format!("/{} {problem}", crate::log::printable(&path.to_string_lossy())))
}

/// Whether it can stand between quotes in a request to `debugfs`, which knows no escapes.
pub(super) fn is_tellable(path: &Path) -> bool {
    /// Of the lines that `debugfs` reads whole.
    const LONGEST: usize = 2000;
    path.to_str().is_some_and(|text| {
        text.len() < LONGEST && text.chars().all(|letter| !letter.is_control() && letter != '"')
    })
}

/// Others than a file's capabilities.
fn has_other_attributes(path: &Path, is_file: bool) -> Result<bool, Whole> {
    let mut list = vec![0; 1 << 16];
    let length = llistxattr(path, &mut list[..])?;
    let mut names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.any(|name| !is_file || name != CAPABILITY.as_bytes()))
}
