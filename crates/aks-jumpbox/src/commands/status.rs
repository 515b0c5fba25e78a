//! `status`: how a deployment and its last run stand.

use std::fmt::Write as _;

use workflow::Standing;

use crate::cloud::{self, Endpoint, Target, Teller};
use crate::context::{Context, stop_on_signals};
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::output::{self, Format};

/// Show how the deployment and its last run stand
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the template is there and no run of it failed, 1 otherwise, 2 nothing was deployed, 4 Azure \
    cannot be reached.\n\nExamples:\n  aks-jumpbox status\n  aks-jumpbox status --format json | jq .template.last_run"
)]
pub struct Arguments {
    /// Where
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    #[command(flatten)]
    endpoint: Endpoint,
}

/// Shows it.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let teller = Teller::new(context.output, stop_on_signals()?);
    let session = cloud::open(args.target, &args.endpoint, context)?;
    let standing = session.look(&teller)?.standing()?;
    match context.output.format {
        Format::Json => output::json(&standing)?,
        Format::Text => output::print(&text(&standing))?,
    }
    Ok(if is_well(&standing) { ExitStatus::Yes } else { ExitStatus::No })
}

fn is_well(standing: &Standing) -> bool {
    standing.template.as_ref().is_some_and(|template| {
        let failed =
            template.last_run.as_ref().is_some_and(|run| run.run_state.eq_ignore_ascii_case("failed"));
        template.provisioning_state.eq_ignore_ascii_case("succeeded") && !failed
    })
}

fn text(standing: &Standing) -> String {
    let mut text = format!("cloud      {}{}\n", standing.cloud, standing.subscription);
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10} {}", output::line(value));
    };
    match &standing.template {
        None => row("template", "none"),
        Some(template) => {
            row("template", &format!("{}, {}", template.id, template.provisioning_state));
            if let Some(error) = &template.provisioning_error {
                row("", error);
            }
            if let Some(group) = &template.staging_resource_group {
                row("staging", group);
            }
            match &template.last_run {
                None => row("last run", "none"),
                Some(run) => {
                    let sub = run.run_sub_state.as_ref().map(|sub| format!(", {sub}")).unwrap_or_default();
                    let began =
                        run.start_time.as_ref().map(|time| format!(", began {time}")).unwrap_or_default();
                    let ended =
                        run.end_time.as_ref().map(|time| format!(", ended {time}")).unwrap_or_default();
                    row("last run", &format!("{}{sub}{began}{ended}", run.run_state));
                    if let Some(message) = &run.message {
                        row("", message);
                    }
                }
            }
            template
                .outputs
                .iter()
                .for_each(|output| row("output", &format!("{} = {}", output.name, output.artifact)));
        }
    }
    if let Some(id) = &standing.waiting_for {
        row("waiting", id);
    }
    for own in &standing.made {
        row("made", &format!("{}{}", own.id, if own.confirmed { "" } else { "  (not confirmed)" }));
    }
    text
}
