//! A terminal that someone watches: finished steps scroll by, the running one shows its time and last line.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use build_engine::event::{Event, StepState};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{View, ending, printable, refusal};
use crate::output::{BOLD, DIM, GREEN, RED, YELLOW, paint, shown};

/// Redraws one line for what runs now, above which everything finished stays.
pub struct Terminal {
    lines: MultiProgress,
    pub(super) colour: bool,
    running: Mutex<Option<ProgressBar>>,
}

impl Terminal {
    /// A view that draws on `target`.
    pub fn new(target: ProgressDrawTarget, colour: bool) -> Self {
        let lines = MultiProgress::with_draw_target(target);
        Self { lines, colour, running: Mutex::new(None) }
    }

    pub(super) fn start(&self, label: &str) {
        let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = self.lines.add(ProgressBar::new_spinner().with_style(style).with_prefix(shown(label)));
        bar.enable_steady_tick(Duration::from_millis(120));
        self.replace(Some(bar));
    }

    pub(super) fn replace(&self, next: Option<ProgressBar>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = std::mem::replace(&mut *running, next) {
            bar.finish_and_clear();
            self.lines.remove(&bar);
        }
    }

    pub(super) fn tail(&self, line: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &*running
            && !line.trim().is_empty()
        {
            bar.set_message(shown(&paint(self.colour, DIM, &printable(line))));
        }
    }

    pub(super) fn stay(&self, text: &str) {
        // A terminal that went away must not stop the build.
        let _ = self.lines.println(shown(text));
    }

    fn step(&self, event: &Event) {
        let Event::Step { index, of, name, state, seconds, why, age_seconds, .. } = event else { return };
        let label = format!("[{index}/{of}] {name}");
        if *state == StepState::Started {
            if let Some(why) = why {
                self.stay(&paint(self.colour, DIM, &format!("  {label}: not cached, {why}")));
            }
            return self.start(&label);
        }
        self.replace(None);
        let mark = match state {
            StepState::Failed => paint(self.colour, RED, "✗"),
            StepState::Cached => paint(self.colour, DIM, "•"),
            _ => paint(self.colour, GREEN, "✓"),
        };
        let ending = paint(self.colour, DIM, &ending(*state, *seconds, *age_seconds));
        self.stay(&format!("{mark} {label}  {ending}"));
    }
}

impl View for Terminal {
    fn show(&self, event: &Event) {
        match event {
            Event::Phase { name, .. } => self.start(&paint(self.colour, BOLD, name.name())),
            Event::Step { .. } => self.step(event),
            Event::Output { line, .. } => self.tail(line),
            Event::Egress(connection) => {
                if let Some(text) = refusal(connection) {
                    self.stay(&format!("  {} {text}", paint(self.colour, YELLOW, "!")));
                }
            }
            Event::Note { text } => self.stay(&paint(self.colour, DIM, text)),
            Event::Warning { text } => {
                self.stay(&format!("{} {text}", paint(self.colour, YELLOW, "warning:")));
            }
            Event::Timings { .. } | Event::Done(_) | Event::Failed { .. } => self.replace(None),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.replace(None);
    }
}
