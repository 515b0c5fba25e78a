//! Unpacks a base that the user gives: an archive or a disk becomes a tree. Runs inside a sandbox, for what is in the
//! file was made by others.

mod archive;
mod disk;
mod examine;
mod kind;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::Stdio;

use sandbox::{Job, JobContext};
use serde::{Deserialize, Serialize};

use self::kind::Kind;
use self::tree::Tree;
use crate::disk::DiskError;
use crate::rooted::RootedError;
use crate::tools::{self, Tool, ToolError};

/// The function that runs inside.
pub const JOB: Job = Job { name: "unpack", run: inside };

/// What is to be unpacked, and where to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Input {
    /// The archive or disk.
    pub(super) file: PathBuf,
    /// An empty folder.
    pub(super) root: PathBuf,
    /// An empty folder for what is not kept.
    pub(super) scratch: PathBuf,
}

/// What was unpacked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Unpacked {
    /// What the file is, such as `a tar archive`.
    pub(super) kind: String,
    /// What was left out, and of each how many.
    pub(super) not_kept: BTreeMap<String, u64>,
}

/// What comes out of the sandbox: a refusal is about the file, any other failure about this machine.
pub(super) type Report = Result<Unpacked, Refusal>;

/// Why a file is no base.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// Why a file was not unpacked.
#[derive(Debug, thiserror::Error)]
enum UnpackError {
    /// What is in it must not be unpacked, or is nothing that a build can start from.
    #[error("{message}")]
    Refused { message: String, hint: Option<String> },
    /// This machine was not able.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A program of the host was not.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A disk could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The tree could not be read.
    #[error(transparent)]
    Rooted(#[from] RootedError),
}

impl UnpackError {
    fn refused(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Refused { message, .. } => Self::Refused { message, hint: Some(hint.into()) },
            other => other,
        }
    }

    /// Says where in the file.
    fn at(self, place: &str) -> Self {
        match self {
            Self::Refused { message, hint } => Self::Refused { message: format!("{place}: {message}"), hint },
            Self::Io(error) => Self::Io(io::Error::new(error.kind(), format!("{place}: {error}"))),
            other => other,
        }
    }
}

fn inside(_: &JobContext, input: &str) -> Result<String, String> {
    let input: Input = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let report: Report = match unpack(&input) {
        Ok(unpacked) => Ok(unpacked),
        Err(UnpackError::Refused { message, hint }) => Err(Refusal { message, hint }),
        // The disk contradicts itself.
        Err(UnpackError::Disk(DiskError::Unsound { problem, .. })) => {
            Err(Refusal { message: problem, hint: None })
        }
        Err(error) => return Err(crate::error::full_text(&error)),
    };
    serde_json::to_string(&report).map_err(|error| error.to_string())
}

fn unpack(input: &Input) -> Result<Unpacked, UnpackError> {
    let file = File::open(&input.file)?;
    let kind = Kind::of(&file)?;
    let mut tree = Tree::new(&input.root)?;
    match kind {
        Kind::Archive => archive::unpack(file, &mut tree)?,
        Kind::Compressed(tool) => unpack_compressed(tool, file, &mut tree)?,
        Kind::Disk => disk::unpack(&input.file, &mut tree)?,
        Kind::Converted(format) => {
            let raw = disk::convert(&input.file, format, &input.scratch)?;
            disk::unpack(&raw, &mut tree)?;
        }
    }
    let not_kept = tree.finish()?;
    examine::examine(&input.root)?;
    Ok(Unpacked { kind: kind.to_string(), not_kept })
}

fn unpack_compressed(tool: Tool, file: File, tree: &mut Tree) -> Result<(), UnpackError> {
    let mut command = tool.command()?;
    command.args(["--decompress", "--stdout"]).stdin(file).stdout(Stdio::piped()).stderr(Stdio::piped());
    if tool == Tool::Xz {
        // What the archive asks for could be more than there is.
        command.arg("--memlimit-decompress=1GiB");
    }
    let could_not_run = |source| ToolError::CouldNotRun { command: tool.program().to_owned(), source };
    let mut child = command.spawn().map_err(could_not_run)?;
    let unpacked = match child.stdout.take() {
        Some(stdout) => archive::unpack(stdout, tree),
        None => Ok(()),
    };
    let mut complaint = String::new();
    let stderr = child.stderr.take().map(|stderr| stderr.take(1 << 16));
    let heard = stderr.map_or(Ok(0), |mut stderr| stderr.read_to_string(&mut complaint));
    let status = child.wait()?;
    // A broken pipe is what it sees when we stop reading; any other end says more than what we made of its output.
    if heard.is_ok() && !status.success() && !complaint.trim().is_empty() {
        let complaint = tools::tail(&complaint, 3);
        return Err(UnpackError::refused(format!("it cannot be decompressed: {complaint}")));
    }
    unpacked
}
