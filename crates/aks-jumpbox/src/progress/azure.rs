//! Work in Azure on a terminal that someone watches.

use workflow::{Event, StepState};

use super::terminal::Terminal;
use crate::output::{DIM, GREEN, YELLOW, line, paint};

impl Terminal {
    /// Shows one event of the work.
    pub fn show_azure(&self, event: &Event) {
        match event {
            Event::Step { index, of, name, state, details } => {
                self.step_in_azure(&format!("[{index}/{of}] {name}"), *state, details);
            }
            // What takes time has no step of its own, or is what a step waits for.
            Event::Waiting { text, seconds: 0 } => self.start(text),
            Event::Waiting { text, .. } | Event::Log { text } => self.tail(text),
            Event::Run { run_state, run_sub_state } => {
                let sub = run_sub_state.as_ref().map(|sub| format!(", {sub}")).unwrap_or_default();
                let text = format!("run: {run_state}{sub}");
                self.passed(&text);
                if run_sub_state.is_some() {
                    self.start(&text);
                }
            }
            Event::Customizer { index, of, name } => {
                let text = if index <= of { format!("[{index}/{of}] {name}") } else { name.clone() };
                self.passed(&text);
                self.start(&text);
            }
            Event::Warning { text } => {
                self.stay(&format!("{} {}", paint(self.colour, YELLOW, "warning:"), line(text)));
            }
        }
    }

    /// Nothing runs any more: the line goes, so that others can write.
    pub fn rest(&self) {
        self.replace(None);
    }

    fn step_in_azure(&self, label: &str, state: StepState, details: &[String]) {
        let (mark, ending) = match state {
            StepState::Started => return self.start(label),
            StepState::Done => (paint(self.colour, GREEN, "✓"), details.join("; ")),
            StepState::Unchanged => (paint(self.colour, DIM, "•"), "as it should be".to_owned()),
        };
        self.replace(None);
        self.stay(&format!("{mark} {label}  {}", paint(self.colour, DIM, &line(&ending))));
    }

    fn passed(&self, text: &str) {
        self.replace(None);
        self.stay(&format!("{} {}", paint(self.colour, DIM, "•"), line(text)));
    }
}
