//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    aks_jumpbox::run(std::env::args_os())
}
