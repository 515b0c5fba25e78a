//! What a sandbox is to be: plain values, sent to the re-executed binary as JSON.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::id_map::IdMap;
use crate::inside::Job;
use crate::limits::Limits;

/// One sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Which ids of the host stand for those inside.
    pub id_map: IdMap,
    /// The root file system.
    pub overlay: Option<Overlay>,
    /// Host name inside.
    pub hostname: String,
    /// A network whose only way out are the sockets handed out; without it there is no network at all.
    pub network: bool,
    /// Host paths made visible inside.
    pub binds: Vec<Bind>,
    /// Files written inside before the command starts.
    pub uploads: Vec<Upload>,
    /// Host folders, and files, that a job may use, at the same absolute paths inside.
    pub folders: Vec<PathBuf>,
    /// What runs.
    pub entry: Entry,
    /// Whether a job may mount, in namespaces of its own. A program never may.
    pub may_mount: bool,
    /// Keep the terminal: for a person's shell only.
    pub interactive: bool,
    /// What bounds it.
    pub limits: Limits,
}

impl Spec {
    /// A sandbox without network, root file system and host paths.
    pub fn new(id_map: IdMap, entry: Entry) -> Self {
        Self {
            id_map,
            overlay: None,
            hostname: "build".to_owned(),
            network: false,
            binds: Vec::new(),
            uploads: Vec::new(),
            folders: Vec::new(),
            entry,
            may_mount: false,
            interactive: false,
            limits: Limits::here(),
        }
    }

    /// A sandbox for a job, without network, root file system and host paths.
    pub fn job(id_map: IdMap, job: &Job, input: String) -> Self {
        Self::new(id_map, Entry::Job { name: job.name.to_owned(), input })
    }

    /// Every path of the host that the sandbox needs, each once.
    pub(crate) fn host_paths(&self) -> Vec<&Path> {
        let overlay = self.overlay.iter().map(|overlay| overlay.store.as_path());
        let binds = self.binds.iter().flat_map(|bind| [Some(bind.host.as_path()), bind.scratch.as_deref()]);
        let uploads = self.uploads.iter().map(|upload| upload.source.as_path());
        let folders = self.folders.iter().map(PathBuf::as_path);
        let mut paths: Vec<_> = overlay.chain(binds.flatten()).chain(uploads).chain(folders).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

/// An overlay of immutable layers and one writable folder, all of them below one folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overlay {
    /// The folder that holds them (paths relative to it keep many layers within the kernel's option limit).
    pub store: PathBuf,
    /// Read-only layers, topmost first: relative to `store` or below it.
    pub lowers: Vec<PathBuf>,
    /// Folder below `store` with `upper` and `work` inside it.
    pub scratch: PathBuf,
    /// Nobody needs what is written after a loss of power: the kernel then does not, when the sandbox ends, wait until
    /// everything that anyone has written to that file system is on its device.
    pub volatile: bool,
}

/// A host path made visible inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bind {
    /// Path outside.
    pub host: PathBuf,
    /// Absolute path inside; its last component is made when it is missing and lies under `/run`.
    pub inside: PathBuf,
    /// No writes through it.
    pub read_only: bool,
    /// Folder for writes when `host` is to stay untouched but must look writable: an overlay with this as upper.
    pub scratch: Option<PathBuf>,
}

/// A file written inside before the command starts, with the rights of the user who then owns it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upload {
    /// Absolute path inside, in a folder that exists; links are not followed in its last component.
    pub path: PathBuf,
    /// Host file that holds the content.
    pub source: PathBuf,
    /// Permission bits of a new file; one that is there already keeps its own.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What runs inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// A program of the sandbox's root, after `pivot_root`.
    Program(Program),
    /// One of our own functions, with the host's programs, the folders it was given, and the overlay beside them.
    Job {
        /// Name it was registered under.
        name: String,
        /// Its input.
        input: String,
    },
}

/// A program to run inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// Path inside, then arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working folder; `/` where it does not exist.
    pub cwd: PathBuf,
    /// User id; supplementary groups are always dropped.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// How the command of a sandbox ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// A job finished with this output.
    Job(String),
}
