//! Watches what a step writes: a step may not fill more than the image's disk, nor the disk of this machine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

/// Bytes of the disk of a Debian image in Azure, for a template that states no size.
pub const USUAL_DISK: u64 = 30 << 30;
/// Bytes that a step must leave free on this machine.
const LEFT_FREE: u64 = 1 << 30;
/// Names of files that a step must leave free on this machine.
const LEFT_INODES: u64 = 100_000;

/// The folders that a step writes to, all on one file system, and how much it may write.
#[derive(Debug)]
pub struct SpaceGuard {
    folders: Vec<PathBuf>,
    most: u64,
    /// At the begin; none where the file system does not say, and then nothing is watched.
    start: Option<Free>,
    /// Bytes that must be gone since the begin before the step can have written too much.
    measure_at: u64,
}

impl SpaceGuard {
    /// Lets a step write `most` bytes into `folders`, of which there is at least one.
    pub fn new(folders: &[&Path], most: u64) -> Self {
        let folders: Vec<_> = folders.iter().map(|folder| folder.to_path_buf()).collect();
        let start = folders.first().and_then(|folder| Free::at(folder));
        Self { folders, most, start, measure_at: most }
    }

    /// Why the step must end now, if it must. Cheap: the files are only counted once as much space is gone, by
    /// whomever, as the step would need for its limit.
    pub fn check(&mut self) -> Option<String> {
        let start = self.start?;
        let now = Free::at(self.folders.first()?)?;
        if too_few(now.bytes, start.bytes, LEFT_FREE) || too_few(now.files, start.files, LEFT_INODES) {
            return Some(format!(
                "this machine's disk is nearly full: {} are free, {} were when the step began; the step has written {}",
                size(now.bytes),
                size(start.bytes),
                size(self.written())
            ));
        }
        let gone = start.bytes.saturating_sub(now.bytes);
        if gone < self.measure_at {
            return None;
        }
        let written = self.written();
        self.measure_at = gone + self.most.saturating_sub(written).max(1);
        (written > self.most).then(|| {
            format!(
                "it has written {}, more than the image's disk of {} holds",
                size(written),
                size(self.most)
            )
        })
    }

    /// Bytes that its files take; what cannot be read is not counted.
    fn written(&self) -> u64 {
        let (mut bytes, mut folders) = (0, self.folders.clone());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(meta) = entry.metadata() else { continue };
                if meta.is_dir() {
                    folders.push(entry.path());
                }
                bytes += meta.blocks() * 512 / meta.nlink().max(1);
            }
        }
        bytes
    }
}

/// A machine that had little to begin with may still build what takes less than half of it.
fn too_few(now: u64, at_start: u64, left: u64) -> bool {
    now < left.min(at_start / 2)
}

/// What a file system has left.
#[derive(Clone, Copy, Debug)]
struct Free {
    bytes: u64,
    files: u64,
}

impl Free {
    fn at(folder: &Path) -> Option<Self> {
        let of = statvfs(folder).ok()?;
        Some(Self { bytes: of.f_bavail * of.f_frsize, files: of.f_favail })
    }
}

/// A number of bytes as a person reads it.
#[allow(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_wrote_counts_once_and_too_much_is_named() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut guard = SpaceGuard::new(&[folder.path()], 1 << 20);
        assert_eq!(guard.check(), None);
        fs::create_dir(folder.path().join("below")).expect("made");
        fs::write(folder.path().join("below/file"), vec![1; 3 << 20]).expect("written");
        fs::hard_link(folder.path().join("below/file"), folder.path().join("link")).expect("linked");
        guard.measure_at = 0;
        assert_eq!(
            guard.check().as_deref(),
            Some("it has written 3 MiB, more than the image's disk of 1 MiB holds")
        );
    }

    #[test]
    fn a_machine_with_little_space_keeps_half_of_it() {
        assert!(too_few(LEFT_FREE - 1, 100 * LEFT_FREE, LEFT_FREE));
        assert!(!too_few(LEFT_FREE, 100 * LEFT_FREE, LEFT_FREE));
        assert!(!too_few(600, 1000, LEFT_FREE), "it began with less");
        assert!(too_few(499, 1000, LEFT_FREE));
        assert!(!too_few(0, 0, LEFT_INODES), "some file systems count no inodes");
    }
}
