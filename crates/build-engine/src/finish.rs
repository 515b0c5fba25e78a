//! From the last layer to the disk: generalise, boot files, bill of materials, file system. One job in one sandbox,
//! because all of it needs the merged view of the layers.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sandbox::{Job, JobContext};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, reached};
use crate::disk::{self, DiskError, DiskIds, DiskSpec};
use crate::error::{BuildError, Result, full_text};
use crate::generalise;
use crate::log::printable_lines;
use crate::manifest::Stage;
use crate::read_ahead::ReadAhead;
use crate::rooted::{Rooted, Unfit};
use crate::run::Context;
use crate::sbom;

/// The function that runs inside.
pub const JOB: Job = Job { name: "finish", run: inside };

/// What is to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Size of the disk in GiB; none for the smallest that fits.
    pub size_gib: Option<u32>,
    /// Where the VHD goes.
    pub vhd: PathBuf,
    /// Whether the disk is then compared with what it was written from: validators run on that.
    pub compare: bool,
    /// Arguments of the kernel that customizers have added.
    pub kernel_arguments: String,
    /// A script of the image's author has run instead of the service's deprovisioning.
    pub deprovisioned: bool,
}

/// What was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finished {
    /// Identity of the disk's content.
    pub content_sha256: String,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Bytes it takes on this machine's disk.
    pub allocated_bytes: u64,
    /// What generalising did, a line each.
    pub generalised: Vec<String>,
    /// Identities that the author's own script has left in the image.
    pub identities_left: Vec<String>,
    /// The bill of materials, `CycloneDX` JSON.
    pub sbom: String,
}

/// Generalises a scratch copy of the stack, to be found in `upper` of `scratch`, and writes it as a disk. Returns
/// what was made and what each stage took.
///
/// # Errors
/// When the image is not bootable or does not fit, or the disk cannot be written; a job that was stopped leaves what
/// it had begun.
pub fn run(
    context: &Context<'_>,
    order: &Order,
    lowers: &[PathBuf],
    scratch: &Path,
) -> Result<(Finished, Vec<Stage>)> {
    let input = serde_json::to_string(order).unwrap_or_default();
    let folder = order.vhd.parent().unwrap_or(Path::new("/"));
    reached(Checkpoint::FinishBegun);
    let output = context.run_job(&JOB, &input, Some(context.overlay(lowers, scratch)), &[folder])?;
    let Report { stages, result } = serde_json::from_str(&output)
        .map_err(|error| BuildError::host(format!("the disk's report is unreadable: {error}")))?;
    context.timeline.stages_until_now(&stages);
    match result {
        Ok(finished) => Ok((finished, stages)),
        Err(NotMade { message, hint, template: true }) => Err(BuildError::Input { message, hint }),
        Err(NotMade { message, hint, template: false }) => Err(BuildError::Host { message, hint }),
    }
}

/// What comes out of the sandbox.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    stages: Vec<Stage>,
    result: std::result::Result<Finished, NotMade>,
}

/// Why there is no disk.
#[derive(Debug, Serialize, Deserialize)]
struct NotMade {
    message: String,
    hint: Option<String>,
    /// The template asks for a disk that cannot be, rather than that this machine failed.
    template: bool,
}

impl NotMade {
    fn of_failure(error: &(dyn std::error::Error + 'static)) -> Self {
        use DiskError::{BadSize, NotBootable, TooLarge, TooSmall};
        let template = matches!(
            error.downcast_ref(),
            Some(BadSize { .. } | NotBootable { .. } | TooLarge { .. } | TooSmall { .. })
        ) || matches!(error.downcast_ref(), Some(DiskError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::InvalidFilename)
            || Unfit::is_cause_of(error);
        // It may name files, and steps choose their names.
        let text = printable_lines(&full_text(error));
        match text.split_once("\nhint: ") {
            Some((message, hint)) => {
                Self { message: message.to_owned(), hint: Some(hint.to_owned()), template }
            }
            None => Self { message: text, hint: None, template },
        }
    }
}

fn inside(context: &JobContext, input: &str) -> std::result::Result<String, String> {
    let order: Order = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let root = context.root.as_ref().ok_or("no root file system")?;
    let mut clock = Clock::start("generalise");
    let result = finish(root, &order, &mut clock).map_err(|error| NotMade::of_failure(error.as_ref()));
    serde_json::to_string(&Report { stages: clock.stop(), result }).map_err(|error| error.to_string())
}

fn finish(
    root: &Path,
    order: &Order,
    clock: &mut Clock,
) -> std::result::Result<Finished, Box<dyn std::error::Error>> {
    let rooted = Rooted::open(root)?;
    ReadAhead::of(root.to_owned()).start();
    let users = [crate::user::NAME];
    let plan = if order.deprovisioned { generalise::plan_own } else { generalise::plan };
    let generalised = generalise::apply(&rooted, &plan(&rooted, &users)?)?;
    let identities_left = generalise::identities_left(&rooted)?.into_iter().map(str::to_owned).collect();
    reached(Checkpoint::Generalised);
    clock.next("sbom");
    let ids = DiskIds::random();
    disk::install_boot_files(&rooted, &ids, &order.kernel_arguments)?;
    let sbom = sbom::cyclonedx(&rooted)?;
    let spec = DiskSpec { size_gib: order.size_gib, ids };
    let disk = disk::write(&spec, root, &order.vhd, &mut |stage| clock.next(&stage.to_string()))?;
    reached(Checkpoint::DiskWritten);
    if order.compare {
        clock.next("comparison");
        disk::compare(&order.vhd, root)?;
        reached(Checkpoint::DiskCompared);
    }
    Ok(Finished {
        content_sha256: disk.content_sha256,
        bytes: disk.virtual_bytes + disk::vhd::FOOTER_BYTES,
        allocated_bytes: disk.allocated_bytes,
        generalised,
        identities_left,
        sbom,
    })
}

/// Measures stages that follow one another, the last one up to a failure.
struct Clock {
    name: String,
    since: Instant,
    stages: Vec<Stage>,
}

impl Clock {
    fn start(name: &str) -> Self {
        Self { name: name.to_owned(), since: Instant::now(), stages: Vec::new() }
    }

    fn next(&mut self, name: &str) {
        let name = std::mem::replace(&mut self.name, name.to_owned());
        self.stages.push(Stage { name, seconds: self.since.elapsed().as_secs_f64() });
        self.since = Instant::now();
    }

    fn stop(mut self) -> Vec<Stage> {
        self.next("");
        self.stages
    }
}
