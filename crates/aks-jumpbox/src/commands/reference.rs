//! The reference pages of `docs/`, made from the code so that they cannot be wrong.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use flow_log::{ADDRESSES, AddressRow, NEEDED, NOISE, Place};

use crate::cli::Cli;
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::show;

/// Write the reference pages of the documentation into a folder
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder to write into; made when missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes every page.
pub fn run(args: &Arguments) -> Result<ExitStatus, Failure> {
    std::fs::create_dir_all(&args.folder).map_err(|error| Failure::io("make", &args.folder, &error))?;
    write(&args.folder.join("command-line.md"), &command_line())?;
    write(&args.folder.join("diagnosis.md"), &diagnosis())?;
    write(&args.folder.join("exit-codes.md"), &exit_codes())?;
    write(&args.folder.join("flow-logs.md"), &flow_logs())?;
    write(&args.folder.join("requirements.md"), &requirements())?;
    write(&args.folder.join("local-azure.md"), &format!("{LOCAL_AZURE}\n{}", local_azure::reference()))?;
    write(&args.folder.join("templates.md"), &format!("{TEMPLATES}\n{}", arm::function_reference()))?;
    Ok(ExitStatus::Yes)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    crate::output::write_whole(file, text.as_bytes())
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

/// What the rules say of themselves; the page names no pattern, which is nothing to read.
fn diagnosis() -> String {
    let mut page = String::from(
        "# Known failures of image builds\n\n<!-- Made by `cargo xtask docs`; edit crates/diagnosis/src/rules.toml instead. \
         -->\n\nWhat `aks-jumpbox diagnose` looks for. In a log only what stands between the start of the step that failed and \
         the failure is blamed. A *wrapper* only says that something else failed: it explains nothing, and is shown where nothing \
         else is found. A warning or noise is never blamed. *Known* says how: from the service's documentation, reported in \
         public, from the source of the program that prints it, or assumed, which nobody has verified.\n\n\
         | rule | phase | kind | known | cause | fix | requirements that would explain it |\n|---|---|---|---|---|---|---|\n",
    );
    for rule in diagnosis::rules() {
        let kind = if rule.wrapper { "wrapper" } else { rule.severity.as_str() };
        let requirements: Vec<_> = rule.requirements.iter().map(|id| format!("`{id}`")).collect();
        let (phase, known) = (rule.phase.as_str(), rule.evidence.as_str());
        let diagnosis::Rule { id, cause, fix, .. } = rule;
        let _ = writeln!(
            page,
            "| {id} | {phase} | {kind} | {known} | {cause} | {fix} | {} |",
            requirements.join(", ")
        );
    }
    page
}

fn requirements() -> String {
    let mut page = String::from(
        "# Requirements of an image build\n\n<!-- Made by `cargo xtask docs`; edit crates/preflight/src/requirements \
         instead. -->\n\nWhat `aks-jumpbox check` asks. An *advised* requirement that is not met is a warning. What is \
         *taken for granted* is documented by nobody, and said in every answer that rests on it.\n\n\
         | id | what is required | severity | topology | system | source |\n|---|---|---|---|---|---|\n",
    );
    let entries = show::check::catalogue();
    for entry in &entries {
        let (topologies, systems) = (entry.topologies.join(", "), entry.systems.join(", "));
        let show::check::Entry { id, title, severity, source, .. } = entry;
        let _ = writeln!(page, "| `{id}` | {title} | {severity} | {topologies} | {systems} | {source} |");
    }
    page += "\n## Taken for granted\n\n";
    for (id, assumption) in entries.iter().filter_map(|entry| Some((entry.id, entry.assumption?))) {
        let _ = writeln!(page, "* `{id}`: {assumption}");
    }
    page
}

const LOCAL_AZURE: &str = include_str!("local-azure.md");

const TEMPLATES: &str = include_str!("templates.md");

const FLOW_LOGS: &str = include_str!("flow-logs.md");

/// What is read of logs is written by hand, the tables are the code's.
fn flow_logs() -> String {
    let mut page = format!("{FLOW_LOGS}\n### Names\n\n| class | name | port | why |\n|---|---|---|---|\n");
    for (name, port, why) in NEEDED {
        let _ = writeln!(page, "| needed | `{name}` | tcp {port} | {why} |");
    }
    for (name, why) in NOISE {
        let _ = writeln!(page, "| noise | `{name}` | any | {why} |");
    }
    page += "\n### Addresses\n\nThe first row that matches counts.\n\n\
             | class | direction | far end | port | why |\n|---|---|---|---|---|\n";
    for row in ADDRESSES {
        let AddressRow { direction, peer, needed, why, .. } = row;
        let class = if needed { "needed" } else { "noise" };
        let peer = match peer {
            Place::Platform => "168.63.129.16",
            Place::Private => "not public",
            Place::Public => "public",
            Place::Any => "any",
        };
        let _ =
            writeln!(page, "| {class} | {} | {peer} | {} | {why} |", show::direction(direction), ports(&row));
    }
    page
}

fn ports(row: &AddressRow) -> String {
    let protocols: Vec<_> = row.protocols.iter().map(|protocol| show::protocol(*protocol)).collect();
    let protocols = if protocols.is_empty() { "any".to_owned() } else { protocols.join(" and ") };
    row.port.map_or(protocols.clone(), |port| format!("{protocols} {port}"))
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
