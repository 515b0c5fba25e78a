//! The command line: one file per command, settings, printing, exit codes.
//!
//! [`run`] is the whole program. A command is `run(args, context) -> Result<ExitStatus, Failure>`: the status is
//! its answer, a [`Failure`](errors::Failure) says why there is none.

mod bicep;
mod cli;
mod cloud;
mod commands;
mod context;
pub mod errors;
pub mod exit;
mod flow;
mod input;
mod network;
mod output;
mod progress;
mod resources;
mod rules;
mod settings;
mod show;
mod summary;
mod timings;
mod trial;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command};
use context::Context;
use errors::{Category, Failure, Problem};
use exit::ExitStatus;
use output::{Format, Output};

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return wrong_arguments(&error, &arguments).into(),
    };
    let context = cli.global.context();
    match dispatch(cli.command, &context) {
        Ok(status) => status.into(),
        Err(failure) => report(&failure, context.output).into(),
    }
}

fn dispatch(command: Command, context: &Context) -> Result<ExitStatus, Failure> {
    if context.sarif && !matches!(command, Command::Check(_)) {
        return Err(Problem::new(Category::Input, "this command does not write SARIF")
            .hint("`check` does; here `--format json` is for programs")
            .into());
    }
    match command {
        Command::Init(args) => commands::init::run(&args, context),
        Command::Build(args) => commands::build::run(&args, context),
        Command::Try(args) => commands::try_image::run(&args, context),
        Command::Doctor(args) => commands::doctor::run(&args, context),
        Command::Check(args) => commands::check::run(&args, context),
        Command::Prove(args) => commands::prove::run(&args, context),
        Command::Explain(args) => commands::explain::run(&args, context),
        Command::Diagnose(args) => commands::diagnose::run(&args, context),
        Command::Snapshot(args) => commands::snapshot::run(&args, context),
        Command::Render(args) => commands::render::run(&args, context),
        Command::Deploy(args) => commands::deploy::run(&args, context),
        Command::Status(args) => commands::status::run(&args, context),
        Command::Logs(args) => commands::logs::run(&args, context),
        Command::Cancel(args) => commands::cancel::run(&args, context),
        Command::Clean(args) => commands::clean::run(&args, context),
        Command::Serve(args) => commands::serve::run(&args, context),
        Command::Cache(args) => commands::cache::run(&args, context),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args, context),
        Command::Reference(args) => commands::reference::run(&args),
    }
}

fn report(failure: &Failure, output: Output) -> ExitStatus {
    failure.warnings().iter().for_each(|warning| output.warn(warning));
    let printed = match output.format {
        Format::Json => output::json(&failure.to_json()),
        Format::Text => Ok(()),
    };
    if output.format == Format::Text || printed.is_err() {
        output::tell(&failure.to_text(output.error_colour));
    }
    failure.status()
}

/// Help and version are answers; everything else that clap reports is a wrong question.
fn wrong_arguments(error: &clap::Error, arguments: &[OsString]) -> ExitStatus {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that went away (`| head`) is no error.
        let _ = error.print();
        return ExitStatus::Yes;
    }
    let json = arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
        || arguments.iter().any(|argument| argument == "--format=json");
    if json {
        let text = error.render().to_string();
        let mut paragraphs = text.trim().split("\n\n");
        let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
        let hint: Vec<_> = paragraphs.map(str::trim).collect();
        let problem = Problem::new(Category::Input, message).hint(hint.join("; "));
        let output = Output::resolve(Format::Json, clap::ColorChoice::Never, output::Verbosity::Normal);
        return report(&problem.into(), output);
    }
    let _ = error.print();
    ExitStatus::WrongQuestion
}
