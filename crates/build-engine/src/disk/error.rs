//! Why a disk could not be made or read.

use std::io;
use std::path::{Path, PathBuf};

use super::gpt::GptError;
use super::vhd::FooterError;
use crate::rooted::RootedError;
use crate::tools::ToolError;

/// Why a disk could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// `osDiskSizeGB` is outside what Azure takes.
    #[error("an operating system disk has 1 to 4095 GiB, not {asked}")]
    BadSize {
        /// What was asked for, in GiB.
        asked: u32,
    },
    /// The image does not fit the size that the template states.
    #[error(
        "the image does not fit a disk of {asked_gib} GiB: its {files} files take {} MiB\n\
         hint: set osDiskSizeGB to {smallest_gib} or more",
        content_bytes >> 20
    )]
    TooSmall {
        /// What was asked for, in GiB.
        asked_gib: u32,
        /// The smallest size that fits, in GiB.
        smallest_gib: u32,
        /// What the image's files take, in bytes.
        content_bytes: u64,
        /// How many files the image has.
        files: u64,
    },
    /// The image fits no disk that Azure has.
    #[error("the image's files take {} MiB, more than the largest operating system disk (4095 GiB) holds", content_bytes >> 20)]
    TooLarge {
        /// What the image's files take, in bytes.
        content_bytes: u64,
    },
    /// The image cannot boot because a file is not in it.
    #[error("the image has no {path}, without which it does not boot\nhint: install {package} in it")]
    NotBootable {
        /// The file, as the image sees it.
        path: &'static str,
        /// The distribution's package that brings it.
        package: &'static str,
    },
    /// The output folder's file system is full, or would be.
    #[error(
        "no space for the image in {}: it needs about {} MiB and {} MiB are free\n\
         hint: free space there or choose another output folder",
        folder.display(), needed >> 20, available >> 20
    )]
    NoSpace {
        /// The output folder.
        folder: PathBuf,
        /// What is needed, in bytes.
        needed: u64,
        /// What is free, in bytes.
        available: u64,
    },
    /// A file of the host could not be read or written.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file of the image could not be read or written.
    #[error(transparent)]
    Image(#[from] RootedError),
    /// A program of the host did not do its work.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The file is not a fixed VHD.
    #[error("{} is not a fixed VHD", path.display())]
    NotVhd {
        /// The file.
        path: PathBuf,
        /// What is wrong with its footer.
        source: FooterError,
    },
    /// The disk's partition table cannot be used.
    #[error("{} has no sound partition table", path.display())]
    NotPartitioned {
        /// The file.
        path: PathBuf,
        /// What is wrong with the table.
        source: GptError,
    },
    /// The disk contradicts itself or what is asked of it.
    #[error("{}: {problem}", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl DiskError {
    /// For `map_err`: what was tried with which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn unsound(path: &Path, problem: impl Into<String>) -> Self {
        Self::Unsound { path: path.to_owned(), problem: problem.into() }
    }
}
