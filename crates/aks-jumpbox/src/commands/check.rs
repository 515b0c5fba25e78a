//! `check`: every requirement of an image build, against what documents tell of its environment.

use std::path::{Path, PathBuf};

use arm::Environment;
use clap::ValueEnum;
use document::SourceText;
use image_template::ImageTemplate;
use preflight::{Network, Os, Report, Status, Subject, Topology, WholeRepair};

use crate::cloud::{self, Endpoint, Target};
use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::input::Input;
use crate::network::Documents;
use crate::output::{self, Format};
use crate::show::page::Page;
use crate::show::{check, sarif};

/// Check every prerequisite of an image build, proven against an environment
///
/// Documents that were not given leave requirements skipped; values that they lack leave them undecided.
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every requirement is met, 1 one is not, 2 a file is wrong, 3 what was given does not decide \
    one.\n\nExamples:\n  \
    aks-jumpbox check --environment environment.toml --template image.json\n  \
    aks-jumpbox check --environment exported.json --topology private-link\n  \
    aks-jumpbox check --environment environment.toml --deployer 00000000-0000-0000-0000-000000000000 --strict\n  \
    aks-jumpbox check --environment environment.toml --format sarif > check.sarif\n  \
    aks-jumpbox check --environment environment.toml --repair repair.json\n  \
    aks-jumpbox check --environment environment.toml --template image.json --html check.html\n  \
    aks-jumpbox check --live                                  what Azure says now\n  \
    aks-jumpbox check --list"
)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
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
    /// Write the findings into this file, too, as one page with a drawing of the path that needs nothing but a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Ask Azure: the subnets, identity and subscription are those of `[azure]` in jumpbox.toml, or of the template
    #[arg(long, conflicts_with_all = ["environment", "repair", "as_published"])]
    live: bool,
    /// Where `--live` asks
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    #[command(flatten)]
    endpoint: Endpoint,
    /// List every requirement instead
    #[arg(long, conflicts_with_all = ["live", "environment", "template", "deployer", "strict", "repair", "html", "as_published"])]
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
    let mut warnings = input.warnings.clone();
    let (mut deployer, mut strict) = (args.deployer.clone(), args.strict);
    let mut template = args.template.is_some().then(|| input.template.clone());
    let documents = if args.live {
        let live =
            cloud::live::documents(args.target, &args.endpoint, (&input, args.template.is_some()), context)?;
        // What could not be read is no document that nobody has.
        strict |= !live.missing.is_empty();
        warnings.extend(live.missing);
        warnings.extend(live.notes);
        deployer = deployer.or(live.who);
        template = template.or(live.template);
        live.documents
    } else {
        Documents::open_several(&args.environment)?
    };
    let about = About { input: &input, template: template.as_ref() };
    let subject = Subject { deployer, ..subject(args, about, documents.as_ref(), &mut warnings)? };
    let report = ask(args, &subject);
    let verdict = report.verdict(strict);
    if let Some(file) = &args.repair {
        let review = Review { args, about };
        write_repair(file, &review.reviewed(&report, &subject)?, context)?;
    }
    if let Some(file) = &args.html {
        let documents = read(args, documents.as_ref(), context)?;
        let page = Page { report: &report, subject: &subject, verdict, documents, warnings: &warnings };
        output::write_whole(file, page.html().as_bytes())?;
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

/// What is found about documents and a template, and what their author would want to know.
pub(super) fn findings(
    environment: &[PathBuf],
    template: Option<&Path>,
    context: &Context,
) -> Result<(Report, Vec<String>), Failure> {
    let args = Arguments {
        environment: environment.to_vec(),
        template: template.map(Path::to_path_buf),
        ..Arguments::default()
    };
    let input = Input::load(template, context)?;
    let documents = Documents::open_several(environment)?;
    let mut warnings = input.warnings.clone();
    let about = About { input: &input, template: template.is_some().then_some(&input.template) };
    let subject = subject(&args, about, documents.as_ref(), &mut warnings)?;
    Ok((ask(&args, &subject), warnings))
}

/// What is checked: the configuration, and the template where one is meant.
#[derive(Clone, Copy)]
struct About<'a> {
    input: &'a Input,
    template: Option<&'a ImageTemplate>,
}

/// What is asked: the image, and the environment that documents describe.
fn subject<'a>(
    args: &Arguments,
    About { input, template }: About<'a>,
    documents: Option<&'a Documents>,
    warnings: &mut Vec<String>,
) -> Result<Subject<'a>, Failure> {
    let topology = match (args.topology, template, documents) {
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
    let network = documents.map(|documents| network(documents, topology, warnings)).transpose()?;
    Ok(Subject {
        topology,
        os: template.map_or(Os::Linux, Os::of),
        network,
        template,
        endpoints: crate::network::allow_list(&input.endpoints())?,
        deployer: args.deployer.clone(),
    })
}

