//! `cache`: what earlier builds left for later ones.

use std::fmt::Write as _;
use std::path::Path;

use build_engine::cache::{Cache, Entry};
use serde_json::json;

use crate::context::Context;
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::output;
use crate::output::{DIM, Format, bytes, duration};

/// Show or remove what earlier builds left for later ones
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Examples:\n  aks-jumpbox cache list\n  aks-jumpbox cache prune --older-than 30")]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List bases, layers and package stores, with age and size
    List,
    /// Remove what is old, where no build runs
    ///
    /// While a build runs, which may use anything in the cache, nothing is removed and the exit code is 4. A build that
    /// is started meanwhile waits. Stopped or killed midway, this leaves a cache to go on with.
    Prune {
        /// Remove what is at least this many days old; 0 removes everything
        #[arg(long, value_name = "DAYS", default_value_t = 0)]
        older_than: u32,
    },
    /// Print the folder
    Path,
}

/// Does what was asked.
pub fn run(args: &Arguments, context: &Context) -> Result<ExitStatus, Failure> {
    let folder = context.cache();
    match args.action {
        Action::List => list(&folder, context)?,
        Action::Prune { older_than } => prune(&folder, u64::from(older_than) * 86_400, context)?,
        Action::Path => match context.output.format {
            Format::Text => output::print(&format!("{}\n", folder.display()))?,
            Format::Json => output::json(&json!({"path": folder}))?,
        },
    }
    Ok(ExitStatus::Yes)
}

fn list(folder: &Path, context: &Context) -> Result<(), Failure> {
    // Looking must not make a cache where there is none.
    let entries = if folder.is_dir() { Cache::open(folder, &mut || Ok(()))?.list()? } else { Vec::new() };
    match context.output.format {
        Format::Json => output::json(&json!({"path": folder, "entries": entries})),
        Format::Text => output::print(&table(&entries, context)),
    }
}

fn table(entries: &[Entry], context: &Context) -> String {
    let mut text = String::new();
    for Entry { kind, key, name, age_seconds, bytes: size } in entries {
        #[allow(clippy::cast_precision_loss, reason = "an age for people")]
        let age = duration(*age_seconds as f64);
        let key = context.output.paint(DIM, key.get(..12).unwrap_or(key));
        let _ = writeln!(text, "{kind:<9} {key:<12}  {:>10}  {age:>8} old  {name}", bytes(*size));
    }
    let total = entries.iter().map(|entry| entry.bytes).sum();
    let _ = writeln!(text, "{} in {} entries", bytes(total), entries.len());
    text
}

fn prune(folder: &Path, older_than: u64, context: &Context) -> Result<(), Failure> {
    if older_than == 0 && !context.agreed(&format!("Remove everything in {}?", folder.display())) {
        return Ok(());
    }
    let freed = if folder.is_dir() { Cache::prune(folder, older_than)? } else { 0 };
    match context.output.format {
        Format::Json => output::json(&json!({"path": folder, "freed_bytes": freed})),
        Format::Text => output::print(&format!("freed {}\n", bytes(freed))),
    }
}
