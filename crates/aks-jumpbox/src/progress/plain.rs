//! Plain dated lines, for logs and continuous integration.

use std::io::Write;
use std::sync::Mutex;

use build_engine::event::{Event, StepState};
use jiff::Timestamp;

use super::{View, destination, ending, printable, refusal};
use crate::output::{Verbosity, shown};

/// Writes what happens as `2027-01-02T03:04:05Z text`.
pub struct Plain<W> {
    out: Mutex<W>,
    verbosity: Verbosity,
    now: fn() -> Timestamp,
}

impl<W: Write + Send> Plain<W> {
    /// A view that writes to `out`, dated by `now`.
    pub fn new(out: W, verbosity: Verbosity, now: fn() -> Timestamp) -> Self {
        Self { out: Mutex::new(out), verbosity, now }
    }

    fn describe(&self, event: &Event) -> Option<String> {
        let verbose = self.verbosity == Verbosity::Verbose;
        let quiet = self.verbosity == Verbosity::Quiet;
        match event {
            Event::Warning { text } => Some(format!("warning: {text}")),
            Event::Step { state: StepState::Failed, .. } => step(event),
            _ if quiet => None,
            Event::Step { .. } => step(event),
            Event::Phase { name, .. } => Some(name.name().to_owned()),
            Event::Note { text } => Some(text.clone()),
            Event::Output { index, line, .. } => verbose.then(|| format!("  {index} | {}", printable(line))),
            Event::Egress(connection) => refusal(connection)
                .map(|text| format!("  {text}"))
                .or_else(|| verbose.then(|| format!("  allowed {}", destination(connection)))),
            // The command prints its own end.
            Event::Timings { .. } | Event::Done(_) | Event::Failed { .. } => None,
        }
    }
}

fn step(event: &Event) -> Option<String> {
    let Event::Step { index, of, name, state, seconds, why, age_seconds, .. } = event else { return None };
    let mut text = format!("step {index}/{of} {name}: {}", ending(*state, *seconds, *age_seconds));
    if let Some(why) = why {
        text = format!("{text} ({why})");
    }
    Some(text)
}

impl<W: Write + Send> View for Plain<W> {
    fn show(&self, event: &Event) {
        let Some(text) = self.describe(event) else { return };
        let when = (self.now)().strftime("%Y-%m-%dT%H:%M:%SZ");
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A log that went away must not stop the build.
        let _ = writeln!(out, "{when} {}", shown(&text));
    }
}
