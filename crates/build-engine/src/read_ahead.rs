//! Asks the kernel for files before they are needed: the disk's writer reads a whole tree, one small file after the
//! other, and would wait for each; or only the names, and the file system of the base.

use std::fs::File;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{Advice, SeekFrom, fadvise, seek};

use crate::disk;

/// So many files are asked for at once: what it takes to keep a solid-state device busy.
const THREADS: usize = 8;
/// Bytes asked for at once: the kernel silently cuts a request to what its device takes, 128 KiB at least.
const REQUEST: usize = 128 << 10;

/// What the disk's writer needs of a base, read into the kernel's memory once, in the background.
#[derive(Debug)]
pub struct ReadAhead {
    base: PathBuf,
    wholly: bool,
    once: Once,
}

impl ReadAhead {
    /// Of the base with this tree. With `wholly`, the contents of the tree are needed whether or not a file system of
    /// it is kept. Nothing is read before [`ReadAhead::start`].
    pub fn of(base: PathBuf, wholly: bool) -> Self {
        Self { base, wholly, once: Once::new() }
    }

    /// Begins; later calls do nothing. What cannot be read is left for whoever needs it to say so.
    pub fn start(&self) {
        self.once.call_once(|| {
            let image = disk::kept_beside(&self.base);
            let (tree, contents) = (self.base.clone(), self.wholly || image.is_none());
            std::thread::spawn(move || read(tree, contents));
            if let Some(image) = image {
                std::thread::spawn(move || File::open(image).map(|file| ask_for(&file)));
            }
        });
    }
}

fn read(tree: PathBuf, contents: bool) {
    let mut level = vec![tree];
    while !level.is_empty() {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            while let Some(folder) = level.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.extend(read_folder(folder, contents));
            }
            found
        };
        level = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        });
    }
}

/// Asks for every file of a folder, or only what is known about it, and returns the folders in it. Links are not
/// followed.
fn read_folder(folder: &Path, contents: bool) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            folders.push(entry.path());
        } else if !contents {
            let _ = entry.metadata();
        } else if kind.is_file()
            && let Ok(file) = File::open(entry.path())
        {
            ask_for(&file);
        }
    }
    folders
}

/// Asks for all data of a file; its holes, read, would take memory.
fn ask_for(file: &File) {
    let mut at = 0;
    while let Ok(start) = seek(file, SeekFrom::Data(at)) {
        at = seek(file, SeekFrom::Hole(start)).unwrap_or(start + 1);
        for at in (start..at).step_by(REQUEST) {
            // An advice: whether the kernel takes it changes nothing but the time.
            let _ = fadvise(file, at, NonZeroU64::new(REQUEST as u64), Advice::WillNeed);
        }
    }
}
