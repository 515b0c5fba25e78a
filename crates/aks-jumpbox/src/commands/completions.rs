//! `completions`: what a shell needs to complete our arguments.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::errors::Failure;
use crate::exit::ExitStatus;
use crate::output;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  aks-jumpbox completions bash > /etc/bash_completion.d/aks-jumpbox")]
pub struct Arguments {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Arguments) -> Result<ExitStatus, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "aks-jumpbox", &mut script);
    output::print_as_it_is(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Yes)
}
