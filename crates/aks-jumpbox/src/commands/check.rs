//! `check`: every requirement of an image build, against what documents tell of its environment.

use std::path::{Path, PathBuf};

use arm::Environment;
use clap::ValueEnum;
use preflight::{Network, Os, Report, Status, Subject, Topology};

use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::input::Input;
use crate::network::Documents;
use crate::output::{self, Format};
use crate::show::{check, sarif, whole_repair};

/// Check every prerequisite of an image build, proven against an environment
///
/// Documents that were not given leave requirements skipped; values that they lack leave them undecided.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every requirement is met, 1 one is not, 2 a file is wrong, 3 what was given does not decide \
    one.\n\nExamples:\n  \
    aks-jumpbox check --environment environment.toml --template image.json\n  \
    aks-jumpbox check --environment exported.json --topology private-link\n  \
    aks-jumpbox check --environment environment.toml --deployer 00000000-0000-0000-0000-000000000000 --strict\n  \
    aks-jumpbox check --environment environment.toml --format sarif > check.sarif\n  \
    aks-jumpbox check --environment environment.toml --repair repair.json\n  \
    aks-jumpbox check --list"
)]
pub struct Arguments {
    /// An environment file (TOML), or any single document it can name, as Azure's JSON; may be given several times
    #[arg(long, value_name = "FILE")]
    environment: Vec<PathBuf>,
    /// The image template [default: only the environment is checked, for the image that jumpbox.toml describes]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// The shape of the build's network [default: the template's, else by the subnets that the environment names]
    #[arg(long, value_name = "SHAPE", value_enum, conflicts_with = "as_published")]
    topology: Option<Shape>,
    /// Object id of whoever deploys the template, whose permissions are checked, too
    #[arg(long, value_name = "OBJECT_ID")]
    deployer: Option<String>,
    /// Check the tables of the original guidance instead, taken literally
    #[arg(long)]
    as_published: bool,
    /// What could not be checked because no document tells of it counts as undecided
    #[arg(long)]
    strict: bool,
    /// Write all repairs into this file as one ARM template, to be reviewed and deployed
    #[arg(long, value_name = "FILE")]
    repair: Option<PathBuf>,
    /// List every requirement instead
    #[arg(long, conflicts_with_all = ["environment", "template", "deployer", "strict", "repair", "as_published"])]
    list: bool,
}

/// The shape of a build's network.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shape {
    /// No subnet is brought
    Managed,
    /// The build subnet alone
    PrivateLink,
    /// The build subnet and a container instance subnet
    Isolated,
}

impl From<Shape> for Topology {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Managed => Self::Managed,
            Shape::PrivateLink => Self::PrivateLink,
            Shape::Isolated => Self::Isolated,
        }
    }
}

/// Checks everything that applies.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    if args.list {
        return list(context);
    }
    let input = Input::load(args.template.as_deref(), context)?;
    let documents = Documents::open_several(&args.environment)?;
    let mut warnings = input.warnings.clone();
    let template = args.template.is_some().then_some(&input.template);
    let topology = match (args.topology, template, &documents) {
        // The guidance knows no other.
        _ if args.as_published => Topology::PrivateLink,
        (Some(shape), ..) => shape.into(),
        (None, Some(template), _) => Topology::of(template),
        (None, None, Some(documents)) if documents.environment.container_subnet.is_some() => {
            Topology::Isolated
        }
        (None, None, Some(_)) => Topology::PrivateLink,
        (None, None, None) => Topology::Managed,
    };
    let network = match &documents {
        Some(documents) => Some(network(documents, topology, &mut warnings)?),
        None => None,
    };
    let subject = Subject {
        topology,
        os: template.map_or(Os::Linux, Os::of),
        network,
        template,
        endpoints: crate::network::allow_list(&input.endpoints())?,
        deployer: args.deployer.clone(),
    };
    let report =
        if args.as_published { preflight::check_as_published(&subject) } else { preflight::check(&subject) };
    let verdict = report.verdict(args.strict);
    if let Some(file) = &args.repair {
        repair(file, &report, &subject, context)?;
    }
    match context.output.format {
        Format::Json if context.sarif => output::json(&sarif::log(&report, &subject))?,
        Format::Json => output::json(&check::Json::of(&report, &subject, verdict, warnings))?,
        Format::Text => {
            for warning in &warnings {
                context.output.warn(warning);
            }
            output::print(&check::text(&report, &subject, verdict, context.output))?;
        }
    }
    Ok(status(verdict))
}

/// Writes the repairs, and tells what is not among them.
fn repair(file: &Path, report: &Report, subject: &Subject<'_>, context: &Context) -> Result<(), Failure> {
    let repair = whole_repair::of(report, subject);
    let text = serde_json::to_string_pretty(&repair.template)
        .map_err(|error| Problem::new(Category::Internal, "could not write JSON").caused_by(&error))?;
    output::write_whole(file, (text + "\n").as_bytes())?;
    for left in &repair.left_out {
        context.output.note(&format!("not in {}: {left}", file.display()));
    }
    Ok(())
}

fn status(verdict: Status) -> ExitStatus {
    match verdict {
        Status::Fail => ExitStatus::No,
        Status::Undecided => ExitStatus::CannotTell,
        Status::Pass | Status::Warn | Status::Skipped => ExitStatus::Yes,
    }
}

/// The networks around both subnets.
fn network<'a>(
    documents: &'a Documents,
    topology: Topology,
    warnings: &mut Vec<String>,
) -> Result<Network<'a>, Failure> {
    let environment = &documents.environment;
    let mut read = |environment: &Environment| {
        let reading = documents.network(environment)?;
        if let Some(reading) = &reading {
            warnings.extend(documents.lines(&reading.warnings));
        }
        Ok::<_, Failure>(reading)
    };
    if topology == Topology::Managed {
        return Ok(Network::new(environment, &documents.inventory, None, None));
    }
    let build = read(environment)?;
    let container = match &environment.container_subnet {
        Some(subnet) => {
            let mut environment = environment.clone();
            environment.build_subnet = Some(subnet.clone());
            read(&environment)?
        }
        None => None,
    };
    warnings.dedup();
    Ok(Network::new(environment, &documents.inventory, build, container))
}

fn list(context: &Context) -> Result<ExitStatus, Failure> {
    match context.output.format {
        Format::Json => output::json(&check::catalogue())?,
        Format::Text => output::print(&check::list(context.output))?,
    }
    Ok(ExitStatus::Yes)
}
