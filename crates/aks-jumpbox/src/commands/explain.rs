//! `explain`: why a flow passes or not, from rules; or what was denied, from flow logs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flow_log::{Analysis, Class, LogError, Query, Summary};
use jiff::{Timestamp, civil};
use network_policy::{CompiledPolicy, Contract, Flow, Verdict};

use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::input::Input;
use crate::output::{self, Format};
use crate::show::{self, denials, path};
use crate::{flow, network, rules};

/// Tell why a flow passes or not, layer by layer; or what flow logs say was denied
///
/// With --direction, --protocol, --from and --to: the path of that flow through the rules, the rule that decides, and
/// the one that nearly decided otherwise. With --log: what was denied to the build subnet, and whether a build needs it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes of a flow: 0 allowed, 1 denied, 2 a file or an argument is wrong, 3 undecided.\n\
    Exit codes of logs: 0 nothing but known noise was denied, 1 something that a build needs was denied, 3 something else \
    was denied, or the logs hold no flow of the subnet.\n\nExamples:\n  \
    aks-jumpbox explain --nsg nsg.json --virtual-network 10.241.0.0/24 --subnet 10.241.0.0/28 --direction outbound \
    --protocol tcp --from 10.241.0.5:50000 --to 20.60.0.1:443\n  \
    aks-jumpbox explain --environment environment.toml --direction outbound --protocol tcp --from 10.241.0.5 \
    --to get.example.org:443\n  \
    aks-jumpbox explain --log PT1H.json --subnet 10.241.0.0/28\n  \
    aks-jumpbox explain --log vnet.json firewall.json --since 2025-06-01T12:00:00Z --until 2025-06-01T13:00:00Z"
)]
pub struct Arguments {
    #[command(flatten)]
    rules: rules::Arguments,
    #[command(flatten)]
    flow: flow::Arguments,
    #[command(flatten)]
    logs: Logs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Flow logs")]
#[group(skip)]
struct Logs {
    /// Flow logs of a virtual network or network security group, or Azure Firewall's structured logs, as they are stored
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "nsg")]
    log: Vec<PathBuf>,
    /// Only from this time on, such as 2025-06-01 or 2025-06-01T12:00:00Z (UTC where nothing else is said)
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "log")]
    since: Option<Timestamp>,
    /// Only before this time
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "log")]
    until: Option<Timestamp>,
    /// Image template whose scripts and files say what the build needs, too [default: what jumpbox.toml says]
    #[arg(long, value_name = "FILE", requires = "log")]
    template: Option<PathBuf>,
}

/// Explains.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    match args.flow.flow()? {
        Some(flow) => explain_flow(&flow, &args.rules, context),
        None => explain_logs(&args.logs, &args.rules, context),
    }
}

fn explain_flow(flow: &Flow, rules: &rules::Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let rules = rules.load()?;
    let policy = rules.policy.compile();
    let (decision, path) = (policy.decide_in_azure(flow), policy.path(flow));
    let open = match decision.verdict {
        Verdict::Undecided => open(flow, &policy, rules.is_effective),
        Verdict::Allowed | Verdict::Denied => Vec::new(),
    };
    match context.output.format {
        Format::Json => output::json(&path::Report::of(flow, &decision, &path, open, rules.warnings))?,
        Format::Text => {
            rules.warnings.iter().for_each(|warning| context.output.warn(warning));
            output::print(&path::text(flow, &decision, &path, &open, context.output))?;
        }
    }
    Ok(match decision.verdict {
        Verdict::Allowed => ExitStatus::Yes,
        Verdict::Denied => ExitStatus::No,
        Verdict::Undecided => ExitStatus::CannotTell,
    })
}

/// What would decide a flow: what the proof that it passes depends on.
fn open(flow: &Flow, policy: &CompiledPolicy, is_effective: bool) -> Vec<String> {
    let (direction, protocol) = (show::direction(flow.direction), show::protocol(flow.protocol));
    let (from, to) = path::ports(flow);
    let contract = Contract::parse(&format!("allow {direction} {protocol} {from} -> {to}"));
    let mut open = contract.map_or_else(|_| Vec::new(), |contract| policy.prove(&contract).open);
    if let (true, Some(name)) = (is_effective, flow.destination.name()) {
        open.push(format!(
            "in effective rules Azure has put the prefixes of its service tags in their place: that {name} has its \
             addresses in one of the tags decides nothing there, only its addresses do"
        ));
    }
    open
}

fn explain_logs(logs: &Logs, rules: &rules::Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let needs = Input::load(logs.template.as_deref(), context)?;
    let of_rules = if rules.given() { rules.load()?.policy.context.build_subnet } else { None };
    let query = Query {
        subnet: rules.subnet().or(of_rules).into_iter().collect(),
        since: logs.since,
        until: logs.until,
        endpoints: network::allow_list(&needs.endpoints())?,
    };
    let mut analysis = Analysis::new(query.clone());
    for file in &logs.log {
        read_log(file, &mut analysis)?;
    }
    let summary = analysis.summary();
    let status = status(&summary);
    match context.output.format {
        Format::Json => output::json(&denials::Report::of(&summary, status))?,
        Format::Text => output::print(&denials::text(&summary, &query, status, context.output))?,
    }
    Ok(status)
}

/// A log that shows no flow at all shows no build either.
fn status(summary: &Summary) -> ExitStatus {
    match summary.denied.first().map(|denied| &denied.class) {
        Some(Class::Needed(_)) => ExitStatus::No,
        Some(Class::Unclassified) => ExitStatus::CannotTell,
        _ if summary.counts.of_subnet == 0 => ExitStatus::CannotTell,
        Some(Class::Noise(_)) | None => ExitStatus::Yes,
    }
}

/// Logs are larger than documents: read in pieces, never as a whole.
fn read_log(file: &Path, analysis: &mut Analysis) -> Result<(), Failure> {
    let mut open = File::open(file).map_err(|error| Failure::io("read", file, &error))?;
    let mut log = analysis.file(file.display().to_string());
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = open.read(&mut piece).map_err(|error| Failure::io("read", file, &error))?;
        if length == 0 {
            return log.finish().map_err(|error| wrong_log(file, &error));
        }
        log.feed(&piece[..length]).map_err(|error| wrong_log(file, &error))?;
    }
}

fn wrong_log(file: &Path, error: &LogError) -> Failure {
    let problem = Problem::new(Category::Input, &error.message).at(file, error.position);
    match &error.expected {
        Some(expected) => problem.expecting(expected).into(),
        None => problem.into(),
    }
}

/// A time with its offset, or a date or time of UTC.
fn instant(text: &str) -> Result<Timestamp, String> {
    let utc = |time: civil::DateTime| time.to_zoned(jiff::tz::TimeZone::UTC).map(|time| time.timestamp());
    text.parse::<Timestamp>().or_else(|_| text.parse::<civil::DateTime>().and_then(utc)).map_err(|_| {
        "a date such as 2025-06-01, or a time such as 2025-06-01T12:00:00Z, is expected".to_owned()
    })
}
