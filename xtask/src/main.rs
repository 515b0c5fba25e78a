//! Set-up, test, bench and generated documentation: `cargo xtask up|test|docs|bench|fuzz`.
//!
//! No dependencies, so that it compiles in a second on a fresh machine.

mod bench;
mod docs;
mod fuzz;
mod host;
mod process;
mod python;
mod test;
mod up;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask <COMMAND>

  up [--yes]         install what this machine lacks (asks first; --yes does not), build the program in release,
                     build the default jump box, boot it and test it
  test [--yes]       the same set-up, then every check and every test
  docs [--check]     write docs/reference, manual pages and completions; --check only compares
  bench [--runs N] [--only TEXT] [--no-peers]
                     measure what SPECIFICATION.md promises, beside other tools where they run
  fuzz [TARGET] [--seconds N]
                     feed every parser of foreign input, or one of them, with damaged input; 60 seconds each
";

/// Why a command stopped: an exit code as the program itself uses them, and what to say.
#[derive(Debug)]
pub struct Stop {
    code: u8,
    message: String,
}

impl Stop {
    /// A check or a build failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// The command was called wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// This machine is not able.
    pub fn not_able(message: impl Into<String>) -> Self {
        Self { code: 4, message: message.into() }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("\nerror: {}", stop.message);
            ExitCode::from(stop.code)
        }
    }
}

fn dispatch(words: &[&str]) -> Result<(), Stop> {
    match words {
        ["up"] => up::run(false),
        ["up", "--yes"] => up::run(true),
        ["test"] => test::run(false),
        ["test", "--yes"] => test::run(true),
        ["docs"] => docs::write(),
        ["docs", "--check"] => docs::check(),
        ["bench", options @ ..] => bench::run(options),
        ["fuzz", options @ ..] => fuzz::run_targets(options),
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(Stop::usage(format!("unknown arguments `{}`\n\n{USAGE}", words.join(" ")))),
    }
}
