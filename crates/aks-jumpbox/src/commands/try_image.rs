//! `try`: boots an image and shows that it works.

use std::path::{Path, PathBuf};

use build_engine::boot::{self, Event, Firmware, Machine, Status, TestResult, TryReport, TrySpec};
use build_engine::manifest::{self, Manifest};

use crate::context::{Context, stop_on_signals};
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::output::{BOLD, DIM, Format, GREEN, Output, RED, YELLOW, duration};

/// Boot an image and run its smoke tests
///
/// The tests are those of manifest.json beside the image, and the posture that every jump box must have. The image
/// itself is never written to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 every test passed, 1 one failed or the image does not boot, 4 this machine is \
    not able.\n\nExamples:\n  aks-jumpbox try\n  aks-jumpbox try out/image.vhd --junit try.xml\n  \
    aks-jumpbox try --shell")]
pub struct Arguments {
    /// Fixed VHD or raw disk [default: what the last build wrote to out/]
    image: Option<PathBuf>,
    /// Open a shell in the booted image instead of testing it
    #[arg(long)]
    shell: bool,
    /// Also write the results as `JUnit` XML
    #[arg(long, value_name = "FILE", conflicts_with = "shell")]
    junit: Option<PathBuf>,
}

/// Boots it, and tests it or opens a shell.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let image = image(args.image.as_deref())?;
    let manifest = manifest_beside(&image)?;
    let work = tempfile_dir(context)?;
    let mut spec = TrySpec::new(image, work);
    spec.tests = manifest.map(|manifest| manifest.smoke_tests.into_iter().map(test).collect()).unwrap_or_default();
    spec.cancel = stop_on_signals()?.flag();
    if args.shell {
        return shell(&spec, context);
    }
    let output = context.output;
    let report = boot::try_image(&spec, &|event| show(event, &output))?;
    if let Some(file) = &args.junit {
        write_junit(file, &report)?;
    }
    match output.format {
        Format::Json => output.json(&report)?,
        Format::Text => output.print(&table(&report, &output))?,
    }
    Ok(if report.passed() { ExitStatus::Yes } else { ExitStatus::No })
}
