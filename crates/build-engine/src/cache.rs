//! The cache: bases, layers, packages, and the working folders of builds that run.
//!
//! ```text
//! <cache>/lock             held shared by builds, alone by `cache prune`
//!         base-<suite>.lock  held by the build that makes a base
//!         bases/<id>/      root/, lists/ (apt's package lists) and base.json; ext4-<key>/ (a file system of root/)
//!         layers/<name>/   diff/ and layer.json; an overlay's upper folder, renamed, never changed again
//!         packages/<base>/ .deb files whose digests stand in a signed index
//!         work/<id>/       scratch of one build; its `lock` is free once that build is gone
//! ```
//!
//! Everything enters by one rename and leaves by one, so what is there is whole. A layer that is made again stands
//! beside the older one, which another build may have mounted; only `cache prune`, when no build runs, removes layers.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use egress_gateway::Connection;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, reached};
use crate::error::{BuildError, Result};
use crate::remove::remove_tree;
use crate::{lock, packages};

mod prune;

pub use prune::Entry;

/// Removes what a failed step left and [`Work::keep`] kept, and nothing else; gone already is fine. A kill on the way
/// leaves a working folder without its mark, which the next build removes.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_kept(folder: &Path) -> Result<()> {
    let mark = folder.join(KEEP_MARK);
    match fs::remove_file(&mark) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BuildError::io("remove", mark)(error)),
        Ok(()) => remove_tree(folder),
    }
}

/// A place for what builds share.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    _lock: File,
}

/// The mark of a working folder that outlives its build.
const KEEP_MARK: &str = "keep.json";
/// What is known about a layer; written once, beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digest of everything that could change its content.
    pub key: String,
    /// Changes every time the layer is made, and with it the keys of the layers above: what was made on top of
    /// an older result of the same step is never mixed with a newer one.
    pub instance: String,
    /// Name of the step that made it.
    pub name: String,
    /// Seconds since 1970 when it was made.
    pub created: u64,
    /// Its step reached something over the network, so that the same step may give something else later.
    pub used_network: bool,
    /// How long the step took, in seconds.
    pub seconds: f64,
    /// A script of the image's author has run in it instead of the service's deprovisioning.
    #[serde(default)]
    pub deprovisioned: bool,
    /// What the step contacted: a build that reuses the layer reports it again, for it is in the image.
    pub connections: Vec<Connection>,
}

impl LayerRecord {
    /// Its folder relative to the cache, as overlays name it.
    pub fn path(&self) -> PathBuf {
        Path::new("layers").join(self.folder_name()).join("diff")
    }

    /// Short, because the kernel takes no more than 4096 bytes for the names of all layers of a stack; the record
    /// holds the whole key.
    fn folder_name(&self) -> String {
        layer_name_start(&self.key) + self.instance.get(..8).unwrap_or(&self.instance)
    }
}

fn layer_name_start(key: &str) -> String {
    format!("{}-", key.get(..16).unwrap_or(key))
}

