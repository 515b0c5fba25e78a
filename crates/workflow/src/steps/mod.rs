//! The steps of a deployment, in the order of the original guidance. Each looks first and does only what is missing.

pub(crate) mod access;
mod places;
mod preview;
mod providers;
mod template;
mod trigger;

use crate::Workflow;
use crate::design::Design;
use crate::error::Error;
use crate::event::{Event, StepState};

pub use preview::Planned;

/// A step: its name, and what it does. It tells what it changed, a sentence each; none when everything was as it should be.
type Step = (&'static str, fn(&mut Workflow<'_>, &Design) -> Result<Vec<String>, Error>);

const STEPS: [Step; 7] = [
    ("Resource providers", |workflow, design| workflow.providers(design)),
    ("Resource groups", |workflow, design| workflow.groups(design)),
    ("Gallery", |workflow, design| workflow.gallery(design)),
    ("Managed identity", |workflow, design| workflow.identity(design)),
    ("Roles", |workflow, design| workflow.roles(design)),
    ("Image template", |workflow, design| workflow.template(design)),
    ("Trigger", |workflow, design| workflow.trigger(design)),
];

impl Workflow<'_> {
    /// Makes what a design describes and is not there. The same design again changes nothing.
    ///
    /// # Errors
    /// What could not be done; what was done is written down, and doing it again goes on from there.
    pub fn deploy(&mut self, design: &Design) -> Result<(), Error> {
        self.resume()?;
        self.end_trials()?;
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
