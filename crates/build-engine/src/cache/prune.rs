//! What the cache holds, and its removal.

use std::fs::{self, File};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Cache, KEEP_MARK, now};
use crate::checkpoint::{Checkpoint, reached};
use crate::error::{BuildError, Result};
use crate::remove::remove_tree;

/// What `cache list` calls a working folder that outlives its build.
const KEPT: &str = "kept";

/// Kind of an entry, the folder that holds such entries, and the note in each of them.
const KINDS: [(&str, &str, &str); 4] = [
    ("base", "bases", "base.json"),
    ("layer", "layers", "layer.json"),
    ("packages", "packages", ""),
    (KEPT, "work", KEEP_MARK),
];

/// One row of `cache list`.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// `base`, `layer`, `packages`, or `kept` for what a failed step left (`errorHandling` abort).
    pub kind: &'static str,
    /// Its folder's name.
    pub key: String,
    /// What it is.
    pub name: String,
    /// Age in seconds.
    pub age_seconds: u64,
    /// Bytes it takes on disk.
    pub bytes: u64,
}

impl Cache {
    /// Everything in it.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut rows = Vec::new();
        for (kind, folder, note) in KINDS {
            let folder = self.root().join(folder);
            for entry in fs::read_dir(&folder).map_err(BuildError::io("read", &folder))?.flatten() {
                let path = entry.path();
                // Without its mark, a working folder belongs to a build that runs.
                if !path.is_dir() || (kind == KEPT && !path.join(note).exists()) {
                    continue;
                }
                let key = entry.file_name().to_string_lossy().into_owned();
                let (name, created) = describe(&path.join(note)).unwrap_or((key.clone(), None));
                let age_seconds = created.map_or_else(|| age_of(&path), |then| now().saturating_sub(then));
                rows.push(Entry { kind, key, name, age_seconds, bytes: tree_bytes(&path) });
            }
        }
        rows.sort_by(|a, b| (a.kind, a.age_seconds).cmp(&(b.kind, b.age_seconds)));
        Ok(rows)
    }

    /// Removes what is older than `older_than` seconds and returns how many bytes that freed.
    ///
    /// Each entry first leaves its place by one rename: a kill may leave something of it in a working folder, where
    /// the next to open the cache removes it, but never half an entry.
    ///
    /// # Errors
    /// When a build uses the cache, or something cannot be removed.
    pub fn prune(root: &Path, older_than: u64) -> Result<u64> {
        let refuse = &mut || {
            Err(BuildError::Host {
                message: format!("the cache {} is in use", root.display()),
                hint: Some("wait for the build, or the other `cache prune`, to end".to_owned()),
            })
        };
        let cache = Self::locked(root, File::try_lock, refuse)?;
        cache.remove_abandoned()?;
        reached(Checkpoint::PruneBegun);
        let work = cache.work()?;
        let mut freed = 0;
        for entry in cache.list()?.into_iter().filter(|entry| entry.age_seconds >= older_than) {
            for (_, folder, _) in KINDS.into_iter().filter(|(kind, ..)| *kind == entry.kind) {
                let path = root.join(folder).join(&entry.key);
                let outside = work.folder("pruned")?.join("entry");
                fs::rename(&path, &outside).map_err(BuildError::io("move", &path))?;
                reached(Checkpoint::PruneMoved);
                remove_tree(&outside)?;
                reached(Checkpoint::PruneRemoved);
            }
            freed += entry.bytes;
        }
        Ok(freed)
    }
}

fn age_of(path: &Path) -> u64 {
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    modified.and_then(|then| then.elapsed().ok()).map_or(0, |age| age.as_secs())
}

fn describe(note: &Path) -> Option<(String, Option<u64>)> {
    #[derive(Deserialize)]
    struct Note {
        name: String,
        created: u64,
    }
    let note: Note = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    Some((note.name, Some(note.created)))
}

fn tree_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    let own = meta.blocks() * 512;
    if !meta.is_dir() {
        return own;
    }
    own + fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| tree_bytes(&entry.path()))
        .sum::<u64>()
}
