//! From the last layer to the disk, in two jobs of the engine, each in a sandbox of its own because it needs the merged
//! view of the layers. [`prepare`] makes the last layer: generalised, with boot files. [`Writing`] then writes the disk
//! of layers that nothing changes any more, so that validators may run on them meanwhile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sandbox::{Job, JobContext, Running};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, reached};
use crate::disk::{self, Disk, DiskError, DiskIds, DiskSpec, Origin, Plan};
use crate::error::{BuildError, Result, full_text};
use crate::event::Event;
use crate::generalise;
use crate::log::printable_lines;
use crate::manifest::Stage;
use crate::read_ahead::ReadAhead;
use crate::rooted::{Rooted, Unfit};
use crate::run::Context;
use crate::sbom;
use crate::timeline::DISK;

/// The function that makes the last layer.
pub const PREPARE: Job = Job { name: "finish", run: prepare_inside };
/// The function that writes the disk.
pub const WRITE: Job = Job { name: "disk", run: write_inside };

/// What is to be made of the last customizer's result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Size of the disk in GiB; none for the smallest that fits.
    pub size_gib: Option<u32>,
    /// Arguments of the kernel that customizers have added.
    pub kernel_arguments: String,
    /// A script of the image's author has run instead of the service's deprovisioning.
    pub deprovisioned: bool,
}

/// What the disk will be made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prepared {
    /// The disk.
    pub plan: Plan,
    /// What generalising did, a line each.
    pub generalised: Vec<String>,
    /// Identities that the author's own script has left in the image.
    pub identities_left: Vec<String>,
    /// The bill of materials, `CycloneDX` JSON.
    pub sbom: String,
}

/// Where the disk goes and what is done with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The fixed VHD; absolute.
    pub vhd: PathBuf,
    /// Whether it only takes its name when it holds what it was written from: validators run on that.
    pub compared: bool,
}

/// Generalises a scratch copy of the stack, to be found in `upper` of `scratch`. All that the template could be wrong
/// about for its disk comes out here.
///
/// # Errors
/// When the image is not bootable or does not fit; a job that was stopped leaves what it had begun.
pub fn prepare(context: &Context<'_>, order: &Order, lowers: &[PathBuf], scratch: &Path) -> Result<Prepared> {
    let input = serde_json::to_string(order).unwrap_or_default();
    reached(Checkpoint::FinishBegun);
    let output = context.run_job(&PREPARE, &input, Some(context.volatile_overlay(lowers, scratch)), &[])?;
    let (stages, result) = read_report(&output)?;
    context.timeline.stages_until_now(&stages);
    result
}

/// A disk that is being written.
#[derive(Debug)]
pub struct Writing {
    running: Running,
    start_seconds: f64,
    origin: Origin,
}

impl Writing {
    /// Begins to write the disk of `layers`, topmost first. With `again`, more disks of this base are to be expected,
    /// and a file system of it is kept for them.
    ///
    /// # Errors
    /// When the job cannot be started.
    pub fn begin(
        context: &Context<'_>,
        plan: &Plan,
        target: &Target,
        layers: &[PathBuf],
        again: bool,
    ) -> Result<Self> {
        let start_seconds = context.timeline.now();
        let folder = target.vhd.parent().unwrap_or(Path::new("/"));
        let overlay = context.volatile_overlay(layers, &context.work.overlay("disk")?);
        let mut layers: Vec<_> = layers.iter().map(|layer| context.cache.root().join(layer)).collect();
        let base = layers.pop().unwrap_or_default();
        let staging = again.then(|| context.work.folder("base-image")).transpose()?;
        let origin = Origin { base, layers, staging };
        let input = serde_json::to_string(&(plan, target, &origin)).unwrap_or_default();
        let beside_base = origin.base.parent().unwrap_or(Path::new("/"));
        let mut folders = vec![folder, beside_base];
        folders.extend(origin.staging.as_deref());
        folders.extend(origin.layers.iter().map(PathBuf::as_path));
        let running = context.start_job(&WRITE, input, Some(overlay), &folders)?;
        Ok(Self { running, start_seconds, origin })
    }

    /// Waits for the disk.
    ///
    /// # Errors
    /// When it could not be written, or does not hold what it was written from.
    pub fn end(self, context: &Context<'_>) -> Result<Disk> {
        let output = context.end_job(&WRITE, self.running)?;
        let (stages, result) = read_report::<Disk>(&output)?;
        context.timeline.add_stages(DISK, self.start_seconds, &stages);
        let disk = result?;
        if let Some(made) = &disk.base_image {
            let kept =
                made.clone().and_then(|name| keep(&self.origin, &name).map_err(|error| error.to_string()));
            if let Err(why) = kept {
                let text = format!("disks of this base and size are written as a whole each time: {why}");
                (context.observer)(&Event::Note { text });
            }
        }
        Ok(disk)
    }

