//! Role definitions and assignments: what clients write is what `access` reads.

use access::{Role, Told, builtin_roles};
use http::StatusCode;
use rusqlite::Connection;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::identity::Principal;
use crate::store::{ALL, Row, Write};
use crate::transport::Response;

const DEFINITION: &str = "Microsoft.Authorization/roleDefinitions";
const ASSIGNMENT: &str = "Microsoft.Authorization/roleAssignments";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

/// The assignment that makes the first principal the owner of a subscription.
pub(crate) fn owner(subscription: &str, object: &str) -> Value {
    let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, object.as_bytes());
    json!({
        "id": format!("{subscription}/providers/{ASSIGNMENT}/{name}"), "name": name.to_string(), "type": ASSIGNMENT,
        "properties": {
            "roleDefinitionId": format!("{subscription}/providers/{DEFINITION}/{OWNER}"), "principalId": object,
            "principalType": "ServicePrincipal", "scope": subscription,
        },
    })
}

/// The assignment that lets a template's identity work in the staging group that the service made for it.
pub(crate) fn contributor(subscription: &str, scope: &str, object: &str) -> Value {
    let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{scope} {object}").as_bytes());
    let role = format!("{subscription}/providers/{DEFINITION}/{CONTRIBUTOR}");
    let given = json!({ "properties": { "roleDefinitionId": role, "principalId": object } });
    assignment(scope, &name.to_string(), &given)
}

/// A built-in role as the interface shows it.
fn built_in(subscription: &str, role: &Role) -> Value {
    let permissions: Vec<Value> = match &role.permissions {
        Told::Known(permissions) => permissions.iter().map(permission).collect(),
        Told::Unknown(_) => Vec::new(),
    };
    json!({
        "id": format!("{subscription}/providers/{DEFINITION}/{}", role.id), "name": role.id, "type": DEFINITION,
        "properties": {
            "roleName": role.name, "type": "BuiltInRole", "description": "", "assignableScopes": ["/"],
            "permissions": permissions,
        },
    })
}

fn permission(permission: &access::Permission) -> Value {
    let names = |patterns: &[access::Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "actions": names(&permission.actions), "notActions": names(&permission.not_actions),
        "dataActions": names(&permission.data_actions), "notDataActions": names(&permission.not_data_actions),
    })
}

/// Custom roles are kept at the subscription, wherever a client writes them.
fn definition_id(call: &Call<'_>) -> String {
    format!("{}/providers/{DEFINITION}/{}", call.azure.subscription(), call.variable("name"))
}

/// The value of `field eq '...'` in `$filter`.
fn filtered(call: &Call<'_>, field: &str) -> Option<String> {
    let filter = call.request.parameter("$filter")?;
    let at =
        filter.to_ascii_lowercase().find(&format!("{} eq '", field.to_ascii_lowercase()))? + field.len() + 5;
    filter.get(at..)?.split('\'').next().map(str::to_owned)
}

fn all_definitions(call: &Call<'_>, connection: &Connection) -> Result<Vec<Value>, ArmError> {
    let subscription = call.azure.subscription();
    let page = Row::of_type(connection, &DEFINITION.to_ascii_lowercase(), &subscription, None, ALL)?;
    let own = page.rows.into_iter().map(|row| row.body);
    Ok(builtin_roles().iter().map(|role| built_in(&subscription, role)).chain(own).collect())
}

pub(crate) fn definitions(call: &mut Call<'_>) -> Answer {
    let mut values = call.azure.store.read(|connection| all_definitions(call, connection))?;
    if let Some(name) = filtered(call, "roleName") {
        values.retain(|value| value["properties"]["roleName"] == name.as_str());
    }
    if let Some(kind) = filtered(call, "type") {
        values.retain(|value| {
            value["properties"]["type"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(&kind))
        });
    }
    Ok(call.list(&values, None))
}

