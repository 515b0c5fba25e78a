//! Requests about image templates: what is refused at once, and what is begun.

use document::SourceText;
use http::StatusCode;
use image_template::{ApiVersion, ImageTemplate};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::status::{self, RunState};
use super::{IMAGE_TEMPLATE, NAMESPACE};
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::lro::Operation;
use crate::path::Address;
use crate::store::Row;
use crate::transport::Response;
use crate::{generic, providers};

/// What only the service says; clients send it back when they change something else.
const READ_ONLY: [&str; 4] =
    ["provisioningState", "provisioningError", "lastRunStatus", "exactStagingResourceGroup"];

/// What is kept about a template beside its resource.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub row: Row,
    pub api_version: ApiVersion,
    /// The operation under way.
    pub operation: Option<String>,
}

impl Kept {
    pub fn find(connection: &Connection, key: &str) -> Result<Option<Self>, ArmError> {
        let Some(row) = Row::find(connection, key)? else { return Ok(None) };
        let sql = "SELECT api_version, operation FROM image_templates WHERE key = ?1";
        let kept: Option<(String, Option<String>)> = connection
            .prepare_cached(sql)?
            .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (api_version, operation) = kept.unwrap_or_default();
        let api_version = ApiVersion::parse(&api_version).unwrap_or_default();
        Ok(Some(Self { row, api_version, operation }))
    }

    /// The template as the engine reads it.
    pub fn template(&self) -> Result<ImageTemplate, ArmError> {
        parse(&self.row.body, self.api_version)
    }

    /// `properties.location`, as a slug.
    pub fn location(&self) -> String {
        image_template::region_slug(self.row.body["location"].as_str().unwrap_or_default())
    }
}

/// Names the operation that a template waits for.
pub(crate) fn set_operation(
    connection: &Connection,
    key: &str,
    operation: Option<&str>,
) -> Result<(), ArmError> {
    let sql = "UPDATE image_templates SET operation = ?2 WHERE key = ?1";
    connection.prepare_cached(sql)?.execute(params![key, operation])?;
    Ok(())
}

/// Reads a body as strictly as its version asks for.
fn parse(body: &Value, api_version: ApiVersion) -> Result<ImageTemplate, ArmError> {
    let mut document = Map::new();
    document.insert("type".to_owned(), IMAGE_TEMPLATE.into());
    document.insert("apiVersion".to_owned(), api_version.as_str().into());
    for (name, value) in body.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "id" | "type" | "systemData" | "etag") {
            document.insert(name.clone(), value.clone());
        }
    }
    if let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
        if let Some(source) = properties.get_mut("source").and_then(Value::as_object_mut) {
            source.shift_remove("exactVersion");
        }
    }
    if let Some(identities) =
        document.get_mut("identity").and_then(|identity| identity["userAssignedIdentities"].as_object_mut())
    {
        identities.values_mut().for_each(|value| *value = json!({}));
    }
    let parsed = image_template::parse(&SourceText::new("request", Value::Object(document).to_string()));
    let told = |found: &document::Diagnostic| {
        let path = if found.path.is_empty() { String::new() } else { format!("{}: ", found.path) };
        format!("{path}{}", found.message)
    };
    let errors: Vec<_> = parsed.diagnostics.iter().filter(|found| found.is_error()).map(told).collect();
    match parsed.template {
        Some(template) if errors.is_empty() => Ok(template),
        _ => Err(ArmError::bad("ValidationFailed", format!("Validation failed: {}", errors.join("; ")))),
    }
}

/// The version that a request speaks, which decides how strictly it is read.
fn api_version(call: &Call<'_>) -> Result<ApiVersion, ArmError> {
    let given = call.api_version();
    ApiVersion::parse(&given).ok_or_else(|| {
        let all: Vec<_> = ApiVersion::ALL.iter().rev().map(|version| version.as_str()).collect();
        let message = format!(
            "No registered resource provider found for API version '{given}' for type 'imageTemplates'. The supported \
             api-versions are '{}'.",
            all.join(", ")
        );
        ArmError::bad("NoRegisteredProviderFound", message)
    })
}

fn address(call: &Call<'_>) -> Result<Address, ArmError> {
    call.path.address().ok_or_else(|| ArmError::internal("no address"))
}