fn ask(args: &Arguments, subject: &Subject<'_>) -> Report {
    if args.as_published { preflight::check_as_published(subject) } else { preflight::check(subject) }
}

/// Checks again with a repair among the documents, before anybody deploys it.
struct Review<'a> {
    args: &'a Arguments,
    about: About<'a>,
}

impl Review<'_> {
    /// The repairs after which what they are for is met, and nothing else is worse.
    fn reviewed(&self, report: &Report, subject: &Subject<'_>) -> Result<WholeRepair, Failure> {
        let all = WholeRepair::of(report, subject, |_| Ok(()));
        if self.objection(report, &all)?.is_none() {
            return Ok(all);
        }
        // One after the other, each on top of those that are fine.
        let mut fine: Vec<&str> = Vec::new();
        let mut refused: Vec<(&str, String)> = Vec::new();
        for &id in &all.repaired {
            fine.push(id);
            let wanted = |id: &str| if fine.contains(&id) { Ok(()) } else { Err(String::new()) };
            let some = WholeRepair::of(report, subject, |finding| wanted(finding.requirement.id));
            if let Some(objection) = self.objection(report, &some)? {
                fine.pop();
                refused.push((id, objection));
            }
        }
        Ok(WholeRepair::of(report, subject, |finding| {
            let refusal = refused.iter().find(|(id, _)| *id == finding.requirement.id);
            refusal.map_or(Ok(()), |(_, why)| Err(format!("checked again with it, {why}")))
        }))
    }

    /// What is wrong after a repair.
    fn objection(&self, before: &Report, repair: &WholeRepair) -> Result<Option<String>, Failure> {
        if repair.repaired.is_empty() {
            return Ok(None);
        }
        let text = SourceText::new("the repair", text(repair)?);
        let documents = Documents::open_with(&self.args.environment, Some(&text))?;
        let subject = match subject(self.args, self.about, documents.as_ref(), &mut Vec::new()) {
            Ok(subject) => subject,
            Err(failure) => {
                let told = failure.to_text(false);
                return Ok(Some(told.lines().next().unwrap_or_default().to_owned()));
            }
        };
        let after = ask(self.args, &subject);
        Ok(before.findings.iter().zip(&after.findings).find_map(|(before, after)| {
            let (id, was, is) = (before.requirement.id, before.status(), after.status());
            let wanted = repair.repaired.contains(&id);
            let fine = if wanted { is == Status::Pass } else { is == was || is == Status::Pass };
            (!fine).then(|| format!("{id} is {is}: {}", after.outcome.detail))
        }))
    }
}

fn text(repair: &WholeRepair) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(&repair.template)
        .map_err(|error| Problem::new(Category::Internal, "could not write JSON").caused_by(&error))?;
    Ok(text + "\n")
}

/// Writes the repairs where there are any, and tells what is not among them.
fn write_repair(file: &Path, repair: &WholeRepair, context: &Context) -> Result<(), Failure> {
    let (name, tell) = (file.display(), |text: String| context.output.note(&text));
    match repair.repaired.as_slice() {
        [] if repair.left_out.is_empty() => tell(format!("nothing is to be repaired: {name} is not written")),
        [] => tell(format!("no repair is a resource that a template can hold: {name} is not written")),
        repaired => {
            output::write_whole(file, text(repair)?.as_bytes())?;
            tell(format!(
                "{name} repairs {}; checked with it: they pass, and nothing else changes",
                repaired.join(", ")
            ));
        }
    }
    for left in &repair.left_out {
        tell(format!("not in {name}: {}: {}", left.id, left.instead()));
    }
    Ok(())
}

/// Names of the files that were read.
fn read(args: &Arguments, documents: Option<&Documents>, context: &Context) -> Result<Vec<String>, Failure> {
    let named = documents.into_iter().flat_map(|documents| {
        let texts = documents.inventory.sources().texts().map(|text| text.name().to_owned());
        texts.chain(documents.environment.service_tags.iter().map(|file| file.text.clone()))
    });
    let own = [args.template.clone(), context.configuration()?];
    Ok(named.chain(own.into_iter().flatten().map(|file| file.display().to_string())).collect())
}

fn status(verdict: Status) -> ExitStatus {
    match verdict {
        Status::Fail => ExitStatus::No,
        Status::Undecided => ExitStatus::CannotTell,
        Status::Pass | Status::Warn | Status::Skipped => ExitStatus::Yes,
    }
}

/// The networks around both subnets.
pub fn network<'a>(
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
