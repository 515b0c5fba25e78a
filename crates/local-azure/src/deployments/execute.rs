//! A deployment on its way: what is ready is made, and what that tells makes more ready.

use std::collections::HashSet;
use std::time::Duration;

use arm::{Plan, Planned, ResourceId};
use serde_json::{Value, json};

use super::request::{Given, json as to_json, unknown};
use super::{DEPLOYMENT, OPERATION, Place};
use crate::LocalAzure;
use crate::error::ArmError;
use crate::identity::Principal;
use crate::lro::Operation;
use crate::store::{ALL, Row};
use crate::transport::{Content, Request};

/// Members of a resource in a template that are no part of what is sent.
const NOT_SENT: [&str; 8] =
    ["apiVersion", "name", "type", "scope", "dependsOn", "comments", "resourceGroup", "subscriptionId"];

/// How long a resource may take to be ready.
const PATIENCE: Duration = Duration::from_mins(10);

struct Run<'a> {
    azure: &'a LocalAzure,
    given: &'a Given,
    place: &'a Place,
    caller: &'a Principal,
    origin: &'a str,
    done: HashSet<ResourceId>,
    failed: Vec<ArmError>,
}

impl LocalAzure {
    /// Deploys beside the requests that go on.
    pub(crate) fn deploy(
        &self,
        given: Given,
        place: Place,
        caller: Principal,
        origin: String,
        operation: String,
    ) {
        let azure = self.shared();
        std::thread::spawn(move || {
            let mut run = Run {
                azure: &azure,
                given: &given,
                place: &place,
                caller: &caller,
                origin: &origin,
                done: HashSet::new(),
                failed: Vec::new(),
            };
            let ended = run.all();
            if let Err(error) = run.end(&ended, &operation) {
                (azure.log)(&format!(
                    "deploying {} failed: {}",
                    place.id,
                    error.internal.unwrap_or(error.message)
                ));
            }
        });
    }