/// Makes a template. One that is there cannot be replaced, as the service has it.
pub(crate) fn put(call: &mut Call<'_>) -> Answer {
    let api_version = api_version(call)?;
    let body = call.object()?;
    if api_version.is_strict() && !body["apiVersion"].is_null() {
        let message = "Validation failed: apiVersion: the field is not one of an image template";
        return Err(ArmError::bad("ValidationFailed", message));
    }
    let address = address(call)?;
    let template = parse(&body, api_version)?;
    check(call, &address, &template)?;
    let key = address.id().to_ascii_lowercase();
    let location = image_template::region_slug(template.location.as_str());
    let replay = call.request.header("x-ms-client-request-id").map(str::to_owned);
    let (row, operation, new) = call.azure.store.write(|transaction| {
        if let Some(row) = Row::find(transaction, &key)? {
            if let Some(operation) = Operation::replayed(transaction, &key, &location, replay.as_deref())? {
                return Ok((row, operation, false));
            }
            let message = "Update/Upgrade of image templates is currently not supported. Please change the name of the \
                           template you are submitting.";
            return Err(ArmError::conflict("Conflict", message));
        }
        providers::require_registered(transaction, &call.azure.subscription(), NAMESPACE)?;
        let body = accepted(call, transaction, &address, &body)?;
        let (row, _) = Row::put(transaction, &body)?;
        let operation = Operation::start(transaction, &key, &location, replay.as_deref())?;
        let sql = "INSERT INTO image_templates (key, api_version, caller, operation) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (key) DO UPDATE SET api_version = ?2, caller = ?3, operation = ?4";
        let caller = &call.caller()?.object;
        transaction.execute(sql, params![key, api_version.as_str(), caller, operation.id])?;
        Ok((row, operation, true))
    })?;
    if new {
        call.azure.provision(&key);
    }
    let response = Response::json(StatusCode::CREATED, &row.body);
    Ok(operation.told(&call.request, call.azure, NAMESPACE, response))
}

/// What is refused before anything is begun: the region, the identity, and who may use it.
fn check(call: &Call<'_>, address: &Address, template: &ImageTemplate) -> Result<(), ArmError> {
    let location = template.location.as_str();
    if !image_template::is_listed_region(location) {
        let message = format!(
            "The provided location '{location}' is not available for resource type '{IMAGE_TEMPLATE}'."
        );
        return Err(ArmError::bad("LocationNotAvailableForResourceType", message));
    }
    super::sources::check(template, &call.request.origin)?;
    let Some(identity) = &template.identity else {
        let message = "Validation failed: identity: a user-assigned identity is required";
        return Err(ArmError::bad("ValidationFailed", message));
    };
    let identity = identity.user_assigned.as_str();
    let own = (format!("{IMAGE_TEMPLATE}/write"), address.id());
    let linked = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
    call.azure.require_linked(call.caller()?, (&own.0, &own.1), (linked, identity))?;
    super::needs::principal(call.azure, identity).map(|_| ()).map_err(|_| {
        ArmError::bad(
            "FailedIdentityOperation",
            format!("Identity operation failed: the resource '{identity}' was not found."),
        )
    })
}

/// The resource as it is kept from now on.
fn accepted(
    call: &Call<'_>,
    connection: &Connection,
    address: &Address,
    body: &Value,
) -> Result<Value, ArmError> {
    generic::check_place(connection, address)?;
    let mut new = generic::named(address, IMAGE_TEMPLATE, None, body.clone());
    if let Some(object) = new.as_object_mut() {
        object.shift_remove("apiVersion");
        object.shift_remove("systemData");
    }
    show_identity(call, &mut new);
    if let Some(properties) = new["properties"].as_object_mut() {
        properties.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    }
    new["properties"]["provisioningState"] = "Creating".into();
    Ok(new)
}

/// Fills in what the service tells about the identity.
fn show_identity(call: &Call<'_>, body: &mut Value) {
    let ids: Vec<String> = body["identity"]["userAssignedIdentities"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(id, _)| id.clone())
        .collect();
    for id in ids {
        let found = call.azure.store.read(|connection| Row::find(connection, &id.to_ascii_lowercase()));
        if let Ok(Some(row)) = found {
            let properties = &row.body["properties"];
            body["identity"]["userAssignedIdentities"][&id] =
                json!({ "principalId": properties["principalId"], "clientId": properties["clientId"] });
        }
    }
}

fn found(call: &Call<'_>) -> Result<(Address, Kept), ArmError> {
    let address = address(call)?;
    let item = Address { rest: None, ..address };
    let kept = call.azure.store.read(|connection| {
        let row = generic::find(connection, &item)?;
        Kept::find(connection, &row.key)
    })?;
    kept.map(|kept| (item, kept)).ok_or_else(|| ArmError::internal("a template without a row"))
}

/// Changes tags, identity, targets, or the build VM, as far as the service lets them be changed.
pub(crate) fn patch(call: &mut Call<'_>) -> Answer {
    let version = api_version(call)?;
    let given = call.object()?;
    let (_, kept) = found(call)?;
    status::require_idle(&kept.row.body, "patch")?;
    let mut body = kept.row.body.clone();
    for (name, value) in given.as_object().into_iter().flatten() {
        match name.as_str() {
            "tags" => body["tags"] = value.clone(),
            "identity" => patch_identity(&mut body, value)?,
            "properties" => patch_properties(&mut body, value, version)?,
            _ => {
                let message = format!("Validation failed: {name}: this field cannot be changed");
                return Err(ArmError::bad("ValidationFailed", message));
            }
        }
    }
    parse(&body, kept.api_version.max(version))?;
    show_identity(call, &mut body);
    let location = kept.location();
    let (row, operation) = call.azure.store.write(|transaction| {
        let (row, _) = Row::put(transaction, &body)?;
        let operation = Operation::start(transaction, &row.key, &location, None)?;
        Operation::end(transaction, &operation.id, "Succeeded", None)?;
        Ok((row, operation))
    })?;
    let response = Response::json(StatusCode::OK, &row.body);
    Ok(operation.told(&call.request, call.azure, NAMESPACE, response))
}

