//! The arguments. Every name here is part of the contract with scripts: add freely, rename never.

use std::path::PathBuf;

use clap::{ArgAction, Args, ColorChoice, Parser, Subcommand};

use crate::commands::{
    build, cache, cancel, check, clean, completions, deploy, diagnose, doctor, explain, init, logs, man,
    prove, reference, render, serve, snapshot, status, try_image,
};
use crate::context::Context;
use crate::output::{Format, Output, Verbosity};

/// Build, test and prove jump box images for private AKS clusters, on this machine.
#[derive(Debug, Parser)]
#[command(name = "aks-jumpbox", version, subcommand_required = true)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 yes, 1 no, 2 wrong question, 3 cannot tell, 4 not able, 130 interrupted.\n\n\
    First time here? `aks-jumpbox doctor`, then `aks-jumpbox build`, then `aks-jumpbox try`."
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Written {
    /// For people
    #[default]
    Text,
    /// As JSON for programs
    Json,
    /// As SARIF 2.1.0 for code scanning
    Sarif,
}

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file [default: the nearest jumpbox.toml in this folder or above it]
    #[arg(long, global = true, value_name = "FILE", env = "AKS_JUMPBOX_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// How answers are written: for people, or as JSON for programs; `check` also writes SARIF
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    #[arg(value_parser = clap::value_parser!(Written))]
    format: Written,
    /// Colour: auto, always or never; `NO_COLOR` is honoured
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = true
    )]
    color: ColorChoice,
    /// Tell everything, such as each line that a build step prints
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    verbose: bool,
    /// Tell only the answer, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Answer yes to every question
    #[arg(long, global = true)]
    yes: bool,
    /// Where bases, layers and packages are kept [default: ~/.cache/aks-jumpbox]
    #[arg(long, global = true, value_name = "DIR", env = "AKS_JUMPBOX_CACHE", hide_env_values = true)]
    cache_dir: Option<PathBuf>,
}

impl Global {
    pub(crate) fn context(&self) -> Context {
        let verbosity = match (self.verbose, self.quiet) {
            (true, _) => Verbosity::Verbose,
            (_, true) => Verbosity::Quiet,
            _ => Verbosity::Normal,
        };
        let format = if self.format == Written::Text { Format::Text } else { Format::Json };
        Context {
            output: Output::resolve(format, self.color, verbosity),
            sarif: self.format == Written::Sarif,
            config: self.config.clone(),
            cache_dir: self.cache_dir.clone(),
            yes: self.yes,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Arguments),
    Doctor(doctor::Arguments),
    Build(build::Arguments),
    Try(try_image::Arguments),
    Check(check::Arguments),
    Prove(prove::Arguments),
    Explain(explain::Arguments),
    Diagnose(diagnose::Arguments),
    Render(render::Arguments),
    Snapshot(snapshot::Arguments),
    Deploy(deploy::Arguments),
    Status(status::Arguments),
    Logs(logs::Arguments),
    Cancel(cancel::Arguments),
    Clean(clean::Arguments),
    Serve(serve::Arguments),
    Cache(cache::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
    #[command(name = "__reference", hide = true)]
    Reference(reference::Arguments),
}