pub(crate) fn definition(call: &mut Call<'_>) -> Answer {
    let name = call.variable("name").to_ascii_lowercase();
    let values = call.azure.store.read(|connection| all_definitions(call, connection))?;
    let found = values
        .into_iter()
        .find(|value| value["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(&name)));
    match found {
        Some(value) => Ok(Response::json(StatusCode::OK, &value)),
        None => Err(no_definition(&name)),
    }
}

fn no_definition(name: &str) -> ArmError {
    let message = format!("The specified role definition with ID '{name}' does not exist.");
    ArmError::not_found("RoleDefinitionDoesNotExist", message)
}

pub(crate) fn put_definition(call: &mut Call<'_>) -> Answer {
    let given = call.object()?;
    let properties = &given["properties"];
    let name = call.variable("name").to_owned();
    let invalid = |message: &str| ArmError::bad("InvalidRoleDefinition", message);
    if name.parse::<Uuid>().is_err() {
        return Err(ArmError::bad(
            "InvalidRoleDefinitionId",
            format!("The role definition ID '{name}' is not a GUID."),
        ));
    }
    let Some(role_name) = properties["roleName"].as_str().filter(|name| !name.is_empty()) else {
        return Err(invalid("The role definition needs a roleName."));
    };
    if properties["permissions"].as_array().is_none_or(Vec::is_empty) {
        return Err(invalid("The role definition needs permissions."));
    }
    let scopes = properties["assignableScopes"].as_array().filter(|all| !all.is_empty());
    let own = call.azure.subscription().to_ascii_lowercase();
    let known = |scope: &Value| {
        let scope = scope.as_str().unwrap_or_default().to_ascii_lowercase();
        scope == own || scope.starts_with(&format!("{own}/"))
    };
    if !scopes.is_some_and(|all| all.iter().all(known)) {
        return Err(invalid("The role definition needs assignableScopes inside this subscription."));
    }
    let mut kept = properties.clone();
    kept["type"] = "CustomRole".into();
    kept["description"] = properties["description"].as_str().unwrap_or_default().into();
    let body = json!({ "id": definition_id(call), "name": name, "type": DEFINITION, "properties": kept });
    call.azure.store.write(|transaction| {
        let same = |other: &Value| {
            other["properties"]["roleName"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(role_name))
                && !other["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(&name))
        };
        if all_definitions(call, transaction)?.iter().any(same) {
            let message = format!("A custom role with the same name already exists in this directory. Use a different name than '{role_name}'.");
            return Err(ArmError::conflict("RoleDefinitionWithSameNameExists", message));
        }
        Row::put(transaction, &body)
    })?;
    Ok(Response::json(StatusCode::CREATED, &body))
}

pub(crate) fn delete_definition(call: &mut Call<'_>) -> Answer {
    let id = definition_id(call);
    call.azure.store.write(|transaction| {
        let Some(row) = Row::find(transaction, &id.to_ascii_lowercase())? else {
            return Ok(Response::empty(StatusCode::NO_CONTENT));
        };
        let name = call.variable("name");
        let uses = |row: &&Row| last(&row.body["properties"]["roleDefinitionId"]).eq_ignore_ascii_case(name);
        let count = all_assignments(call, transaction)?.iter().filter(uses).count();
        if count > 0 {
            let message = format!("There are existing role assignments referencing role (code: RoleDefinitionHasAssignments; {count} of them).");
            return Err(ArmError::bad("RoleDefinitionHasAssignments", message));
        }
        Row::remove(transaction, &row.key)?;
        Ok(Response::json(StatusCode::OK, &row.body))
    })
}

/// The last part of an id.
fn last(id: &Value) -> &str {
    id.as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

fn all_assignments(call: &Call<'_>, connection: &Connection) -> Result<Vec<Row>, ArmError> {
    let subscription = call.azure.subscription();
    let page = Row::of_type(connection, &ASSIGNMENT.to_ascii_lowercase(), &subscription, None, ALL)?;
    Ok(page.rows)
}

/// Assignments at a scope, above it, and, unless `$filter=atScope()` says otherwise, below it.
pub(crate) fn assignments(call: &mut Call<'_>) -> Answer {
    let scope = call.variable("scope").to_ascii_lowercase();
    let filter = call.request.parameter("$filter").unwrap_or_default();
    let at_scope = filter.to_ascii_lowercase().contains("atscope()");
    let principal = filtered(call, "principalId").or_else(|| {
        let at = filter.to_ascii_lowercase().find("assignedto('")? + "assignedto('".len();
        filter.get(at..)?.split('\'').next().map(str::to_owned)
    });
    let rows = call.azure.store.read(|connection| all_assignments(call, connection))?;
    let inside = |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}/"));
    let fits = |body: &Value| {
        let own = body["properties"]["scope"].as_str().unwrap_or_default().to_ascii_lowercase();
        let here = inside(&scope, &own) || (!at_scope && inside(&own, &scope));
        here && principal.as_ref().is_none_or(|principal| {
            body["properties"]["principalId"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(principal))
        })
    };
    let values: Vec<_> = rows.into_iter().map(|row| row.body).filter(fits).collect();
    Ok(call.list(&values, None))
}

pub(crate) fn get_assignment(call: &mut Call<'_>) -> Answer {
    let (scope, name) = (call.variable("scope"), call.variable("name"));
    let id = format!("{scope}/providers/{ASSIGNMENT}/{name}");
    let found = call.azure.store.read(|connection| Row::find(connection, &id.to_ascii_lowercase()))?;
    found.map(|row| Response::json(StatusCode::OK, &row.body)).ok_or_else(|| {
        ArmError::not_found("RoleAssignmentNotFound", format!("The role assignment '{name}' is not found."))
    })
}

pub(crate) fn put_assignment(call: &mut Call<'_>) -> Answer {
    let given = call.object()?;
    let (scope, name) = (call.variable("scope").to_owned(), call.variable("name").to_owned());
    if name.parse::<Uuid>().is_err() {
        let message =
            format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.");
        return Err(ArmError::bad("InvalidRoleAssignmentId", message));
    }
    let body = assignment(&scope, &name, &given);
    let write = call.azure.store.write(|transaction| assign(call, transaction, &body))?;
    let status = if write == Write::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Response::json(status, &body))
}

/// An assignment as it is kept.
fn assignment(scope: &str, name: &str, given: &Value) -> Value {
    let mut properties = given["properties"].clone();
    properties["scope"] = scope.into();
    if properties["principalType"].is_null() {
        properties["principalType"] = "ServicePrincipal".into();
    }
    json!({
        "id": format!("{scope}/providers/{ASSIGNMENT}/{name}"), "name": name, "type": ASSIGNMENT,
        "properties": properties,
    })
}

/// Checks an assignment and keeps it.
fn assign(call: &Call<'_>, transaction: &rusqlite::Transaction<'_>, body: &Value) -> Result<Write, ArmError> {
    let properties = &body["properties"];
    let Some(principal) = properties["principalId"].as_str().filter(|id| id.parse::<Uuid>().is_ok()) else {
        return Err(ArmError::bad(
            "InvalidPrincipalId",
            "A valid principal ID must be provided for role assignment.",
        ));
    };
    let role = last(&properties["roleDefinitionId"]).to_owned();
    let known = all_definitions(call, transaction)?;
    if !known.iter().any(|known| known["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(&role))) {
        return Err(no_definition(&role));
    }
    // Users and groups live in a directory that is not here; they are taken as they are given.
    let is_service = properties["principalType"] == "ServicePrincipal";
    if is_service && Principal::find(transaction, principal)?.is_none() {
        let message = format!(
            "Principal {principal} does not exist in the directory {}. Check that you have the correct principal ID.",
            call.azure.secrets().tenant
        );
        return Err(ArmError::bad("PrincipalNotFound", message));
    }
    let same = |other: &Value| {
        let other = &other["properties"];
        let equal = |field: &str| {
            let text = |value: &Value| value[field].as_str().unwrap_or_default().to_ascii_lowercase();
            text(other) == text(properties)
        };
        equal("principalId") && equal("scope") && last(&other["roleDefinitionId"]).eq_ignore_ascii_case(&role)
    };
    let key = body["id"].as_str().unwrap_or_default().to_ascii_lowercase();
    for row in all_assignments(call, transaction)? {
        if row.key != key && same(&row.body) {
            let message = "The role assignment already exists.";
            return Err(ArmError::conflict("RoleAssignmentExists", message));
        }
        if row.key == key && !same(&row.body) {
            let message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.";
            return Err(ArmError::bad("RoleAssignmentUpdateNotPermitted", message));
        }
    }
    Row::put(transaction, body).map(|(_, write)| write)
}

pub(crate) fn delete_assignment(call: &mut Call<'_>) -> Answer {
    let key = call.path.without(0).to_ascii_lowercase();
    call.azure.store.write(|transaction| {
        let Some(row) = Row::find(transaction, &key)? else {
            return Ok(Response::empty(StatusCode::NO_CONTENT));
        };
        Row::remove(transaction, &key)?;
        Ok(Response::json(StatusCode::OK, &row.body))
    })
}
