//! `clean`: removes what was made, and nothing else.

use workflow::{Cleaned, Sweep};

use crate::cloud::{self, Endpoint, Target, Teller};
use crate::context::{Context, stop_on_signals};
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::output::{self, Format};

/// Remove what `deploy` and `build` made in Azure, in the order that works
///
/// Without a flag, the role assignments that are needed while images are built alone. What this program did not make stays.
/// Logs go with their template: `logs` saves them.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(
    after_help = "Exit codes: 0 what was asked for is gone, 1 something could not go, 2 nothing was deployed, 4 Azure cannot \
    be reached, 130 interrupted; the same command goes on.\n\nExamples:\n  \
    aks-jumpbox clean                      the role assignments; `deploy` makes them again\n  \
    aks-jumpbox clean --superseded         templates that a changed one took the place of\n  \
    aks-jumpbox logs && aks-jumpbox clean --template\n  \
    aks-jumpbox clean --all --yes          everything, the images, too"
)]
pub struct Arguments {
    /// Where
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    /// Image templates, with their staging resource groups and logs
    #[arg(long)]
    template: bool,
    /// Image templates that a later one took the place of
    #[arg(long)]
    superseded: bool,
    /// The managed identity
    #[arg(long)]
    identity: bool,
    /// Role definitions
    #[arg(long)]
    roles: bool,
    /// Everything that was made: images, galleries and resource groups, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    endpoint: Endpoint,
}

/// Removes it, and says what is left.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let teller = Teller::new(context.output, stop_on_signals()?);
    let session = cloud::open(args.target, &args.endpoint, context)?;
    let mut workflow = session.earlier(&teller)?;
    let Arguments { template, superseded, identity, roles, all, .. } = *args;
    let sweep = Sweep { templates: template, superseded, identity, roles, all };
    let going = workflow.would_clean(sweep);
    if !going.is_empty() {
        let question = format!("{}\nRemove these {}?", going.join("\n"), going.len());
        if !context.agreed(&question) {
            context.output.note("nothing was removed");
            return Ok(ExitStatus::No);
        }
    }
    let cleaned = workflow.clean(sweep)?;
    match context.output.format {
        Format::Json => output::json(&cleaned)?,
        Format::Text => output::print(&text(&cleaned))?,
    }
    let done = going.iter().all(|id| cleaned.removed.contains(id));
    Ok(if done { ExitStatus::Yes } else { ExitStatus::No })
}

fn text(cleaned: &Cleaned) -> String {
    let removed = cleaned.removed.iter().map(|id| format!("removed  {id}\n"));
    let left =
        cleaned.left.iter().map(|left| format!("left     {}  ({})\n", left.id, output::line(&left.why)));
    removed.chain(left).collect()
}
