//! What every command gets: the resolved settings and the output.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use build_engine::cache::Cache;
use build_engine::cancel::Cancel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::errors::{Category, Failure, Problem};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::settings;

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    /// Where and how to print.
    pub output: Output,
    /// The answer is wanted as SARIF; errors are JSON then.
    pub sarif: bool,
    /// The configuration file that was named.
    pub config: Option<PathBuf>,
    /// The cache folder that was named.
    pub cache_dir: Option<PathBuf>,
    /// Every question is answered yes.
    pub yes: bool,
}

impl Context {
    /// The configuration file to use, if there is one.
    ///
    /// # Errors
    /// When one was named and is not there.
    pub fn configuration(&self) -> Result<Option<PathBuf>, Failure> {
        let folder = std::env::current_dir()
            .map_err(|error| Failure::io("find the current folder", Path::new("."), &error))?;
        settings::configuration(self.config.as_deref(), &folder)
    }

    /// The folder that holds bases, layers and packages.
    pub fn cache(&self) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(Cache::default_path)
    }

    /// Whether a person who can be asked agrees. A script is not asked: it said what it wants by its arguments.
    pub fn agreed(&self, question: &str) -> bool {
        if self.yes || !std::io::stdin().is_terminal() {
            return true;
        }
        crate::output::tell(&format!("{question} [y/N] "));
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer).unwrap_or(0);
        read > 0 && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }
}

/// From now on Ctrl-C and a termination signal ask the work to stop; a second one ends the program at once, and
/// with it, since they die with their parent, every process that it started.
///
/// # Errors
/// When the signals cannot be caught.
pub fn stop_on_signals() -> Result<Cancel, Failure> {
    let cancel = Cancel::new();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Problem::new(Category::Internal, "could not catch signals").caused_by(&error))?;
    let asked = cancel.clone();
    std::thread::spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                std::process::exit(ExitStatus::Interrupted.code().into());
            }
            asked.cancel();
        }
    });
    Ok(cancel)
}
