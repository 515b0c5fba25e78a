//! `logs`: the logs of builds, saved before anything is deleted.

use std::path::PathBuf;

use serde_json::json;

use crate::cloud::{self, Endpoint, Target, Teller};
use crate::context::{Context, stop_on_signals};
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::output::{self, Format};

/// Save the logs of the deployed template's runs: customization.log and validation.log
///
/// They are in the staging storage account, and go with the template.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 saved, 1 there are none or they may not be read, 2 nothing was deployed, 4 Azure cannot be \
    reached.\n\nExamples:\n  aks-jumpbox logs\n  aks-jumpbox logs --output logs --all\n  \
    aks-jumpbox logs && aks-jumpbox diagnose out/logs/*/customization.log"
)]
pub struct Arguments {
    /// Where
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    /// Folder that gets one folder for each run; made when missing
    #[arg(long, value_name = "DIR", default_value = "out/logs")]
    output: PathBuf,
    /// The logs of every run, and not of the last one alone
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    endpoint: Endpoint,
}

/// Saves them.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let teller = Teller::new(context.output, stop_on_signals()?);
    let session = cloud::open(args.target, &args.endpoint, context)?;
    // While a build goes on, it has what is needed to read them.
    let mut workflow = match session.earlier(&teller) {
        Err(failure) if failure.status() == ExitStatus::NotAble => session.look(&teller)?,
        workflow => workflow?,
    };
    let template = cloud::deployed(&workflow)?;
    let saved = workflow.save_logs(&template, &args.output, args.all)?;
    match context.output.format {
        Format::Json => output::json(&json!({ "saved": saved }))?,
        Format::Text => {
            let lines = saved.iter().map(|file| format!("{}\n", file.display()));
            output::print(&lines.collect::<String>())?;
        }
    }
    if saved.is_empty() {
        context.output.note("no run has left a log");
        return Ok(ExitStatus::No);
    }
    Ok(ExitStatus::Yes)
}
