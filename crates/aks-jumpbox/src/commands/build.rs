//! `build`: an image template, run on this machine as Azure Image Builder would run it.

use std::path::{Path, PathBuf};

use build_engine::event::{Connection, Event};
use clap::ValueEnum;

use crate::context::{Context, stop_on_signals};
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::input::Input;
use crate::output::Format;
use crate::summary::Tally;
use crate::{network, progress};

/// Build the image on this machine, under its network rules
///
/// Without --template, builds what the nearest jumpbox.toml describes, or the built-in jump box where there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 built, 1 a step or a test failed, 2 a file is wrong, 4 this machine is not \
    able.\n\nExamples:\n  aks-jumpbox build\n  aks-jumpbox build --template image.json --network nsg.json\n  \
    aks-jumpbox build --learn              record what the build contacts, refuse nothing\n  \
    aks-jumpbox build --format json        one event a line, for programs")]
pub struct Arguments {
    /// Where to build
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    /// Image template of Azure Image Builder, as JSON
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Network rules in force: an environment file (TOML), or Azure's JSON of a network security group or firewall
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// The same, for an environment file
    #[arg(long, value_name = "FILE", conflicts_with = "network")]
    environment: Option<PathBuf>,
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
    /// Boot the result and run its smoke tests
    #[arg(long)]
    smoke_test: bool,
    /// Also compute the SHA-256 of the whole file, holes and all
    #[arg(long)]
    sha256: bool,
}

/// Where an image is built.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Target {
    /// On this machine
    #[default]
    Local,
}
