//! The reference pages of `docs/`, made from the code so that they cannot be wrong.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use crate::cli::Cli;
use crate::errors::Failure;
use crate::exit::ExitStatus;

/// Write the reference pages of the documentation into a folder
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder to write into; made when missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes `command-line.md` and `exit-codes.md`.
pub fn run(args: &Arguments) -> Result<ExitStatus, Failure> {
    std::fs::create_dir_all(&args.folder).map_err(|error| Failure::io("make", &args.folder, &error))?;
    write(&args.folder.join("command-line.md"), &command_line())?;
    write(&args.folder.join("exit-codes.md"), &exit_codes())?;
    Ok(ExitStatus::Yes)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| Failure::io("write", file, &error))
}

fn exit_codes() -> String {
    let mut page = String::from(
        "# Exit codes\n\n<!-- Made by `cargo xtask docs`; edit crates/aks-jumpbox/src/exit.rs instead. -->\n\n\
         Every command answers with one of these, so that scripts can branch without reading text.\n\n\
         | code | meaning |\n|---|---|\n",
    );
    for status in ExitStatus::ALL {
        let _ = writeln!(page, "| {} | {} |", status.code(), status.meaning());
    }
    page
}

fn command_line() -> String {
    let mut page = String::from(
        "# Command line\n\n<!-- Made by `cargo xtask docs`; edit crates/aks-jumpbox/src/commands instead. -->\n\n\
         What `--help` says, for every command; the global options, which every command takes, once. Exit codes: [exit-codes.md](exit-codes.md).\n",
    );
    let mut root = Cli::command().term_width(100);
    root.build();
    section(&mut page, &mut root, "aks-jumpbox");
    page
}

fn section(page: &mut String, command: &mut clap::Command, name: &str) {
    let level = name.split(' ').count() + 1;
    let help = without_global_options(command, level).render_long_help().to_string();
    let help: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(page, "\n{} `{name}`\n\n```text\n{}\n```\n", "#".repeat(level), help.join("\n"));
    for child in command.get_subcommands_mut().filter(|child| !child.is_hide_set()) {
        let name = format!("{name} {}", child.get_name());
        section(page, child, &name);
    }
}

/// What every command understands is told once, at the top.
fn without_global_options(command: &clap::Command, level: usize) -> clap::Command {
    let hide = |arg: clap::Arg| if arg.is_global_set() { arg.hide(true) } else { arg };
    if level > 2 { command.clone().mut_args(hide) } else { command.clone() }
}