impl Cache {
    /// `$AKS_JUMPBOX_CACHE`, else `aks-jumpbox` below `$XDG_CACHE_HOME` or `~/.cache`.
    pub fn default_path() -> PathBuf {
        if let Some(path) = std::env::var_os("AKS_JUMPBOX_CACHE") {
            return PathBuf::from(path);
        }
        let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        let base = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), PathBuf::from);
        base.join("aks-jumpbox")
    }

    /// Opens the cache for a build, making it when it is missing, and removes what killed builds left. While it is
    /// being pruned, `waits` is asked now and then, whose error ends the wait.
    ///
    /// # Errors
    /// That of `waits`, or when the folder cannot be made.
    pub fn open(root: &Path, waits: &mut dyn FnMut() -> Result<()>) -> Result<Self> {
        let cache = Self::locked(root, File::try_lock_shared, waits)?;
        // A process that was killed in this moment may still write; what cannot be removed now is removed later.
        let _ = cache.remove_abandoned();
        Ok(cache)
    }

    fn locked(
        root: &Path,
        lock: fn(&File) -> std::result::Result<(), TryLockError>,
        waits: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        for name in ["bases", "layers", "packages", "work"] {
            let folder = root.join(name);
            fs::create_dir_all(&folder).map_err(BuildError::io("make the cache folder", &folder))?;
        }
        let path = root.join("lock");
        let file = lock_file(&path)?;
        lock::take(&file, &path, lock, waits)?;
        Ok(Self { root: root.to_path_buf(), _lock: file })
    }

    /// The right to make a base for a suite, which one build at a time has, until the returned file is closed.
    ///
    /// # Errors
    /// That of `waits`, which is asked while another build has it.
    pub fn making_base(&self, suite: &str, waits: &mut dyn FnMut() -> Result<()>) -> Result<File> {
        let path = self.root.join(format!("base-{suite}.lock"));
        let file = lock_file(&path)?;
        lock::take(&file, &path, File::try_lock, waits)?;
        Ok(file)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The newest layer of a key, when there is one.
    pub fn layer(&self, key: &str) -> Option<LayerRecord> {
        let start = layer_name_start(key);
        let layers = fs::read_dir(self.root.join("layers")).ok()?.flatten();
        let named = layers.filter(|entry| entry.file_name().to_string_lossy().starts_with(&start));
        let records = named.filter_map(|entry| {
            let file = entry.path().join("layer.json");
            let record: LayerRecord = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
            (record.key == key).then_some((record, fs::metadata(&file).and_then(|meta| meta.modified()).ok()))
        });
        records.max_by_key(|(record, modified)| (record.created, *modified)).map(|(record, _)| record)
    }

    /// Makes `upper` a layer. One without an instance of its own that another build made meanwhile stays, and this
    /// one goes with the working folder.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn seal_layer(&self, upper: &Path, record: &LayerRecord, work: &Work) -> Result<()> {
        let staging = work.folder("seal")?;
        let diff = staging.join("diff");
        fs::rename(upper, &diff).map_err(BuildError::io("seal", upper))?;
        let text = serde_json::to_vec(record).unwrap_or_default();
        write_synced(&staging.join("layer.json"), &text)?;
        reached(Checkpoint::LayerStaged);
        let target = self.root.join("layers").join(record.folder_name());
        match fs::rename(&staging, &target) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && record.instance == record.key => {
                Ok(())
            }
            renamed => renamed.map_err(BuildError::io("seal", &target)),
        }
    }

    /// A scratch folder of this build, locked while the build lives.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn work(&self) -> Result<Work> {
        let path = self.root.join("work").join(uuid::Uuid::new_v4().to_string());
        let _begun = self.judging()?;
        fs::create_dir(&path).map_err(BuildError::io("make", &path))?;
        reached(Checkpoint::WorkFolderMade);
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(BuildError::io("make", &lock_path))?;
        lock.lock().map_err(BuildError::io("lock", &lock_path))?;
        Ok(Work { path, keep: false, _lock: lock })
    }

    /// Held while a working folder is begun and while all are judged: one without its lock then is abandoned.
    fn judging(&self) -> Result<File> {
        let path = self.root.join("work");
        let folder = File::open(&path).map_err(BuildError::io("open", &path))?;
        folder.lock().map_err(BuildError::io("lock", &path))?;
        Ok(folder)
    }

    fn remove_abandoned(&self) -> Result<()> {
        let stores = self.root.join("packages");
        packages::remove_unfinished(&stores).map_err(BuildError::io("clear", &stores))?;
        // Each is locked while it is removed, so that two do not remove the same.
        self.abandoned()?.into_iter().try_for_each(|(path, _lock)| remove_tree(&path))
    }

    /// Working folders of builds that are gone, with their locks, where they have one.
    fn abandoned(&self) -> Result<Vec<(PathBuf, Option<File>)>> {
        let _judged = self.judging()?;
        let folder = self.root.join("work");
        let entries = fs::read_dir(&folder).map_err(BuildError::io("read", &folder))?.flatten();
        let free =
            entries.map(|entry| entry.path()).filter_map(|path| match File::open(path.join("lock")).ok() {
                Some(lock) => lock.try_lock().is_ok().then_some((path, Some(lock))),
                None => Some((path, None)),
            });
        Ok(free.filter(|(path, _)| !path.join(KEEP_MARK).exists()).collect())
    }
}

/// Scratch of one build; removed when dropped.
#[derive(Debug)]
pub struct Work {
    path: PathBuf,
    keep: bool,
    _lock: File,
}

impl Work {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new, empty folder inside.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(format!("{name}-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&path).map_err(BuildError::io("make", &path))?;
        Ok(path)
    }

    /// A new folder with the `upper` and `work` that an overlay needs.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn overlay(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder(name)?;
        for part in ["upper", "work"] {
            let path = folder.join(part);
            fs::create_dir(&path).map_err(BuildError::io("make", &path))?;
        }
        Ok(folder)
    }

