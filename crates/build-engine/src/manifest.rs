//! `manifest.json`: what a build made, of what, and how; the contract's fields, written also when it fails.

use std::fs;
use std::path::{Path, PathBuf};

use recipe::SmokeTest;
use serde::{Deserialize, Serialize};

use crate::cache::write_synced;
use crate::checkpoint::{Checkpoint, reached};
use crate::error::{BuildError, Result};
use crate::event::{RunState, RunSubState};
use crate::isolation::Isolation;
use crate::limits::Limits;
use crate::output::unfinished;
use crate::timeline::Part;

/// Name of the file.
pub const FILE: &str = "manifest.json";

/// One build.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// File name of the disk image; none when the build failed before it.
    pub image: Option<String>,
    /// Identity of its content.
    pub content_sha256: Option<String>,
    /// SHA-256 of the whole file, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Length of the file in bytes.
    pub bytes: Option<u64>,
    /// SHA-256 of the template's JSON.
    pub template_sha256: String,
    /// What was built on.
    pub base: Option<BaseNote>,
    /// Every customizer, in order.
    pub steps: Vec<StepNote>,
    /// Files that the build wrote, by role.
    pub outputs: Vec<Output>,
    /// What `try` runs in the booted image.
    pub smoke_tests: Vec<TestNote>,
    /// How sandboxes map ids: `shifted` (root inside is nobody outside), `subordinate` (root inside is the user that
    /// ran the build, everyone else is one of its subordinate ids), or `identity` (every id is itself).
    pub id_map: String,
    /// What bounds each sandbox.
    #[serde(default)]
    pub limits: Limits,
    /// Where the build is in the service's words, as `lastRunStatus` of a template in Azure.
    #[serde(default)]
    pub last_run_status: LastRunStatus,
    /// What a careful user would act on, as it was told while the build ran.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What the template asks for and only a build in Azure does.
    #[serde(default)]
    pub only_in_azure: Vec<String>,
    /// Identities that a deprovisioning script of the author's own has left in the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities_left: Vec<String>,
    /// What the customizers ran in.
    #[serde(default)]
    pub isolation: Isolation,
    /// What went wrong, when the build failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Folder of what a failed step or validator left, when `errorHandling` is abort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
    /// Seconds of each stage after the customizers.
    #[serde(default)]
    pub stages: Vec<Stage>,
    /// Where the time went, from the build's begin on.
    #[serde(default)]
    pub timeline: Vec<Part>,
    /// Lets the next build see that nothing changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Seal>,
}

/// Azure Image Builder's `lastRunStatus` (azure-image-builder.md 2.3); the message is the manifest's `error`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRunStatus {
    /// When the build began, RFC 3339.
    pub start_time: String,
    /// When it ended, RFC 3339.
    pub end_time: String,
    /// How it ended.
    pub run_state: RunState,
    /// How far it came.
    pub run_sub_state: RunSubState,
}

/// The base, as the manifest names it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BaseNote {
    /// The platform image, or the name of the file that was given.
    pub name: String,
    /// Digest of what made it and of every package in it.
    pub id: String,
    /// Age in seconds when the build started.
    pub age_seconds: u64,
    /// It was in the cache.
    pub cached: bool,
    /// Number of packages.
    pub packages: usize,
    /// SHA-256 of the file that was given as the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// One customizer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepNote {
    /// Position, from 1.
    pub index: u32,
    /// Name.
    pub name: String,
    /// `Shell` or `File`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// `succeeded`, `failed` or `skipped`.
    pub state: String,
    /// Its layer was in the cache.
    pub cached: bool,
    /// Key of its layer.
    pub key: String,
    /// Age of the layer in seconds.
    pub age_seconds: u64,
    /// How long the step took when it ran.
    pub seconds: f64,
    /// Digest of what it does.
    pub content: String,
    /// Digest of what it ran in: user, variables, network policy.
    pub environment: String,
}

/// A file that the build wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The distributor's run output name; none for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_output_name: Option<String>,
    /// `VHD`, `ManagedImage`, `SharedImage`, `log`, `sbom` or `egress`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// File name in the output folder.
    pub file: String,
}

/// A smoke test and, when it ran during the build, its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestNote {
    /// What it shows.
    pub name: String,
    /// Command for `/bin/sh` in the booted image.
    pub run: String,
    /// Text that its output must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// `pass`, `fail` or `skip`, when the build itself ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl From<&SmokeTest> for TestNote {
    fn from(test: &SmokeTest) -> Self {
        Self { name: test.name.clone(), run: test.run.clone(), expect: test.expect.clone(), status: None }
    }
}

/// One stage and its seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stage {
    /// Name.
    pub name: String,
    /// Seconds.
    pub seconds: f64,
}

/// What the image file was when the build finished: as with a version control system's index, a file of the same
/// size, time and number is taken to be untouched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Digest of everything that made the image.
    pub key: String,
    /// Nanoseconds since 1970.
    pub modified: i128,
    /// Number of the file on its file system.
    pub inode: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl Seal {
    /// The seal of a file as it is now.
    ///
    /// # Errors
    /// When the file is not there.
    pub fn of(path: &Path, key: &str) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(path)?;
        let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Ok(Self { key: key.to_owned(), modified, inode: meta.ino(), bytes: meta.len() })
    }
}

impl Manifest {
    /// The manifest in a folder; none when there is none, or none that this program wrote.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
    }

    /// Removes it from a folder, because what it says is about to be wrong.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn withdraw(folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(BuildError::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes it into a folder, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        replace(&folder.join(FILE), &text)
    }
}

/// Replaces a file by a whole new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_file_name(unfinished(&path.file_name().unwrap_or_default().to_string_lossy()));
    let written = write_synced(&unfinished, bytes).and_then(|()| {
        reached(Checkpoint::ReportStaged);
        fs::rename(&unfinished, path).map_err(BuildError::io("replace", path))
    });
    written.inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })
}
