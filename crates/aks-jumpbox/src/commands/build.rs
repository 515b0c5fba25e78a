//! `build`: an image template, run on this machine as Azure Image Builder would run it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use build_engine::base::{GivenBase, HOW_TO_GET_A_DIGEST};
use build_engine::cancel::Cancel;
use build_engine::event::Event;
use build_engine::request::{BuildOptions, BuildReport, BuildRequest};
use clap::ValueEnum;
use network_policy::NetworkPolicy;

use crate::cloud::{self, Place, Runner, What};
use crate::context::{Context, stop_on_signals};
use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::input::Input;
use crate::network::Network;
use crate::output;
use crate::output::Format;
use crate::progress::{self, View};
use crate::{network, summary, timings, trial};

/// Build the image on this machine, under its network rules, or in Azure
///
/// Without --template, builds what the nearest jumpbox.toml describes, or the built-in jump box where there is none.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(
    after_help = "Exit codes: 0 built, 1 a step or a test failed, 2 a file is wrong, 4 this machine is not \
    able.\n\nExamples:\n  aks-jumpbox build\n  aks-jumpbox build --template image.json --network nsg.json\n  \
    aks-jumpbox build --learn              record what the build contacts, refuse nothing\n  \
    aks-jumpbox build --isolation vm       for steps that need systemd, Docker or kernel modules\n  \
    aks-jumpbox build --target azure       deploy what is missing, run the template, follow its log\n  \
    aks-jumpbox build --format json        one event a line, for programs\n\n\
    Environment: no_proxy, NO_PROXY: hosts that the `upstream_proxy` of jumpbox.toml is not asked for, as curl reads \
    them."
)]
pub struct Arguments {
    /// Where to build
    #[arg(long, value_enum, default_value_t)]
    target: Runner,
    /// Image template of Azure Image Builder, as JSON
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Network rules in force: an environment file (TOML), or Azure's JSON of a network security group or firewall
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// The same, for an environment file
    #[arg(long, value_name = "FILE", conflicts_with = "network")]
    environment: Option<PathBuf>,
    /// Build on this file in place of the template's source: a root file system as tar, tar.gz, tar.xz or tar.zst, or a
    /// disk as raw, VHD or qcow2
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// SHA-256 that the whole file of --base must have
    #[arg(long, value_name = "HEX", requires = "base")]
    base_sha256: Option<String>,
    /// Folder for the results; made when missing
    #[arg(long, value_name = "DIR", default_value = "out")]
    output: PathBuf,
    /// Make the base anew, and with it everything that stands on it
    #[arg(long)]
    refresh: bool,
    /// Run every step, whatever is cached
    #[arg(long)]
    no_cache: bool,
    /// Record what the build contacts and refuse nothing
    #[arg(long)]
    learn: bool,
    /// Let connections pass that the network rules leave undecided
    #[arg(long)]
    allow_undecided: bool,
    /// When a step fails, open a shell where it ran
    #[arg(long)]
    shell_on_error: bool,
    /// Stop after this step, by its name or number, and make no disk
    #[arg(long, value_name = "STEP")]
    until: Option<String>,
    /// End the build after this long, such as 90s or 30m [default: the template's buildTimeoutInMinutes]
    #[arg(long, value_name = "DURATION", value_parser = time_limit)]
    timeout: Option<Duration>,
    /// What the steps run in
    #[arg(long, value_enum, default_value_t)]
    isolation: Isolation,
    /// Boot the result and run its smoke tests
    #[arg(long)]
    smoke_test: bool,
    /// Also compute the SHA-256 of the whole file, holes and all
    #[arg(long)]
    sha256: bool,
    /// Show at the end where the time went, also when the build fails; manifest.json always has it
    #[arg(long)]
    timings: bool,
    /// Run the template that is deployed, and deploy nothing; with --target azure
    #[arg(long, conflicts_with = "template")]
    as_deployed: bool,
    #[command(flatten)]
    place: Place,
}

impl Arguments {
    /// Flags that a build in Azure has no use for. Leaving one out silently would build something else than was asked for.
    fn only_local(&self) -> Vec<&'static str> {
        let given = [
            ("--network", self.network.is_some()),
            ("--environment", self.environment.is_some()),
            ("--base", self.base.is_some()),
            ("--refresh", self.refresh),
            ("--no-cache", self.no_cache),
            ("--learn", self.learn),
            ("--allow-undecided", self.allow_undecided),
            ("--shell-on-error", self.shell_on_error),
            ("--until", self.until.is_some()),
            ("--timeout", self.timeout.is_some()),
            ("--smoke-test", self.smoke_test),
            ("--sha256", self.sha256),
            ("--timings", self.timings),
            ("--isolation", matches!(self.isolation, Isolation::Vm)),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }
}

/// `90s`, `30m`, `1h 30m`.
fn time_limit(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<jiff::SignedDuration>().map_err(|error| error.to_string())?;
    duration.try_into().map_err(|_| "it must not be negative".to_owned())
}

/// What keeps the steps apart from this machine.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Isolation {
    /// Namespaces of this machine's kernel: quick, a layer for each step, no init system
    #[default]
    Namespaces,
    /// A virtual machine: for steps that need systemd, Docker or kernel modules; minutes slower, one layer for all steps
    Vm,
}

