//! From the last layer to the disk: generalise, boot files, bill of materials, file system. One job in one sandbox,
//! because all of it needs the merged view of the layers.

use std::path::{Path, PathBuf};

use sandbox::{Job, JobContext};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError, DiskIds, DiskSpec};
use crate::error::{BuildError, Result, full_text};
use crate::generalise;
use crate::manifest::Stage;
use crate::rooted::Rooted;
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
    /// Seconds of each stage.
    pub stages: Vec<Stage>,
}

/// Generalises a scratch copy of the stack and writes it as a disk.
///
/// # Errors
/// When the image is not bootable or does not fit, or the disk cannot be written; a job that was stopped leaves what
/// it had begun.
pub fn run(context: &Context<'_>, order: &Order, lowers: &[PathBuf]) -> Result<Finished> {
    let scratch = context.work.overlay("finish")?;
    let input = serde_json::to_string(order).unwrap_or_default();
    let output = context.run_job(&JOB, &input, lowers, &scratch)?;
    let report: Report = serde_json::from_str(&output)
        .map_err(|error| BuildError::host(format!("the disk's report is unreadable: {error}")))?;
    match report {
        Report::Made(finished) => Ok(*finished),
        Report::NotMade { message, hint, template: true } => Err(BuildError::Input { message, hint }),
        Report::NotMade { message, hint, template: false } => Err(BuildError::Host { message, hint }),
    }
}

/// What comes out of the sandbox.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Made(Box<Finished>),
    /// `template`: it asks for a disk that cannot be, rather than that this machine failed.
    NotMade {
        message: String,
        hint: Option<String>,
        template: bool,
    },
}

impl Report {
    fn of_failure(error: &(dyn std::error::Error + 'static)) -> Self {
        use DiskError::{BadSize, NotBootable, TooLarge, TooSmall};
        let template = matches!(
            error.downcast_ref(),
            Some(BadSize { .. } | NotBootable { .. } | TooLarge { .. } | TooSmall { .. })
        );
        let text = full_text(error);
        match text.split_once("\nhint: ") {
            Some((message, hint)) => {
                Self::NotMade { message: message.to_owned(), hint: Some(hint.to_owned()), template }
            }
            None => Self::NotMade { message: text, hint: None, template },
        }
    }
}

fn inside(context: &JobContext, input: &str) -> std::result::Result<String, String> {
    let order: Order = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let root = context.root.as_ref().ok_or("no root file system")?;
    let report = match finish(root, &order) {
        Ok(finished) => Report::Made(Box::new(finished)),
        Err(error) => Report::of_failure(error.as_ref()),
    };
    serde_json::to_string(&report).map_err(|error| error.to_string())
}

fn finish(root: &Path, order: &Order) -> std::result::Result<Finished, Box<dyn std::error::Error>> {
    let mut clock = Clock::new();
    let rooted = Rooted::open(root)?;
    let users = [crate::user::NAME];
    let plan = if order.deprovisioned { generalise::plan_own } else { generalise::plan };
    let generalised = generalise::apply(&rooted, &plan(&rooted, &users)?)?;
    let identities_left = generalise::identities_left(&rooted)?.into_iter().map(str::to_owned).collect();
    clock.lap("generalise");
    let ids = DiskIds::random();
    disk::install_boot_files(&rooted, &ids, &order.kernel_arguments)?;
    let sbom = sbom::cyclonedx(&rooted)?;
    clock.lap("sbom");
    let spec = DiskSpec { size_gib: order.size_gib, ids };
    let disk = disk::write(&spec, root, &order.vhd, &mut |_| {})?;
    clock.stages.extend(
        disk.stages
            .iter()
            .map(|(stage, took)| Stage { name: stage.to_string(), seconds: took.as_secs_f64() }),
    );
    Ok(Finished {
        content_sha256: disk.content_sha256,
        bytes: disk.virtual_bytes + disk::vhd::FOOTER_BYTES,
        allocated_bytes: disk.allocated_bytes,
        generalised,
        identities_left,
        sbom,
        stages: clock.stages,
    })
}

/// Seconds between one stage and the next.
struct Clock {
    last: std::time::Instant,
    stages: Vec<Stage>,
}

impl Clock {
    fn new() -> Self {
        Self { last: std::time::Instant::now(), stages: Vec::new() }
    }

    fn lap(&mut self, name: &str) {
        self.stages.push(Stage { name: name.to_owned(), seconds: self.last.elapsed().as_secs_f64() });
        self.last = std::time::Instant::now();
    }
}
