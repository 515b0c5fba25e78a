//! Asks the kernel for files before they are needed: the disk's writer reads a whole tree, one small file after the
//! other, and would wait for each.

use std::fs::File;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{Advice, fadvise};

/// So many files are asked for at once: what it takes to keep a solid-state device busy.
const THREADS: usize = 8;
/// Bytes asked for at once: the kernel silently cuts a request to what its device takes, 128 KiB at least.
const REQUEST: usize = 128 << 10;

/// A tree that is read into the kernel's memory once, in the background.
#[derive(Debug)]
pub struct ReadAhead {
    tree: PathBuf,
    once: Once,
}

impl ReadAhead {
    /// Nothing is read before [`ReadAhead::start`].
    pub fn of(tree: PathBuf) -> Self {
        Self { tree, once: Once::new() }
    }

    /// Begins; later calls do nothing. What cannot be read is left for whoever needs it to say so.
    pub fn start(&self) {
        self.once.call_once(|| {
            let tree = self.tree.clone();
            std::thread::spawn(move || read(tree));
        });
    }
}

fn read(tree: PathBuf) {
    let mut level = vec![tree];
    while !level.is_empty() {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            while let Some(folder) = level.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.extend(read_folder(folder));
            }
            found
        };
        level = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        });
    }
}

/// Asks for every file of a folder and returns the folders in it. Links are not followed.
fn read_folder(folder: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            folders.push(entry.path());
        } else if kind.is_file()
            && let Ok(file) = File::open(entry.path())
        {
            let bytes = file.metadata().map_or(0, |meta| meta.len());
            for at in (0..bytes).step_by(REQUEST) {
                // An advice: whether the kernel takes it changes nothing but the time.
                let _ = fadvise(&file, at, NonZeroU64::new(REQUEST as u64), Advice::WillNeed);
            }
        }
    }
    folders
}
