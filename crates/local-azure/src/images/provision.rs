//! The making of a template: what the service checks and sets up after it has taken a request.

use http::StatusCode;

use super::needs::{Moment, State};
use super::template::{Kept, set_operation};
use super::{sources, staging, status};
use crate::LocalAzure;
use crate::error::ArmError;
use crate::lro::Operation;

/// Why a template or a run fails: the service's code, and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A `provisioningErrorCode` (azure-image-builder.md 2.4).
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<ArmError> for Refusal {
    fn from(error: ArmError) -> Self {
        let text = format!("{}: {}", error.code, error.message);
        Self::new(if error.internal.is_some() { "ServerError" } else { "Other" }, text)
    }
}

impl LocalAzure {
    /// Sets a template up, beside the requests that go on.
    pub(crate) fn provision(&self, key: &str) {
        let (azure, key) = (self.shared(), key.to_owned());
        std::thread::spawn(move || {
            if let Err(error) = azure.provision_now(&key) {
                (azure.log)(&format!("making {key} failed: {}", error.internal.unwrap_or(error.message)));
            }
        });
    }

    fn provision_now(&self, key: &str) -> Result<(), ArmError> {
        let Some(kept) = self.store.read(|connection| Kept::find(connection, key))? else { return Ok(()) };
        let outcome = self.set_up(&kept);
        let starts = outcome.is_ok() && kept.row.body["properties"]["autoRun"]["state"] == "Enabled";
        self.store.write(|transaction| {
            status::set_provisioned(transaction, key, outcome.as_ref().copied())?;
            let error = outcome
                .as_ref()
                .err()
                .map(|refusal| ArmError::new(StatusCode::BAD_REQUEST, refusal.code, refusal.message.clone()));
            if let Some(operation) = &kept.operation {
                let state = if error.is_none() { "Succeeded" } else { "Failed" };
                Operation::end(transaction, operation, state, error.as_ref())?;
            }
            set_operation(transaction, key, None)
        })?;
        if starts {
            let (operation, new) = self.begin_run(key, &kept.location(), None)?;
            if new {
                self.start_run(key, &operation);
            }
        }
        Ok(())
    }

    /// What the service does between `Creating` and `Succeeded`.
    fn set_up(&self, kept: &Kept) -> Result<(), Refusal> {
        let template = kept.template()?;
        let state = State::of(self, &template)?;
        state.require(&template, Moment::Submission)?;
        sources::require(self, &template)?;
        staging::make(self, kept, &template)
    }
}
