//! Deployments: templates that `arm` evaluates against the endpoint's state, and whose resources are made by the same
//! operations that clients call, as the one who deploys.

mod execute;
mod request;
mod what_if;

use http::StatusCode;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::lro::Operation;
use crate::store::{Page, Row};
use crate::transport::Response;
use crate::{generic, groups};

pub(crate) use request::{json, unknown};
pub(crate) use what_if::what_if;

/// The type of deployments.
pub(crate) const DEPLOYMENT: &str = "Microsoft.Resources/deployments";
/// The type of what a deployment did with each resource.
const OPERATION: &str = "Microsoft.Resources/deployments/operations";
const NAMESPACE: &str = "Microsoft.Resources";

/// Where a request deploys to, and as what.
pub(crate) struct Place {
    /// The id of the deployment.
    pub id: String,
    pub name: String,
    pub resource_group: Option<String>,
    /// Of the group, or given with a deployment of the subscription.
    pub location: Option<String>,
}

/// The place of a request's deployment; `behind` is how many segments follow its name.
fn place(call: &Call<'_>, body_location: Option<&str>, behind: usize) -> Result<Place, ArmError> {
    let id = call.path.without(behind);
    let name = id.rsplit('/').next().unwrap_or_default().to_owned();
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')');
    if name.is_empty() || name.chars().count() > 64 || !name.chars().all(fits) {
        let message = format!(
            "The deployment name '{name}' is not valid: 1 to 64 letters, digits, '-', '_', '.', '(' and ')'."
        );
        return Err(ArmError::bad("InvalidDeploymentName", message));
    }
    let segments = call.path.segments();
    let group =
        segments.get(2).filter(|word| word.eq_ignore_ascii_case("resourceGroups")).and(segments.get(3));
    let Some(group) = group else {
        if segments.get(2).is_none_or(|word| !word.eq_ignore_ascii_case("providers")) {
            return Err(ArmError::not_implemented("deployment at this scope"));
        }
        let Some(location) = body_location.filter(|location| !location.is_empty()) else {
            let message = "The 'location' property must be specified for a deployment of a subscription.";
            return Err(ArmError::bad("LocationRequired", message));
        };
        return Ok(Place { id, name, resource_group: None, location: Some(location.to_owned()) });
    };
    let key = format!("{}/resourceGroups/{group}", call.azure.subscription()).to_ascii_lowercase();
    let row = call.azure.store.read(|connection| Row::find(connection, &key))?;
    let row = row.ok_or_else(|| ArmError::no_group(group))?;
    let spelled = row.body["name"].as_str().unwrap_or(group).to_owned();
    debug_assert_eq!(row.body["type"], groups::GROUP);
    let location = row.body["location"].as_str().map(str::to_owned);
    Ok(Place { id, name, resource_group: Some(spelled), location })
}

/// Begins a deployment.
pub(crate) fn put(call: &mut Call<'_>) -> Answer {
    let given = request::read(call)?;
    let place = place(call, given.location.as_deref(), 0)?;
    let caller = call.caller()?.clone();
    let plan = given.plan(call.azure, &place)?;
    request::check(call.azure, &caller, &plan)?;
    let key = place.id.to_ascii_lowercase();
    let location = place.location.clone().unwrap_or_default();
    let body = json!({
        "id": place.id, "name": place.name, "type": DEPLOYMENT, "location": given.location,
        "properties": {
            "mode": "Incremental", "provisioningState": "Accepted", "timestamp": jiff::Timestamp::now().to_string(),
            "correlationId": uuid::Uuid::new_v4().to_string(), "parameters": given.shown_parameters(),
            "providers": [], "dependencies": [],
        },
    });
    let replay = call.request.header("x-ms-client-request-id").map(str::to_owned);
    let (row, operation, new) = call.azure.store.write(|transaction| {
        if let Some(old) = Row::find(transaction, &key)? {
            let busy =
                matches!(old.body["properties"]["provisioningState"].as_str(), Some("Accepted" | "Running"));
            if busy {
                if let Some(operation) = Operation::replayed(transaction, &key, &location, replay.as_deref())?
                {
                    return Ok((old, operation, false));
                }
                let message = format!(
                    "The deployment '{}' is under way. Wait for it to end, or use another name.",
                    place.name
                );
                return Err(ArmError::conflict("DeploymentActive", message));
            }
            Row::remove(transaction, &key)?;
        }
        let (row, _) = Row::put(transaction, &body)?;
        let operation = Operation::start(transaction, &key, &location, replay.as_deref())?;
        Ok((row, operation, true))
    })?;
    let response = Response::json(StatusCode::CREATED, &row.body);
    let response = operation.told(&call.request, call.azure, NAMESPACE, response);
    if new {
        let origin = call.request.origin.clone();
        call.azure.deploy(given, place, caller, origin, operation.id);
    }
    Ok(response)
}

/// Checks a deployment without making anything.
pub(crate) fn validate(call: &mut Call<'_>) -> Answer {
    let given = request::read(call)?;
    let place = place(call, given.location.as_deref(), 1)?;
    let plan = given.plan(call.azure, &place)?;
    request::check(call.azure, call.caller()?, &plan)?;
    let resources: Vec<Value> =
        plan.resources.iter().map(|resource| json!({ "id": resource.id.as_str() })).collect();
    let body = json!({
        "id": place.id, "name": place.name, "type": DEPLOYMENT,
        "properties": {
            "mode": "Incremental", "provisioningState": "Succeeded", "parameters": given.shown_parameters(),
            "timestamp": jiff::Timestamp::now().to_string(), "validatedResources": resources,
        },
    });
    Ok(Response::json(StatusCode::OK, &body))
}

pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    let row = found(call, 0)?;
    Ok(Response::json(StatusCode::OK, &row.body))
}

pub(crate) fn head(call: &mut Call<'_>) -> Answer {
    found(call, 0).map(|_| Response::empty(StatusCode::NO_CONTENT))
}

fn found(call: &Call<'_>, behind: usize) -> Result<Row, ArmError> {
    let id = call
        .path
        .without(behind)
        .to_ascii_lowercase()
        .replace("/deployments/", "/providers/microsoft.resources/deployments/");
    // One of both paths has the provider already.
    let id = id.replace(
        "/providers/microsoft.resources/providers/microsoft.resources/",
        "/providers/microsoft.resources/",
    );
    let row = call.azure.store.read(|connection| Row::find(connection, &id))?;
    row.ok_or_else(|| {
        let name = id.rsplit('/').next().unwrap_or_default();
        ArmError::not_found("DeploymentNotFound", format!("Deployment '{name}' could not be found."))
    })
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let Ok(row) = found(call, 0) else { return Ok(Response::empty(StatusCode::NO_CONTENT)) };
    if matches!(row.body["properties"]["provisioningState"].as_str(), Some("Accepted" | "Running")) {
        return Err(ArmError::conflict(
            "DeploymentActive",
            "A deployment that is under way cannot be deleted.",
        ));
    }
    call.azure.store.write(|transaction| generic::remove(call.azure, transaction, &row))?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// What a deployment did with each resource.
pub(crate) fn operations(call: &mut Call<'_>) -> Answer {
    let row = found(call, 1)?;
    let after = call.after();
    let Page { rows, after } = call.azure.store.read(|connection| {
        Row::of_type(connection, &OPERATION.to_ascii_lowercase(), &row.key, after.as_deref(), generic::PAGE)
    })?;
    let values: Vec<Value> = rows.into_iter().map(|row| row.body).collect();
    Ok(call.list(&values, after.as_deref()))
}
