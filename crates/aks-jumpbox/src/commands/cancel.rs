//! `cancel`: stops the run of the deployed template.

use crate::cloud::{self, Endpoint, Target, Teller};
use crate::context::{Context, stop_on_signals};
use crate::errors::Failure;
use crate::exit::ExitStatus;

/// Stop the run of the deployed template
///
/// Azure takes its time to stop: `status` shows when it has. What a run had begun to distribute may be left in the gallery.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the run was asked to stop, 1 none goes on, 2 nothing was deployed, 4 Azure cannot be \
    reached.\n\nExamples:\n  aks-jumpbox cancel && aks-jumpbox status"
)]
pub struct Arguments {
    /// Where
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    #[command(flatten)]
    endpoint: Endpoint,
}

/// Asks the run to stop.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let teller = Teller::new(context.output, stop_on_signals()?);
    let session = cloud::open(args.target, &args.endpoint, context)?;
    let mut workflow = session.look(&teller)?;
    let template = cloud::deployed(&workflow)?;
    workflow.cancel(&template)?;
    context.output.note(&format!("{template}: its run was asked to stop"));
    Ok(ExitStatus::Yes)
}
