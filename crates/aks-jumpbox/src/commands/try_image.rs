//! `try`: boots an image and shows that it works.

use std::path::{Path, PathBuf};

use build_engine::boot::{self, BootError, Firmware, Machine, TryReport, TrySpec};
use build_engine::manifest::{self, Manifest};

use crate::context::{Context, stop_on_signals};
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::output;
use crate::output::{Format, Output};
use crate::{input, trial};

/// Boot an image and run its smoke tests
///
/// The tests are those of manifest.json beside the image, and the posture that every jump box must have. The image
/// itself is never written to.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every test passed, 1 one failed or the image does not boot, 4 this machine is \
    not able.\n\nExamples:\n  aks-jumpbox try\n  aks-jumpbox try out/image.vhd --junit try.xml\n  \
    aks-jumpbox try --shell"
)]
pub struct Arguments {
    /// Fixed VHD or raw disk [default: what the last build wrote to out/]
    image: Option<PathBuf>,
    /// Open a shell in the booted image instead of testing it
    #[arg(long)]
    shell: bool,
    /// Also write the results as JUnit XML
    #[arg(long, value_name = "FILE", conflicts_with = "shell")]
    junit: Option<PathBuf>,
}

/// Boots it, and tests it or opens a shell.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let image = image(args.image.as_deref())?;
    // A manifest describes the image that it names, not whatever else lies beside it.
    let manifest = read_manifest(&image.with_file_name(manifest::FILE))?
        .filter(|manifest| manifest.image.as_deref().map(AsRef::as_ref) == image.file_name());
    let tests = manifest.map(|manifest| manifest.smoke_tests).unwrap_or_default();
    let spec = trial::spec(&image, tests, &stop_on_signals()?);
    let output = context.output;
    if args.shell {
        return shell(&spec, output);
    }
    let report = trial::run(&spec, output)?;
    if let Some(file) = &args.junit {
        write_junit(file, &report)?;
    }
    match output.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::print(&trial::table(&report, output))?,
    }
    Ok(if report.passed() { ExitStatus::Yes } else { ExitStatus::No })
}

/// The image that was named, else the one that the last build's manifest in `out/` names.
fn image(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(file) = named {
        return Ok(file.to_owned());
    }
    let folder = Path::new("out");
    match read_manifest(&folder.join(manifest::FILE))?.and_then(|manifest| manifest.image) {
        Some(image) => Ok(folder.join(image)),
        None => Err(Problem::new(Category::Input, "there is no image in out/")
            .hint("build one with `aks-jumpbox build`, or name a disk")
            .into()),
    }
}

fn read_manifest(file: &Path) -> Result<Option<Manifest>, Failure> {
    if !file.is_file() {
        return Ok(None);
    }
    serde_json::from_str(input::read(file)?.text()).map(Some).map_err(|error| {
        Problem::new(Category::Input, format!("{} is not the manifest of a build", file.display()))
            .in_file(file)
            .caused_by(&error)
            .into()
    })
}

fn shell(spec: &TrySpec, output: Output) -> Result<ExitStatus, Failure> {
    std::fs::create_dir_all(&spec.work_dir).map_err(|error| Failure::io("make", &spec.work_dir, &error))?;
    let firmware = Firmware::find(spec.secure_boot).map_err(BootError::from)?;
    let found = boot::probe(&firmware, &spec.work_dir, &spec.cancel)?;
    let mut machine = Machine::start(&spec.machine(1, found.accelerator)?)?;
    machine.wait_for_ssh(&|stage| output.note(&format!("  {stage}")))?;
    output.note("leave the shell to end the machine; nothing that you change is kept");
    machine.interactive()?;
    Ok(ExitStatus::Yes)
}

fn write_junit(file: &Path, report: &TryReport) -> Result<(), Failure> {
    let text = report
        .junit()
        .map_err(|reason| Problem::new(Category::Internal, format!("could not write JUnit: {reason}")))?;
    output::write_whole(file, text.as_bytes())
}
