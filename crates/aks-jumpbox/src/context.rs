//! What every command gets: the resolved settings and the output.

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
    /// The configuration file that was named.
    pub config: Option<PathBuf>,
    /// The cache folder that was named.
    pub cache_dir: Option<PathBuf>,
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
