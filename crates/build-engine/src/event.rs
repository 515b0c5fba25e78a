//! What a build tells while it runs: one stream of events for every way of showing it.
//!
//! The engine reports facts; terminal, plain lines and JSON lines are views of them in the command line. The
//! serialised form is the one that `build --format json` streams.

use serde::{Deserialize, Serialize};

pub use egress_gateway::Connection;

use crate::timeline::Part;

/// Receives events, from any thread, in the order in which they happened.
pub type Observer<'a> = dyn Fn(&Event) + Send + Sync + 'a;

/// One thing that happened during a build.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A part of the build begins.
    Phase {
        /// Which one.
        name: Phase,
        /// Where Azure Image Builder's `lastRunStatus` would be.
        run_sub_state: RunSubState,
    },
    /// A customizer or validator changes its state.
    Step {
        /// [`Phase::Customize`] or [`Phase::Validate`].
        phase: Phase,
        /// Position in the template's `customize` or `inVMValidations`, from 1.
        index: u32,
        /// How many there are.
        of: u32,
        /// Its name, or what it does where it has none; a validator's follows `validate: `.
        name: String,
        /// What became of it.
        state: StepState,
        /// How long it took; present when it ran to its end.
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
        /// Why it ran although a layer might have been cached, or why it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// How old the cached layer is, in seconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        age_seconds: Option<u64>,
    },
    /// A line that a customizer, or the program that makes the base, printed.
    Output {
        /// The customizer's position; 0 for what the engine itself runs. Validators are counted on from the last
        /// customizer.
        index: u32,
        /// Where it was printed.
        stream: Stream,
        /// The line, without its end.
        line: String,
    },
    /// A connection that was attempted and decided.
    Egress(Connection),
    /// Something worth knowing that asks for no action.
    Note {
        /// One sentence.
        text: String,
    },
    /// Something that a careful user would act on.
    Warning {
        /// One sentence.
        text: String,
    },
    /// Where the time went, however the build ended; the engine's last event.
    Timings {
        /// The build's parts, as in the manifest's `timeline`.
        parts: Vec<Part>,
    },
    /// The build ended well; the last event. The service's `runState` is then `Succeeded`.
    Done(Done),
    /// The build ended badly; the last event, made from the engine's error by whoever called the engine.
    Failed {
        /// Which of the service's words for it applies.
        run_state: RunState,
        /// [`Phase::Customize`] or [`Phase::Validate`] when a step of it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<Phase>,
        /// The customizer or validator that failed, where one did.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<u32>,
        /// What failed, with its causes.
        message: String,
        /// What would mend it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The last lines that the step printed.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        last_lines: Vec<String>,
        /// Every connection that was refused during that step.
        refused: Vec<Connection>,
    },
}

impl Event {
    /// A part of the build begins.
    pub const fn phase(name: Phase) -> Self {
        Self::Phase { name, run_sub_state: name.run_sub_state() }
    }
}

/// The parts of a build, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Making or finding the base.
    Base,
    /// Running the customizers.
    Customize,
    /// Removing what must not be in an image.
    Generalise,
    /// Writing the disk.
    Disk,
    /// Running the validators on what the disk holds, while it is written.
    Validate,
    /// Placing the results.
    Distribute,
}

impl Phase {
    /// Where the service would be.
    pub const fn run_sub_state(self) -> RunSubState {
        match self {
            Self::Base => RunSubState::Building,
            Self::Customize | Self::Generalise | Self::Disk => RunSubState::Customizing,
            Self::Validate => RunSubState::Validating,
            Self::Distribute => RunSubState::Distributing,
        }
    }

    /// Its name as events carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Customize => "customize",
            Self::Generalise => "generalise",
            Self::Disk => "disk",
            Self::Validate => "validate",
            Self::Distribute => "distribute",
        }
    }
}

/// Azure Image Builder's `lastRunStatus.runState` (azure-image-builder.md 2.3), as far as a local build knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RunState {
    /// The build has not ended.
    #[default]
    Running,
    /// Everything was done.
    Succeeded,
    /// Something failed, also when the image was distributed all the same.
    Failed,
    /// The user asked to stop.
    Canceled,
}

/// Azure Image Builder's `lastRunStatus.runSubState`, in its order; `Optimizing` is never reached here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RunSubState {
    /// Sources are fetched.
    #[default]
    Queued,
    /// The machine to build on is made: here, the base.
    Building,
    /// Customizers run, then the image is generalised and its disk written.
    Customizing,
    /// Validators run.
    Validating,
    /// Results are placed.
    Distributing,
}

/// What became of a customizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It runs.
    Started,
    /// Its layer was there already.
    Cached,
    /// It ran and exited with 0.
    Succeeded,
    /// It ran and failed, or could not run.
    Failed,
}

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a finished build made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Done {
    /// Path of the disk image; none when the build was to stop before it.
    pub image: Option<String>,
    /// Identity of its content: the hash of the extent map and the data, in lower-case hexadecimal.
    pub content_sha256: Option<String>,
    /// Length of the file in bytes, holes included.
    pub bytes: Option<u64>,
    /// Bytes that the file takes on this machine's disk.
    pub allocated_bytes: Option<u64>,
    /// Every file that the build wrote.
    pub outputs: Vec<String>,
    /// How long the build took.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_the_fields_that_scripts_read() {
        let event = Event::Step {
            phase: Phase::Customize,
            index: 3,
            of: 11,
            name: "Install kubectl".into(),
            state: StepState::Succeeded,
            seconds: Some(4.2),
            why: None,
            age_seconds: None,
        };
        assert_eq!(
            serde_json::to_string(&event).expect("serialises"),
            r#"{"event":"step","phase":"customize","index":3,"of":11,"name":"Install kubectl","state":"succeeded","seconds":4.2}"#
        );
    }
}
