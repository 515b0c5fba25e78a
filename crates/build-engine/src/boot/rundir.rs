//! The private folder of one boot. It holds a one-time key, so it is readable by its owner only and goes away with
//! the boot; what a killed process left behind is removed by the next boot in the same place.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::BootError;

const PREFIX: &str = "boot-";
const LOCK: &str = "lock";

/// A private folder, removed on drop.
pub(super) struct RunDir {
    folder: TempDir,
    /// Held as long as the folder is in use; the kernel releases it when this process ends.
    _lock: File,
}

impl RunDir {
    /// Makes a private folder inside `parent`, which is made where it does not exist, and removes abandoned ones.
    pub(super) fn create(parent: &Path) -> Result<Self, BootError> {
        fs::create_dir_all(parent).map_err(BootError::io("create", parent))?;
        let parent = parent.canonicalize().map_err(BootError::io("open", parent))?;
        remove_abandoned(&parent);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(BootError::io("create a folder in", &parent))?;
        // The lock gets its name only when it is held: until then nobody takes this folder for an abandoned one.
        let unnamed = folder.path().join("new-lock");
        let lock = File::create(&unnamed).map_err(BootError::io("create", &unnamed))?;
        lock.lock().map_err(BootError::io("lock", &unnamed))?;
        fs::rename(&unnamed, folder.path().join(LOCK)).map_err(BootError::io("rename", &unnamed))?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner can read.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<(), BootError> {
        let path = self.file(name);
        fs::write(&path, content).map_err(BootError::io("write", &path))
    }
}

/// Removes the folders whose lock nobody holds. A folder without a lock is one that is being made.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        match lock.try_lock() {
            Ok(()) => {
                let _ = fs::remove_dir_all(entry.path());
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_and_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(&parent.path().join("new")).unwrap();
        run.write("key", "secret").unwrap();
        let mode = fs::metadata(run.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = run.path().to_owned();
        drop(run);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let in_use = RunDir::create(parent.path()).unwrap();
        let abandoned = parent.path().join("boot-killed");
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join(LOCK), "").unwrap();
        let foreign = parent.path().join("boot-notes");
        fs::create_dir(&foreign).unwrap();
        let _second = RunDir::create(parent.path()).unwrap();
        assert!(in_use.path().exists());
        assert!(!abandoned.exists());
        assert!(foreign.exists());
    }
}
