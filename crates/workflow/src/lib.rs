//! The life of an image in Azure: deploy, run, follow, collect, clean up.
//!
//! [`Workflow`] asks a resource manager, whichever that is, for what a [`Design`] describes. Each step looks first whether
//! it is done; what is about to be made or waited for is in a [`State`] before it is asked for, so that any other process
//! can go on, and every request that changes something is in an [`Audit`] record.

mod audit;
mod clean;
mod deployment;
mod design;
mod error;
mod event;
mod log;
mod operation;
mod roles;
mod run;
mod state;
mod status;
mod steps;
mod trial;

pub use audit::Audit;
pub use clean::{Cleaned, Sweep};
pub use deployment::{DeploymentRequest, TAG};
pub use design::{Becomes, Design, Gallery, Open, Settings};
pub use error::Error;
pub use event::{Event, StepState, Watch};
pub use roles::{RoleChoice, RoleDefinition, RoleDesign};
pub use run::{Finished, Output};
pub use state::{Kind, Made, Record, Run, State, Waiting, read as read_state};
pub use status::{RunStanding, Standing, TemplateStanding};
pub use steps::Planned;
pub use trial::{Shell, TrialPlace, TrialSpec};

use std::time::Duration;

use azure::Client;

/// Work on one design, with one client.
#[allow(missing_debug_implementations, reason = "holds whoever watches")]
pub struct Workflow<'a> {
    client: &'a Client,
    state: State,
    audit: Audit,
    watch: &'a dyn Watch,
    /// What is under way is ended although the user has stopped the work.
    ending: bool,
}

impl<'a> Workflow<'a> {
    /// Takes up the work that a state tells of.
    pub fn new(client: &'a Client, state: State, audit: Audit, watch: &'a dyn Watch) -> Self {
        Self { client, state, audit, watch, ending: false }
    }

    /// What is written down.
    pub fn record(&self) -> &Record {
        &self.state.record
    }

    /// Takes over an image template that somebody else made: it is run, followed and, when that is asked for, removed as one
    /// of ours.
    ///
    /// # Errors
    /// When it is not there.
    pub fn adopt(&mut self, id: &str) -> Result<(), Error> {
        let spelled = self.there(id)?.id;
        let id = if spelled.is_empty() { id.to_owned() } else { spelled };
        self.audit.asked("adopt", &id)?;
        if self.state.made(&id).is_none() {
            self.state.record.made.push(Made {
                kind: Kind::Template,
                id: id.clone(),
                confirmed: true,
                adopted: true,
            });
        }
        self.state.record.template = Some(id);
        self.state.save()
    }

    fn let_pass(&self, time: Duration) {
        if self.ending { self.watch.wait_out(time) } else { self.watch.wait(time) }
    }

    fn check_stopped(&self) -> Result<(), Error> {
        if self.watch.is_stopped() && !self.ending { Err(Error::Stopped) } else { Ok(()) }
    }
}
