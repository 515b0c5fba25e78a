//! What is told while work goes on, and whom it is told.

use std::time::Duration;

use serde::Serialize;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A step of the workflow began or ended.
    Step {
        /// Its number, from 1.
        index: usize,
        /// How many there are.
        of: usize,
        /// Its name.
        name: &'static str,
        /// How it stands.
        state: StepState,
        /// What was done, one sentence each.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        details: Vec<String>,
    },
    /// Something is waited for.
    Waiting {
        /// What, and why.
        text: String,
        /// Seconds until it is asked for again.
        seconds: u64,
    },
    /// A run changed its state.
    Run {
        /// Such as `Running`.
        run_state: String,
        /// Such as `Customizing`.
        #[serde(skip_serializing_if = "Option::is_none")]
        run_sub_state: Option<String>,
    },
    /// A customizer began.
    Customizer {
        /// Its number, from 1.
        index: usize,
        /// How many the template has.
        of: usize,
        /// Its label, else its type; the service's own last step is `deprovision`.
        name: String,
    },
    /// A line of the log.
    Log {
        /// What it says, without its prefix.
        text: String,
    },
    /// Something that a careful user would act on.
    Warning {
        /// What.
        text: String,
    },
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It began.
    Started,
    /// It is done, and something was changed.
    Done,
    /// Everything was as it should be.
    Unchanged,
}

/// Whoever started the work.
pub trait Watch {
    /// Hears of something.
    fn tell(&self, event: &Event);
    /// Whether the work should stop.
    fn is_stopped(&self) -> bool;
    /// Lets time pass, less when the work should stop.
    fn wait(&self, time: Duration);
    /// Lets time pass, also when the work should stop: something that was made is being removed.
    fn wait_out(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