    /// Ends deployments that a process which is no more has left. What they made stays; deploying again goes on.
    pub(crate) fn recover_deployments(&self) -> Result<(), ArmError> {
        let left: Vec<Row> = self.store.read(|connection| {
            Ok(Row::of_type(connection, &DEPLOYMENT.to_ascii_lowercase(), &self.subscription(), None, ALL)?
                .rows)
        })?;
        for mut row in left {
            if !matches!(row.body["properties"]["provisioningState"].as_str(), Some("Accepted" | "Running")) {
                continue;
            }
            let message = "The local endpoint ended while this was deployed. Deploy it again.";
            let error = ArmError::conflict("DeploymentFailed", message);
            row.body["properties"]["provisioningState"] = "Failed".into();
            row.body["properties"]["error"] = error.to_json();
            self.store.write(|transaction| {
                Row::put(transaction, &row.body)?;
                Operation::end_left(transaction, &row.key, &error)
            })?;
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Makes everything, in the order that the template asks for; its outputs.
    fn all(&mut self) -> Result<Value, ArmError> {
        loop {
            let plan = self.given.plan(self.azure, self.place)?;
            let ready: Vec<&Planned> = plan
                .resources
                .iter()
                .filter(|one| !self.done.contains(&one.id) && self.is_ready(&plan, one))
                .collect();
            if ready.is_empty() {
                return self.outputs(&plan);
            }
            for one in ready {
                if let Err(error) = self.make(one) {
                    self.failed.push(error);
                }
                self.done.insert(one.id.clone());
            }
            if !self.failed.is_empty() {
                let message = "At least one resource deployment operation failed. Please list deployment operations for \
                               details. Please see https://aka.ms/arm-deployment-operations for usage details.";
                return Err(
                    ArmError::conflict("DeploymentFailed", message).because(std::mem::take(&mut self.failed))
                );
            }
        }
    }

    /// Whether all that a resource waits for is there, and all that it says is known.
    fn is_ready(&self, plan: &Plan, one: &Planned) -> bool {
        let around = one.within.iter().filter_map(|id| plan.deployments.iter().find(|own| own.id == *id));
        let mut waits = around.flat_map(|deployment| &deployment.after).chain(&one.after);
        one.doubt.is_none() && unknown(&one.value).is_none() && waits.all(|id| self.is_done(plan, id))
    }

    /// A deployment is done when all inside it is.
    fn is_done(&self, plan: &Plan, id: &ResourceId) -> bool {
        let inside = plan.resources.iter().filter(|one| one.within.contains(id));
        if plan.deployments.iter().any(|own| own.id == *id) {
            return inside.into_iter().all(|one| self.done.contains(&one.id));
        }
        self.done.contains(id)
    }

    /// Outputs, once everything is there; else why something is not.
    fn outputs(&self, plan: &Plan) -> Result<Value, ArmError> {
        if let Some(left) = plan.resources.iter().find(|one| !self.done.contains(&one.id)) {
            let because = left.doubt.clone().or_else(|| unknown(&left.value));
            let because = because.unwrap_or_else(|| "what it waits for cannot be made".to_owned());
            let message = format!("The resource '{}' cannot be made: {because}.", left.id);
            return Err(ArmError::bad("InvalidTemplate", message));
        }
        for deployment in &plan.deployments {
            let outputs = deployment.value.get("properties").and_then(|properties| properties.get("outputs"));
            let outputs =
                outputs.filter(|outputs| unknown(outputs).is_none()).map_or_else(|| json!({}), to_json);
            let body = json!({
                "id": deployment.id.as_str(), "name": deployment.id.name(), "type": DEPLOYMENT,
                "properties": {
                    "mode": "Incremental", "provisioningState": "Succeeded", "outputs": shown(outputs),
                    "timestamp": jiff::Timestamp::now().to_string(),
                },
            });
            self.azure.store.write(|transaction| Row::put(transaction, &body))?;
        }
        let Some(outputs) = &plan.outputs else { return Ok(json!({})) };
        if let Some(because) = unknown(outputs) {
            let message = format!("Unable to evaluate template outputs: {because}.");
            return Err(ArmError::bad("DeploymentOutputEvaluationFailed", message));
        }
        Ok(shown(to_json(outputs)))
    }

    /// Makes one resource as a client would, and waits until it is ready.
    fn make(&self, one: &Planned) -> Result<(), ArmError> {
        let started = std::time::Instant::now();
        let outcome = self.send(one).and_then(|()| self.wait(&one.id));
        let (state, status) = match &outcome {
            Ok(()) => ("Succeeded", "Created".to_owned()),
            Err(error) => ("Failed", error.status.canonical_reason().unwrap_or_default().replace(' ', "")),
        };
        let operation = uuid::Uuid::new_v4().simple().to_string();
        let mut body = json!({
            "id": format!("{}/operations/{operation}", self.place.id), "operationId": operation, "type": OPERATION,
            "properties": {
                "provisioningOperation": "Create", "provisioningState": state, "statusCode": status,
                "timestamp": jiff::Timestamp::now().to_string(), "duration": format!("PT{:.3}S", started.elapsed().as_secs_f64()),
                "targetResource": {
                    "id": one.id.as_str(), "resourceType": one.id.resource_type(), "resourceName": one.id.name(),
                },
            },
        });
        if let Err(error) = &outcome {
            body["properties"]["statusMessage"] = json!({ "error": error.to_json() });
        }
        self.azure.store.write(|transaction| Row::put(transaction, &body))?;
        outcome
    }

    fn send(&self, one: &Planned) -> Result<(), ArmError> {
        let version = one.value.get("apiVersion").and_then(document::Value::as_str).unwrap_or_default();
        let mut body = to_json(&one.value);
        if let Some(body) = body.as_object_mut() {
            body.retain(|name, _| !NOT_SENT.iter().any(|own| own.eq_ignore_ascii_case(name)));
        }
        let request = Request::put(one.id.as_str(), version, &body, self.origin);
        let response = self.azure.perform(request, self.caller.clone())?;
        if response.status.is_success() {
            return Ok(());
        }
        let Content::Bytes(bytes) = &response.body else {
            return Err(ArmError::internal("an error as a file"));
        };
        let error: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |field: &str| error["error"][field].as_str().unwrap_or_default().to_owned();
        Err(ArmError::new(response.status, &text("code"), text("message")))
    }

    /// Waits while a resource is being made.
    fn wait(&self, id: &ResourceId) -> Result<(), ArmError> {
        let key = id.as_str().to_ascii_lowercase();
        let started = std::time::Instant::now();
        loop {
            let row = self.azure.store.read(|connection| Row::find(connection, &key))?;
            let Some(row) = row else { return Ok(()) };
            let properties = &row.body["properties"];
            match properties["provisioningState"].as_str() {
                Some("Creating" | "Updating") if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Some("Failed") => {
                    let error = &properties["provisioningError"];
                    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
                    return Err(ArmError::conflict(&text("provisioningErrorCode"), text("message")));
                }
                _ => return Ok(()),
            }
        }
    }

    /// Writes down how it ended.
    fn end(&self, ended: &Result<Value, ArmError>, operation: &str) -> Result<(), ArmError> {
        self.azure.store.write(|transaction| {
            let Some(mut row) = Row::find(transaction, &self.place.id.to_ascii_lowercase())? else {
                return Ok(());
            };
            let properties = &mut row.body["properties"];
            properties["timestamp"] = jiff::Timestamp::now().to_string().into();
            properties["outputResources"] = self.done.iter().map(|id| json!({ "id": id.as_str() })).collect();
            match ended {
                Ok(outputs) => {
                    properties["provisioningState"] = "Succeeded".into();
                    properties["outputs"] = outputs.clone();
                }
                Err(error) => {
                    properties["provisioningState"] = "Failed".into();
                    properties["error"] = error.to_json();
                }
            }
            Row::put(transaction, &row.body)?;
            let state = if ended.is_ok() { "Succeeded" } else { "Failed" };
            Operation::end(transaction, operation, state, ended.as_ref().err())
        })
    }
}

/// Outputs as a deployment shows them: values of those that are secret stay out.
fn shown(mut outputs: Value) -> Value {
    for output in outputs.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        let secret =
            output["type"].as_str().is_some_and(|kind| kind.to_ascii_lowercase().starts_with("secure"));
        if let (true, Some(output)) = (secret, output.as_object_mut()) {
            output.shift_remove("value");
        }
    }
    outputs
}
