//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Nothing may come before this: a sandbox is this very program, started again.
    sandbox::enter_if_requested(build_engine::JOBS);
    aks_jumpbox::run(std::env::args_os())
}
