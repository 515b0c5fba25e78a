//! Locks between processes that share a folder: advisory ones of whole files, which end with their holder.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::error::{BuildError, Result};
use crate::event::{Event, Observer};

/// How long until a lock that was not free is tried again: a wait that a request to stop can end.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes a lock as soon as it is free. Each time that it is not, `waits` is asked, whose error ends the wait.
///
/// # Errors
/// That of `waits`, or when the file cannot be locked.
pub fn take(
    file: &File,
    path: &Path,
    lock: fn(&File) -> std::result::Result<(), TryLockError>,
    waits: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    loop {
        match lock(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => waits()?,
            Err(TryLockError::Error(error)) => return Err(BuildError::io("lock", path)(error)),
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits as long as nobody asks to stop, and says once for what.
pub fn patience<'a>(
    what: &'a str,
    observer: &'a Observer<'a>,
    cancel: &'a Cancel,
) -> impl FnMut() -> Result<()> + 'a {
    let mut told = false;
    move || {
        if !std::mem::replace(&mut told, true) {
            observer(&Event::Note { text: format!("waiting: {what}") });
        }
        cancel.check()
    }
}