impl From<Isolation> for build_engine::Isolation {
    fn from(isolation: Isolation) -> Self {
        match isolation {
            Isolation::Namespaces => Self::Namespaces,
            Isolation::Vm => Self::Vm,
        }
    }
}

/// Builds, and says how it went.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let output = context.output;
    if args.target == Runner::Azure {
        let local = args.only_local();
        if !local.is_empty() {
            return Err(Problem::new(
                Category::Input,
                format!("only a local build has {}", local.join(", ")),
            )
            .hint("leave it out, or build with --target local")
            .into());
        }
        let what = if args.as_deployed { What::Deployed } else { What::Described(args.template.as_deref()) };
        return cloud::build(&args.place, what, &args.output, context);
    }
    if args.as_deployed {
        let hint = "add --target azure, or leave out --as-deployed";
        return Err(Problem::new(Category::Input, "only a build in Azure has --as-deployed")
            .hint(hint)
            .into());
    }
    if args.shell_on_error && !(output.format == Format::Text && std::io::stdin().is_terminal()) {
        return Err(
            Problem::new(Category::Input, "--shell-on-error needs a terminal to open the shell on").into()
        );
    }
    let input = Input::load(args.template.as_deref(), context)?;
    let view: Arc<dyn View> = Arc::from(progress::view(output));
    let request = request(args, &input, context, Arc::clone(&view))?;
    let cancel = stop_on_signals()?;
    input.warnings.iter().for_each(|warning| view.show(&Event::Warning { text: warning.clone() }));
    let timeline = Mutex::new(Vec::new());
    let observer = |event: &Event| {
        if let Event::Timings { parts } = event {
            timeline.lock().unwrap_or_else(PoisonError::into_inner).clone_from(parts);
        }
        view.show(event);
    };
    let ended = build_engine::build(&request, &observer, &cancel)
        .map_err(Failure::from)
        .and_then(|report| finish(args, report, &input, context, view.as_ref(), &cancel));
    if args.timings && output.format == Format::Text {
        output::tell(&timings::text(&timeline.into_inner().unwrap_or_else(PoisonError::into_inner)));
    }
    // From the first event on, a stream of events has to end with one.
    match ended {
        Err(failure) if output.format == Format::Json => {
            view.show(&failure.to_event());
            Ok(failure.status())
        }
        ended => ended,
    }
}

/// The base that the user gives, checked as far as arguments can be.
fn base(args: &Arguments) -> Result<Option<GivenBase>, Failure> {
    let Some(file) = &args.base else { return Ok(None) };
    let Some(sha256) = &args.base_sha256 else {
        return Err(Problem::new(Category::Input, "--base needs the file's SHA-256: --base-sha256 HEX")
            .hint(HOW_TO_GET_A_DIGEST)
            .into());
    };
    Ok(Some(GivenBase::new(file, sha256)?))
}

/// The network rules that were given.
fn policy(args: &Arguments, context: &Context) -> Result<Option<NetworkPolicy>, Failure> {
    let Some(file) = args.network.as_deref().or(args.environment.as_deref()) else { return Ok(None) };
    let Network { policy, warnings, .. } = network::open(file)?;
    for warning in warnings {
        context.output.warn(&warning);
    }
    Ok(Some(policy))
}

/// What the engine is asked to do.
fn request(
    args: &Arguments,
    input: &Input,
    context: &Context,
    view: Arc<dyn View>,
) -> Result<BuildRequest, Failure> {
    let mut outbound = network::outbound(&input.recipe, &input.recipe_folder)?;
    outbound.allow_undecided = args.allow_undecided;
    outbound.observer = Some(Arc::new(move |connection| view.show(&Event::Egress(connection.clone()))));
    Ok(BuildRequest {
        template: input.template.clone(),
        template_folder: input.folder.clone(),
        base: base(args)?,
        name: input.name.clone(),
        smoke_tests: input.smoke_tests.clone(),
        policy: policy(args, context)?,
        allow: network::allow_list(&input.endpoints())?,
        outbound,
        cache: context.cache(),
        output: args.output.clone(),
        options: BuildOptions {
            isolation: args.isolation.into(),
            refresh: args.refresh,
            no_cache: args.no_cache,
            learn: args.learn,
            shell_on_error: args.shell_on_error,
            until: args.until.clone(),
            sha256: args.sha256,
            time_limit: args.timeout,
        },
    })
}

/// What follows a build that ended well: smoke tests where they were asked for, then the summary.
fn finish(
    args: &Arguments,
    mut report: BuildReport,
    input: &Input,
    context: &Context,
    view: &dyn View,
    cancel: &Cancel,
) -> Result<ExitStatus, Failure> {
    let output = context.output;
    let tested = match &report.image {
        Some(image) if args.smoke_test => {
            let tests = report.manifest.smoke_tests.clone();
            let tried = trial::run(&trial::spec(image, tests, cancel), output)?;
            trial::note(&mut report.manifest, &tried);
            report.manifest.write(&args.output)?;
            Some(tried)
        }
        _ => None,
    };
    if let Some(failure) = tested.as_ref().and_then(trial::failure) {
        return Err(failure);
    }
    match output.format {
        Format::Json => view.show(&Event::Done(summary::done(&report, &args.output))),
        Format::Text => output::print(&summary::text(&report, &args.output, &input.lacks, output))?,
    }
    Ok(ExitStatus::Yes)
}
