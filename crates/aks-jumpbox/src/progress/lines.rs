//! JSON lines, one event each, for programs.

use std::io::Write;
use std::sync::Mutex;

use build_engine::event::Event;

use super::View;

/// Writes every event as one line of JSON.
pub struct Lines<W> {
    out: Mutex<W>,
}

impl<W: Write + Send> Lines<W> {
    /// A view that writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out: Mutex::new(out) }
    }
}

impl<W: Write + Send> View for Lines<W> {
    fn show(&self, event: &Event) {
        let Ok(line) = serde_json::to_string(event) else { return };
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A reader that went away must not stop the build.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
