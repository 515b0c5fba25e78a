//! `cache`: what earlier builds left for later ones.

use serde_json::json;

use crate::context::Context;
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::output::Format;

/// Show or remove what earlier builds left for later ones
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the folder
    Path,
}

/// Does what was asked.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let folder = context.cache()?;
    match args.action {
        Action::Path => match context.output.format {
            Format::Text => context.output.print(&format!("{}\n", folder.display()))?,
            Format::Json => context.output.json(&json!({"path": folder}))?,
        },
    }
    Ok(ExitStatus::Yes)
}