    /// Gives it up, because something else failed; when this returns, nobody writes any more.
    pub fn stop(self) {
        if let Ok(killer) = self.running.killer() {
            killer.kill();
            // That it was killed is what was wanted.
            let _ = self.running.wait();
        }
    }
}

/// Puts the file system of the base beside the base. One that another build has put there meanwhile stays.
fn keep(origin: &Origin, name: &str) -> io::Result<()> {
    let Some(staging) = &origin.staging else { return Ok(()) };
    match fs::rename(staging, origin.base.with_file_name(name)) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error),
        _ => {
            reached(Checkpoint::BaseImageAdmitted);
            Ok(())
        }
    }
}

fn read_report<T: DeserializeOwned>(output: &str) -> Result<(Vec<Stage>, Result<T>)> {
    let Report { stages, result } = serde_json::from_str(output)
        .map_err(|error| BuildError::host(format!("the disk's report is unreadable: {error}")))?;
    let result = result.map_err(|NotMade { message, hint, template }| {
        if template { BuildError::Input { message, hint } } else { BuildError::Host { message, hint } }
    });
    Ok((stages, result))
}

/// What comes out of the sandbox.
#[derive(Debug, Serialize, Deserialize)]
struct Report<T> {
    stages: Vec<Stage>,
    result: std::result::Result<T, NotMade>,
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
                if source.kind() == io::ErrorKind::InvalidFilename)
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

/// What either function did, and how long each stage of it took.
fn report<T: Serialize>(
    work: impl FnOnce(&mut Clock) -> std::result::Result<T, Box<dyn std::error::Error>>,
) -> std::result::Result<String, String> {
    let mut clock = Clock::default();
    let result = work(&mut clock).map_err(|error| NotMade::of_failure(error.as_ref()));
    serde_json::to_string(&Report { stages: clock.stop(), result }).map_err(|error| error.to_string())
}

fn prepare_inside(context: &JobContext, input: &str) -> std::result::Result<String, String> {
    let order: Order = serde_json::from_str(input).map_err(|error| error.to_string())?;
    let root = context.root.as_ref().ok_or("no root file system")?;
    report(|clock| {
        clock.next("generalise");
        let rooted = Rooted::open(root)?;
        let users = [crate::user::NAME];
        let plan = if order.deprovisioned { generalise::plan_own } else { generalise::plan };
        let generalised = generalise::apply(&rooted, &plan(&rooted, &users)?)?;
        let identities_left = generalise::identities_left(&rooted)?.into_iter().map(str::to_owned).collect();
        reached(Checkpoint::Generalised);
        clock.next("sbom");
        let ids = DiskIds::random();
        disk::install_boot_files(&rooted, &ids, &order.kernel_arguments)?;
        let sbom = sbom::cyclonedx(&rooted)?;
        clock.next("measuring the image");
        // Written with the disk; that it lacks something is known before anything else begins.
        disk::efi_files(&rooted, &ids)?;
        let plan = Plan::for_tree(&DiskSpec { size_gib: order.size_gib, ids }, root)?;
        Ok(Prepared { plan, generalised, identities_left, sbom })
    })
}

fn write_inside(context: &JobContext, input: &str) -> std::result::Result<String, String> {
    let (plan, target, origin): (Plan, Target, Origin) =
        serde_json::from_str(input).map_err(|error| error.to_string())?;
    let root = context.root.as_ref().ok_or("no root file system")?;
    report(|clock| {
        ReadAhead::of(origin.base.clone(), target.compared).start();
        let mut progress = |stage: disk::Stage| clock.next(&stage.to_string());
        let disk = disk::write(plan, root, Some(&origin), &target.vhd, target.compared, &mut progress)?;
        reached(Checkpoint::DiskWritten);
        Ok(disk)
    })
}

/// Measures stages that follow one another, the last one up to a failure.
#[derive(Debug, Default)]
struct Clock {
    current: Option<(String, Instant)>,
    stages: Vec<Stage>,
}

impl Clock {
    fn next(&mut self, name: &str) {
        self.end();
        self.current = Some((name.to_owned(), Instant::now()));
    }

    fn end(&mut self) {
        if let Some((name, since)) = self.current.take() {
            self.stages.push(Stage { name, seconds: since.elapsed().as_secs_f64() });
        }
    }

    fn stop(mut self) -> Vec<Stage> {
        self.end();
        self.stages
    }
}
