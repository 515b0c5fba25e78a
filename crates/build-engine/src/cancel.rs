//! Stopping a build from outside: Ctrl-C, a total time-out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sandbox::Killer;

use crate::error::{BuildError, Result};

/// A request to stop, shared by everything that can take long.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    running: Arc<Mutex<Option<Killer>>>,
}

impl Cancel {
    /// Nothing asked to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop and ends the sandbox that runs now. Safe to call from a signal-handling thread.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::SeqCst);
        if let Some(killer) = self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            killer.kill();
        }
    }

    /// The flag alone, for loops that only look.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }

    /// # Errors
    /// [`BuildError::Interrupted`] when a stop was asked for.
    pub fn check(&self) -> Result<()> {
        if self.flag.load(Ordering::SeqCst) { Err(BuildError::Interrupted) } else { Ok(()) }
    }

    /// Names the sandbox that [`Cancel::cancel`] has to end; none when it has ended by itself.
    pub(crate) fn set_running(&self, killer: Option<Killer>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = killer;
        if self.flag.load(Ordering::SeqCst) {
            self.cancel();
        }
    }
}
