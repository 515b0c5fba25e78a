//! `try`: boots an image and shows that it works.

use std::path::{Path, PathBuf};

use build_engine::boot::{self, BootError, Firmware, Machine, SmokeTest, TryReport, TrySpec};
use build_engine::manifest::{self, Manifest};

use crate::cloud::{Endpoint, Runner, Trial};
use crate::context::{Context, stop_on_signals};
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::input::{self, Loaded};
use crate::output;
use crate::output::{Format, Output};
use crate::{cloud, trial};

/// Boot an image and run its smoke tests, on this machine or in Azure
///
/// The tests are those of manifest.json beside the image, and the posture that every jump box must have. The image
/// itself is never written to.
///
/// With --target azure, the tests are those of jumpbox.toml, run through the platform's agent in a machine without a public
/// address. A second machine shows that two of one image differ. Both are removed, also after Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every test passed, 1 one failed or the image does not boot, 4 this machine is \
    not able, or Azure cannot be reached, 130 interrupted.\n\nExamples:\n  aks-jumpbox try\n  aks-jumpbox try out/image.vhd --junit try.xml\n  \
    aks-jumpbox try --shell\n  aks-jumpbox try --target azure --subnet ID    the image that was built last"
)]
pub struct Arguments {
    /// Fixed VHD or raw disk [default: what the last build wrote to out/]; with --target azure, resource id of an image, of a
    /// version or of an image definition [default: what the last build made]
    image: Option<PathBuf>,
    /// Where to boot it
    #[arg(long, value_enum, default_value_t)]
    target: Runner,
    /// Open a shell in the booted image instead of testing it
    #[arg(long)]
    shell: bool,
    /// Also write the results as JUnit XML
    #[arg(long, value_name = "FILE", conflicts_with = "shell")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    azure: InAzure,
}

/// What only a trial in Azure needs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Azure")]
struct InAzure {
    /// Resource id of the subnet of the machine
    #[arg(long, value_name = "ID", required_if_eq("target", "azure"))]
    subnet: Option<String>,
    /// Name or resource id of the resource group of the machine [default: that of the template, else of the image]
    #[arg(long, value_name = "GROUP")]
    resource_group: Option<String>,
    /// Size of the machine [default: `Standard_D2s_v5`]
    #[arg(long, value_name = "SIZE")]
    size: Option<String>,
    /// Run no tests of jumpbox.toml, only those that every jump box must pass
    #[arg(long)]
    posture_only: bool,
    #[command(flatten)]
    endpoint: Endpoint,
}

const SIZE: &str = "Standard_D2s_v5";

/// Boots it, and tests it or opens a shell.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    if args.target == Runner::Azure {
        let report = in_azure(args, context)?;
        return told(&report, args, context);
    }
    let own = &args.azure;
    if own.subnet.is_some() || own.resource_group.is_some() || own.size.is_some() || own.posture_only {
        let message = "only a trial in Azure has --subnet, --resource-group, --size and --posture-only";
        return Err(Problem::new(Category::Input, message).hint("add --target azure").into());
    }
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
    told(&trial::run(&spec, output)?, args, context)
}

fn told(report: &TryReport, args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    if let Some(file) = &args.junit {
        write_junit(file, report)?;
    }
    match context.output.format {
        Format::Json => output::json(report)?,
        Format::Text => output::print(&trial::table(report, context.output))?,
    }
    Ok(if report.passed() { ExitStatus::Yes } else { ExitStatus::No })
}

fn in_azure(args: &Arguments, context: &Context) -> Result<TryReport, Failure> {
    if args.shell {
        let hint = "the machine has no public address: `try --shell` opens a shell in a local image";
        let message = "a trial in Azure opens no shell";
        return Err(Problem::new(Category::Input, message).hint(hint).into());
    }
    let image = args.image.as_deref().map(Path::to_string_lossy);
    let Loaded { recipe, file, .. } = input::load_recipe(context)?;
    // An image that was named without a description is nobody's in particular.
    let described = !args.azure.posture_only && (file.is_some() || image.is_none());
    let tests = if described { recipe.smoke_tests() } else { Vec::new() };
    let test = |test: recipe::SmokeTest| SmokeTest { name: test.name, run: test.run, expect: test.expect };
    let trial = Trial {
        image: image.as_deref(),
        subnet: args.azure.subnet.as_deref().unwrap_or_default(),
        group: args.azure.resource_group.as_deref(),
        size: args.azure.size.as_deref().unwrap_or(SIZE),
        tests: tests.into_iter().map(test).collect(),
    };
    cloud::try_image(&trial, &args.azure.endpoint, context)
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
