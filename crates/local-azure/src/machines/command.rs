//! Azure's run command: a script as root, and the end of what it prints.

use build_engine::boot::{Machine, Output};
use http::StatusCode;
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::LocalAzure;
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::generic;
use crate::lro::Operation;
use crate::path::Address;
use crate::transport::Response;

/// Bytes of each stream that are told: the last ones.
const TOLD: usize = 4096;

/// A script for a machine.
#[derive(Debug)]
pub(crate) struct Order {
    operation: String,
    script: String,
}

/// Takes a script for a machine that runs.
pub(crate) fn run_command(call: &mut Call<'_>) -> Answer {
    let address = call.path.address().ok_or_else(|| ArmError::internal("no address"))?;
    let body = call.object()?;
    let script = script(&body)?;
    let machine = Address { rest: None, ..address };
    let row = call.azure.store.read(|connection| generic::find(connection, &machine))?;
    let location = image_template::region_slug(row.body["location"].as_str().unwrap_or_default());
    let booted = row.body["properties"]["provisioningState"] == "Succeeded";
    if !(booted && call.azure.machines.runs(&row.key)) {
        let message = "The operation requires the VM to be running (or set to run).";
        return Err(ArmError::conflict("OperationNotAllowed", message));
    }
    let operation =
        call.azure.store.write(|transaction| Operation::start(transaction, &row.key, &location, None))?;
    if !call.azure.machines.order(&row.key, Order { operation: operation.id.clone(), script }) {
        let error = ArmError::conflict("OperationNotAllowed", "The machine has ended.");
        call.azure
            .store
            .write(|transaction| Operation::end(transaction, &operation.id, "Failed", Some(&error)))?;
    }
    Ok(operation.told(&call.request, call.azure, NAMESPACE, Response::empty(StatusCode::ACCEPTED)))
}

fn script(body: &Value) -> Result<String, ArmError> {
    let command = body["commandId"].as_str().unwrap_or_default();
    if !command.eq_ignore_ascii_case("RunShellScript") {
        let message = format!("The entity was not found in this Azure location: the command '{command}'.");
        return Err(ArmError::not_found("NotFound", message));
    }
    if body["parameters"].as_array().is_some_and(|all| !all.is_empty()) {
        return Err(ArmError::not_implemented("parameters of a run command"));
    }
    let lines: Option<Vec<_>> = body["script"].as_array().into_iter().flatten().map(Value::as_str).collect();
    lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")).ok_or_else(|| {
        ArmError::bad("InvalidParameter", "Required parameter 'script' is missing: a list of lines.")
    })
}

/// Runs a script in a machine and writes down what it printed, whether or not it succeeded, as Azure does.
pub(super) fn carry_out(azure: &LocalAzure, machine: &Machine, order: &Order) -> Result<(), ArmError> {
    let quoted = order.script.replace('\'', "'\\''");
    let ran = machine.ssh(&format!("sudo -n /bin/sh -c '{quoted}'"));
    azure.store.write(|transaction| match &ran {
        Ok(output) => Operation::succeed(transaction, &order.operation, &told(output)),
        Err(error) => {
            let error = ArmError::conflict("VMExtensionProvisioningError", error.to_string());
            Operation::end(transaction, &order.operation, "Failed", Some(&error))
        }
    })
}

fn told(output: &Output) -> Value {
    let (stdout, stderr) = (end(&output.stdout), end(&output.stderr));
    let message = format!("Enable succeeded: \n[stdout]\n{stdout}\n[stderr]\n{stderr}");
    json!({ "value": [{
        "code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded",
        "message": message,
    }] })
}

fn end(text: &str) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(TOLD));
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_at_its_beginning() {
        let long = format!("ä{}", "x".repeat(TOLD - 1));
        assert_eq!(end(&long).len(), TOLD - 1);
        assert_eq!(end("short"), "short");
    }

    #[test]
    fn only_a_shell_script_is_run() {
        let script = |body: Value| script(&body).map_err(|error| error.code);
        assert_eq!(
            script(json!({ "commandId": "RunShellScript", "script": ["a", "b"] })),
            Ok("a\nb".to_owned())
        );
        assert_eq!(
            script(json!({ "commandId": "RunPowerShellScript", "script": ["a"] })),
            Err("NotFound".to_owned())
        );
        assert_eq!(
            script(json!({ "commandId": "RunShellScript", "script": [] })),
            Err("InvalidParameter".to_owned())
        );
    }
}
