//! What every command gets: the resolved settings and the output.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::errors::{Category, Failure, Problem};
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
    ///
    /// # Errors
    /// When no place for it is known.
    pub fn cache(&self) -> Result<PathBuf, Failure> {
        settings::cache(self.cache_dir.as_deref())
    }
}

/// A flag that Ctrl-C and a termination signal set from now on; a second one ends the program at once, and with
/// it, since they die with their parent, every process that it started.
///
/// # Errors
/// When the signals cannot be caught.
pub fn interrupt_flag() -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(|error| Problem::new(Category::Internal, "could not catch signals").caused_by(&error))?;
    }
    Ok(flag)
}
