//! How the work in Azure is shown, and stopped.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use build_engine::cancel::Cancel;
use workflow::{Event, StepState, Watch};

use crate::output::{self, Format, Output, Verbosity};
use crate::progress::{self, Terminal};

/// Tells what happens as dated lines, as JSON lines, or by a line that is redrawn; stops when the user asks.
pub struct Teller {
    output: Output,
    cancel: Cancel,
    streams: bool,
    display: Option<Terminal>,
    waited: Mutex<Duration>,
}

impl Teller {
    /// Tells it beside the one answer of a command.
    pub fn new(output: Output, cancel: Cancel) -> Self {
        Self { output, cancel, streams: false, display: None, waited: Mutex::default() }
    }

    /// Tells it as the answer: in JSON, each event is a line of it; where somebody watches, a line is redrawn.
    pub fn streaming(output: Output, cancel: Cancel) -> Self {
        Self { streams: true, display: progress::watched(output), ..Self::new(output, cancel) }
    }

    /// The work rests, and others write.
    pub fn rest(&self) {
        if let Some(display) = &self.display {
            display.rest();
        }
    }

    /// How long the work has waited, all told.
    pub fn waited(&self) -> Duration {
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, event: &Event) -> Option<String> {
        let verbose = self.output.verbosity == Verbosity::Verbose;
        Some(match event {
            Event::Step { index, of, name, state, details } => {
                let head = format!("step {index}/{of} {name}");
                match state {
                    StepState::Started => return verbose.then(|| format!("{head}: started")),
                    StepState::Unchanged => format!("{head}: as it should be"),
                    StepState::Done => format!("{head}: {}", details.join("; ")),
                }
            }
            Event::Waiting { text, seconds: 0 } => text.clone(),
            Event::Waiting { text, seconds } => format!("waiting: {text}; asking again in {seconds} s"),
            Event::Run { run_state, run_sub_state: Some(sub) } => format!("run: {run_state}, {sub}"),
            Event::Run { run_state, run_sub_state: None } => format!("run: {run_state}"),
            Event::Customizer { index, of, name } if index <= of => format!("customizer {index}/{of} {name}"),
            Event::Customizer { name, .. } => name.clone(),
            Event::Log { text } => return verbose.then(|| format!("  | {text}")),
            Event::Warning { text } => format!("warning: {text}"),
        })
    }
}

impl Watch for Teller {
    fn tell(&self, event: &Event) {
        if self.streams && self.output.format == Format::Json {
            // A reader that went away must not stop the work.
            let _ = output::json_line(event);
            return;
        }
        if let Some(display) = &self.display {
            return display.show_azure(event);
        }
        let loud = self.output.verbosity > Verbosity::Quiet || matches!(event, Event::Warning { .. });
        if let Some(line) = self.line(event).filter(|_| loud) {
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
            output::tell(&format!("{now} {}\n", output::line(&line)));
        }
    }

    fn is_stopped(&self) -> bool {
        self.cancel.check().is_err()
    }

    fn wait(&self, time: Duration) {
        let begun = Instant::now();
        while !self.is_stopped() {
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left.min(Duration::from_millis(100)));
        }
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner) += begun.elapsed();
    }
}