    /// Removes what is in the folder, which then is quickly dropped.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(&self.path).map_err(BuildError::io("read", &self.path))?.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_tree(&entry.path())?;
            }
        }
        reached(Checkpoint::WorkCleared);
        Ok(())
    }

    /// Leaves the folder behind (`errorHandling` abort); `cache prune` removes it.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn keep(&mut self) -> Result<()> {
        self.keep = true;
        let mark = self.path.join(KEEP_MARK);
        let note = serde_json::json!({"name": "what a failed step left", "created": now()});
        fs::write(&mark, note.to_string()).map_err(BuildError::io("write", &mark))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed now is removed by the next run.
            let _ = remove_tree(&self.path);
        }
    }
}

fn lock_file(path: &Path) -> Result<File> {
    let open = File::options().create(true).truncate(false).write(true).open(path);
    open.map_err(BuildError::io("open", path))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Writes a file and waits until it is on the disk.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(BuildError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, instance: &str, created: u64) -> LayerRecord {
        LayerRecord {
            key: key.into(),
            instance: instance.into(),
            name: "one".into(),
            created,
            used_network: true,
            seconds: 1.0,
            deprovisioned: false,
            connections: Vec::new(),
        }
    }

    fn seal(cache: &Cache, record: &LayerRecord, content: &str) {
        let work = cache.work().expect("work");
        let scratch = work.overlay("step").expect("overlay");
        fs::write(scratch.join("upper/file"), content).expect("write");
        cache.seal_layer(&scratch.join("upper"), record, &work).expect("seal");
    }

    fn content(cache: &Cache, record: &LayerRecord) -> String {
        fs::read_to_string(cache.root().join(record.path()).join("file")).expect("read")
    }

    #[test]
    fn a_layer_is_whole_or_absent_and_found_again() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = Cache::open(folder.path(), &mut || Ok(())).expect("opens");
        assert!(cache.layer("k").is_none());
        seal(&cache, &record("k", "i", now()), "x");
        let found = cache.layer("k").expect("layer");
        assert!(found.used_network);
        assert_eq!(content(&cache, &found), "x");
        assert_eq!(cache.list().expect("list")[0].name, "one");
    }

    #[test]
    fn a_layer_made_again_is_the_one_that_counts_and_the_older_one_stays_for_who_has_it_mounted() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = Cache::open(folder.path(), &mut || Ok(())).expect("opens");
        let (older, newer) = (record("k", "z", 100), record("k", "a", 200));
        seal(&cache, &older, "older");
        seal(&cache, &newer, "newer");
        seal(&cache, &record("other", "b", 300), "other");
        assert_eq!(cache.layer("k").expect("layer").instance, "a");
        assert_eq!(content(&cache, &older), "older");
    }

    #[test]
    fn a_layer_that_is_the_same_whenever_it_is_made_is_kept_once() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = Cache::open(folder.path(), &mut || Ok(())).expect("opens");
        let same = record("k", "k", 100);
        seal(&cache, &same, "first");
        seal(&cache, &same, "second");
        assert_eq!(content(&cache, &same), "first");
    }

    #[test]
    fn work_of_a_dead_build_is_removed_and_of_a_live_one_kept() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = Cache::open(folder.path(), &mut || Ok(())).expect("opens");
        let dead = folder.path().join("work/dead");
        fs::create_dir(&dead).expect("make");
        fs::write(dead.join("lock"), "").expect("lock file");
        let live = cache.work().expect("work");
        Cache::open(folder.path(), &mut || Ok(())).expect("opens again");
        assert!(!dead.exists());
        assert!(live.path().exists());
        let path = live.path().to_path_buf();
        drop(live);
        assert!(!path.exists());
    }

    #[test]
    fn prune_waits_for_no_build_and_frees_what_is_old() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = Cache::open(folder.path(), &mut || Ok(())).expect("opens");
        assert!(Cache::prune(folder.path(), 0).is_err(), "a build holds the cache");
        fs::create_dir_all(folder.path().join("layers/k/diff")).expect("make");
        drop(cache);
        Cache::prune(folder.path(), 0).expect("prunes");
        assert!(!folder.path().join("layers/k").exists());
    }
}
