//! The steps of a deployment, in the order of the original guidance. Each looks first and does only what is missing.

mod access;
mod places;
mod preview;
mod providers;
mod template;

use crate::design::Design;
use crate::error::Error;
use crate::event::{Event, StepState};
use crate::Workflow;

pub use preview::Planned;

/// A step: its name, and what it does. It tells what it changed, a sentence each; none when everything was as it should be.
type Step = (&'static str, fn(&mut Workflow<'_>, &Design) -> Result<Vec<String>, Error>);

const STEPS: [Step; 6] = [
    ("Resource providers", Workflow::providers),
    ("Resource groups", Workflow::groups),
    ("Gallery", Workflow::gallery),
    ("Managed identity", Workflow::identity),
    ("Roles", Workflow::roles),
    ("Image template", Workflow::template),
];

impl Workflow<'_> {
    /// Makes what a design describes and is not there. The same design again changes nothing.
    ///
    /// # Errors
    /// What could not be done; what was done is written down, and doing it again goes on from there.
    pub fn deploy(&mut self, design: &Design) -> Result<(), Error> {
        self.resume()?;
        for (index, (name, step)) in STEPS.into_iter().enumerate() {
            let tell = |workflow: &Self, state, details| {
                let (index, of) = (index + 1, STEPS.len());
                workflow.watch.tell(&Event::Step { index, of, name, state, details });
            };
            tell(self, StepState::Started, Vec::new());
            let details = step(self, design)?;
            let state = if details.is_empty() { StepState::Unchanged } else { StepState::Done };
            tell(self, state, details);
        }
        Ok(())
    }
}
