//! `lastRunStatus` and `provisioningState`, and what they allow (azure-image-builder.md 2.2, 2.3).

use rusqlite::Connection;
use serde_json::{Value, json};

use super::provision::Refusal;
use crate::error::ArmError;
use crate::store::Row;

/// The service's word for where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    Running,
    Canceling,
    Succeeded,
    PartiallySucceeded,
    Failed,
    Canceled,
}

impl RunState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Canceling => "Canceling",
            Self::Succeeded => "Succeeded",
            Self::PartiallySucceeded => "PartiallySucceeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }

    const ALL: [Self; 6] = [
        Self::Running,
        Self::Canceling,
        Self::Succeeded,
        Self::PartiallySucceeded,
        Self::Failed,
        Self::Canceled,
    ];

    pub fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Canceling)
    }
}

/// The state of a template's last run, if there was one.
pub(crate) fn run_state(body: &Value) -> Option<RunState> {
    let name = body["properties"]["lastRunStatus"]["runState"].as_str()?;
    RunState::ALL.into_iter().find(|state| state.name() == name)
}

/// The refusal of an operation that does not fit what goes on.
pub(crate) fn not_allowed(operation: &str, body: &Value) -> ArmError {
    let provisioning = body["properties"]["provisioningState"].as_str().unwrap_or_default();
    let run = run_state(body).map_or("", RunState::name);
    ArmError::conflict(
        "OperationNotAllowed",
        format!(
            "Operation '{operation}' is not allowed in provisioningState: '{provisioning}', runState: '{run}'"
        ),
    )
}

/// Refuses while a template is being made, or a run goes on.
pub(crate) fn require_idle(body: &Value, operation: &str) -> Result<(), ArmError> {
    let provisioning = body["properties"]["provisioningState"].as_str().unwrap_or_default();
    let busy = matches!(provisioning, "Creating" | "Updating" | "Deleting");
    if busy || run_state(body).is_some_and(|state| !state.is_over()) {
        return Err(not_allowed(operation, body));
    }
    Ok(())
}

/// Writes down where a run is. A run that was asked to stop stays `Canceling` until it has ended.
pub(crate) fn set_run(
    connection: &Connection,
    key: &str,
    state: RunState,
    sub_state: Option<&str>,
    message: Option<&str>,
) -> Result<(), ArmError> {
    let Some(mut row) = Row::find(connection, key)? else { return Ok(()) };
    let now = jiff::Timestamp::now().to_string();
    let before = run_state(&row.body);
    let status = &mut row.body["properties"]["lastRunStatus"];
    let starts = state == RunState::Running && before.is_none_or(RunState::is_over);
    if starts {
        *status = json!({ "startTime": now });
    } else if before == Some(RunState::Canceling) && state == RunState::Running {
        return Ok(());
    }
    status["runState"] = state.name().into();
    if let Some(sub_state) = sub_state {
        status["runSubState"] = sub_state.into();
    }
    if state.is_over() {
        status["endTime"] = now.into();
        if let Some(status) = status.as_object_mut() {
            status.shift_remove("runSubState");
        }
    }
    if let Some(message) = message {
        status["message"] = message.into();
    }
    Row::put(connection, &row.body)?;
    Ok(())
}

/// Writes down how the making of a template ended.
pub(crate) fn set_provisioned(
    connection: &Connection,
    key: &str,
    outcome: Result<(), &Refusal>,
) -> Result<(), ArmError> {
    let Some(mut row) = Row::find(connection, key)? else { return Ok(()) };
    let properties = &mut row.body["properties"];
    match outcome {
        Ok(()) => properties["provisioningState"] = "Succeeded".into(),
        Err(Refusal { code, message }) => {
            properties["provisioningState"] = "Failed".into();
            properties["provisioningError"] = json!({ "provisioningErrorCode": code, "message": message });
        }
    }
    Row::put(connection, &row.body)?;
    Ok(())
}
