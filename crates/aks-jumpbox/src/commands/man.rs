//! `man`: manual pages, made from the same definitions as `--help`.

use std::path::PathBuf;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::context::Context;
use crate::errors::Failure;
use crate::exit::ExitStatus;

/// Write the manual pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  aks-jumpbox man ~/.local/share/man/man1")]
pub struct Arguments {
    /// Folder to write into; made when missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes one page for the program and one for each command.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.folder))
        .map_err(|error| Failure::io("write manual pages to", &args.folder, &error))?;
    context.output.note(&format!("wrote the manual pages to {}", args.folder.display()));
    Ok(ExitStatus::Yes)
}