/// A key that is `null` takes an identity away; there is one, in the end.
fn patch_identity(body: &mut Value, given: &Value) -> Result<(), ArmError> {
    let mut all = body["identity"]["userAssignedIdentities"].as_object().cloned().unwrap_or_default();
    for (id, value) in given["userAssignedIdentities"].as_object().into_iter().flatten() {
        let old = all.keys().find(|own| own.eq_ignore_ascii_case(id)).cloned();
        if let Some(old) = old {
            all.shift_remove(&old);
        }
        if !value.is_null() {
            all.insert(id.clone(), json!({}));
        }
    }
    if given["type"] == "None" || all.len() != 1 {
        let message = "Validation failed: identity: exactly one user-assigned identity is supported";
        return Err(ArmError::bad("ValidationFailed", message));
    }
    body["identity"] = json!({ "type": "UserAssigned", "userAssignedIdentities": all });
    Ok(())
}

/// `distribute` has to list every target that is there; `vmProfile` can be changed from 2024-02-01 on.
fn patch_properties(body: &mut Value, given: &Value, version: ApiVersion) -> Result<(), ArmError> {
    let refused =
        |message: String| Err(ArmError::bad("ValidationFailed", format!("Validation failed: {message}")));
    for (name, value) in given.as_object().into_iter().flatten() {
        let since = match name.as_str() {
            "distribute" => ApiVersion::V2023_07_01,
            "vmProfile" => ApiVersion::V2024_02_01,
            _ => return refused(format!("properties.{name}: this field cannot be changed")),
        };
        if version < since {
            return refused(format!("properties.{name}: this field can be changed from {since} on"));
        }
        let names = |value: &Value| -> Vec<String> {
            let targets = value.as_array().into_iter().flatten();
            targets.filter_map(|target| target["runOutputName"].as_str().map(str::to_owned)).collect()
        };
        if name == "distribute" {
            let new = names(value);
            if let Some(gone) =
                names(&body["properties"]["distribute"]).into_iter().find(|old| !new.contains(old))
            {
                return refused(format!(
                    "properties.distribute: the target '{gone}' is missing, and none can be removed"
                ));
            }
        }
        body["properties"][name] = value.clone();
    }
    Ok(())
}

/// Begins a run.
pub(crate) fn run(call: &mut Call<'_>) -> Answer {
    let (_, kept) = found(call)?;
    let replay = call.request.header("x-ms-client-request-id").map(str::to_owned);
    let (operation, new) = call.azure.begin_run(&kept.row.key, &kept.location(), replay.as_deref())?;
    if new {
        call.azure.start_run(&kept.row.key, &operation);
    }
    Ok(operation.told(&call.request, call.azure, NAMESPACE, Response::empty(StatusCode::ACCEPTED)))
}

/// Asks a run to stop.
pub(crate) fn cancel(call: &mut Call<'_>) -> Answer {
    let (_, kept) = found(call)?;
    let key = &kept.row.key;
    let location = kept.location();
    let operation = call.azure.store.write(|transaction| {
        let Some(kept) = Kept::find(transaction, key)? else {
            return Err(ArmError::internal("a template vanished"));
        };
        if status::run_state(&kept.row.body) != Some(RunState::Running) {
            return Err(status::not_allowed("cancel", &kept.row.body));
        }
        status::set_run(transaction, key, RunState::Canceling, None, None)?;
        let operation = Operation::start(transaction, key, &location, None)?;
        Operation::end(transaction, &operation.id, "Succeeded", None)?;
        Ok(operation)
    })?;
    call.azure.runs.cancel(key);
    Ok(operation.told(&call.request, call.azure, NAMESPACE, Response::empty(StatusCode::ACCEPTED)))
}

/// Deletes a template and its staging resource group.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let key = address(call)?.id().to_ascii_lowercase();
    let Some(kept) = call.azure.store.read(|connection| Kept::find(connection, &key))? else {
        return Ok(Response::empty(StatusCode::NO_CONTENT));
    };
    let location = kept.location();
    let operation = call.azure.store.write(|transaction| {
        let Some(kept) = Kept::find(transaction, &key)? else {
            return Err(ArmError::internal("a template vanished"));
        };
        status::require_idle(&kept.row.body, "delete")?;
        let operation = Operation::start(transaction, &key, &location, None)?;
        super::staging::remove(call.azure, transaction, &kept.row)?;
        generic::remove(call.azure, transaction, &kept.row)?;
        transaction.execute("DELETE FROM image_templates WHERE key = ?1", [&key])?;
        Operation::end(transaction, &operation.id, "Succeeded", None)?;
        Ok(operation)
    })?;
    Ok(operation.told(&call.request, call.azure, NAMESPACE, Response::empty(StatusCode::ACCEPTED)))
}
