//! The little of Microsoft Graph that making a service principal and assigning roles to one needs, as the Azure CLI asks
//! for it. An application and its service principal are one row here: the application's id is its client id.

use http::StatusCode;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Kind, Principal, random};
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::transport::Response;

/// How long a password holds unless it says otherwise, in seconds: two years, as Graph's.
const TWO_YEARS: i64 = 2 * 365 * 86_400;

/// Who may change the directory: the first principal. Others could give themselves anybody's password.
fn administrator(call: &Call<'_>) -> Result<(), ArmError> {
    if call.caller()?.object == call.azure.secrets().object_id {
        return Ok(());
    }
    let message = "Insufficient privileges to complete the operation.";
    Err(ArmError::forbidden("Authorization_RequestDenied", message))
}

fn missing(id: &str) -> ArmError {
    let message = format!(
        "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
    );
    ArmError::not_found("Request_ResourceNotFound", message)
}

fn time(second: i64) -> String {
    jiff::Timestamp::from_second(second).map_or_else(|_| String::new(), |time| time.to_string())
}

/// A principal in the form of Graph: as a service principal or as the application that it belongs to.
fn told(connection: &Connection, principal: &Principal, as_application: bool) -> Result<Value, ArmError> {
    let sql = "SELECT key, name, starts, ends FROM passwords WHERE object = ?1 ORDER BY starts";
    let mut statement = connection.prepare_cached(sql)?;
    let passwords = statement.query_map([&principal.object], |row| {
        Ok(json!({
            "keyId": row.get::<_, String>(0)?, "displayName": row.get::<_, String>(1)?,
            "startDateTime": time(row.get(2)?), "endDateTime": time(row.get(3)?), "secretText": null,
        }))
    })?;
    let mut told = json!({
        "id": if as_application { &principal.client } else { &principal.object },
        "appId": principal.client, "displayName": principal.name, "keyCredentials": [],
        "passwordCredentials": passwords.collect::<Result<Vec<_>, _>>()?,
    });
    if as_application {
        told["@odata.type"] = "#microsoft.graph.application".into();
        told["identifierUris"] = json!([]);
    } else {
        told["@odata.type"] = "#microsoft.graph.servicePrincipal".into();
        told["servicePrincipalType"] = principal.kind.name().into();
        told["servicePrincipalNames"] = json!([principal.client]);
        told["accountEnabled"] = true.into();
    }
    Ok(told)
}

/// The principals that `$filter` leaves: `field eq 'x'`, `startswith(field,'x')` or `names/any(c:c eq 'x')`, where the
/// field is a name or an id. One text in quotation marks: no filter of two parts is taken for one of them.
fn filtered(call: &Call<'_>, connection: &Connection) -> Result<Vec<Principal>, ArmError> {
    let mut all = Principal::all(connection)?;
    let Some(filter) = call.request.parameter("$filter") else { return Ok(all) };
    let parts = filter.split('\'').count();
    let wanted = filter.split('\'').nth(1).unwrap_or_default().to_ascii_lowercase();
    let filter = filter.to_ascii_lowercase();
    if parts != 3 {
        return Err(ArmError::not_implemented(format!("the filter '{filter}'")));
    }
    if filter.starts_with("startswith(displayname,") {
        all.retain(|one| one.name.to_ascii_lowercase().starts_with(&wanted));
    } else if filter.starts_with("displayname eq ") {
        all.retain(|one| one.name.eq_ignore_ascii_case(&wanted));
    } else if ["appid eq ", "id eq ", "serviceprincipalnames/any("].iter().any(|own| filter.starts_with(own))
    {
        all.retain(|one| one.client == wanted || one.object == wanted);
    } else {
        return Err(ArmError::not_implemented(format!("the filter '{filter}'")));
    }
    Ok(all)
}

pub(crate) fn service_principals(call: &mut Call<'_>) -> Answer {
    let values = call.azure.store.read(|connection| {
        filtered(call, connection)?
            .iter()
            .map(|one| told(connection, one, false))
            .collect::<Result<Vec<_>, _>>()
    })?;
    Ok(call.list(&values, None))
}

pub(crate) fn applications(call: &mut Call<'_>) -> Answer {
    let values = call.azure.store.read(|connection| {
        let found = filtered(call, connection)?;
        let own = found.iter().filter(|one| one.kind == Kind::Application);
        own.map(|one| told(connection, one, true)).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(call.list(&values, None))
}

/// The principal that a path names.
fn named(call: &Call<'_>, connection: &Connection) -> Result<Principal, ArmError> {
    let id = call.variable("id");
    Principal::find(connection, id)?.ok_or_else(|| missing(id))
}

/// The application that a path names; a managed identity has none.
fn named_application(call: &Call<'_>, connection: &Connection) -> Result<Principal, ArmError> {
    let found = named(call, connection)?;
    if found.kind == Kind::Application { Ok(found) } else { Err(missing(call.variable("id"))) }
}

pub(crate) fn get_service_principal(call: &mut Call<'_>) -> Answer {
    let value = call.azure.store.read(|connection| told(connection, &named(call, connection)?, false))?;
    Ok(Response::json(StatusCode::OK, &value))
}

pub(crate) fn get_application(call: &mut Call<'_>) -> Answer {
    let value =
        call.azure.store.read(|connection| told(connection, &named_application(call, connection)?, true))?;
    Ok(Response::json(StatusCode::OK, &value))
}

pub(crate) fn make_application(call: &mut Call<'_>) -> Answer {
    administrator(call)?;
    let given = call.object()?;
    let Some(name) = given["displayName"].as_str().filter(|name| !name.is_empty() && name.len() <= 256)
    else {
        let message = "Property displayName is required, with at most 256 characters.";
        return Err(ArmError::bad("Request_BadRequest", message));
    };
    if given["keyCredentials"].as_array().is_some_and(|keys| !keys.is_empty()) {
        return Err(ArmError::not_implemented("logging in with a certificate"));
    }
    let value = call.azure.store.write(|transaction| {
        let made = Principal::make(transaction, name, Kind::Application)?;
        told(transaction, &made, true)
    })?;
    Ok(Response::json(StatusCode::CREATED, &value))
}

/// Its name is all that an application has.
pub(crate) fn change_application(call: &mut Call<'_>) -> Answer {
    administrator(call)?;
    let given = call.object()?;
    call.azure.store.write(|transaction| {
        let mut found = named_application(call, transaction)?;
        if let Some(name) = given["displayName"].as_str() {
            name.clone_into(&mut found.name);
            found.keep(transaction)?;
        }
        Ok(())
    })?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// The service principal came with its application.
pub(crate) fn make_service_principal(call: &mut Call<'_>) -> Answer {
    administrator(call)?;
    let given = call.object()?;
    let id = given["appId"].as_str().unwrap_or_default();
    let value = call.azure.store.read(|connection| match Principal::find(connection, id)? {
        Some(found) if found.kind == Kind::Application => told(connection, &found, false),
        _ => {
            let message =
                format!("The appId '{id}' of the service principal does not reference an application.");
            Err(ArmError::bad("Request_BadRequest", message))
        }
    })?;
    Ok(Response::json(StatusCode::CREATED, &value))
}

/// Removes an application with its service principal. The first one stays: nobody could log in again.
pub(crate) fn remove(call: &mut Call<'_>) -> Answer {
    administrator(call)?;
    call.azure.store.write(|transaction| {
        let found = named_application(call, transaction)?;
        if found.object == call.azure.secrets().object_id {
            let message = "The first principal of the local endpoint cannot be removed.";
            return Err(ArmError::bad("Request_BadRequest", message));
        }
        Principal::remove(transaction, &found.object)
    })?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// Makes a password. This answer is the only place where it is ever seen; the database has its digest.
pub(crate) fn add_password(call: &mut Call<'_>) -> Answer {
    administrator(call)?;
    let given = call.object()?;
    let given = &given["passwordCredential"];
    let now = jiff::Timestamp::now().as_second();
    let moment = |name: &str, default: i64| match &given[name] {
        Value::Null => Ok(default),
        given => {
            let time = given.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            let wrong = || ArmError::bad("Request_BadRequest", format!("{name} is to be a time (RFC 3339)."));
            time.map(jiff::Timestamp::as_second).ok_or_else(wrong)
        }
    };
    let (starts, ends) = (moment("startDateTime", now)?, moment("endDateTime", now + TWO_YEARS)?);
    let (key, secret) = (Uuid::new_v4().to_string(), random());
    let name = given["displayName"].as_str().unwrap_or_default();
    call.azure.store.write(|transaction| {
        let found = named_application(call, transaction)?;
        found.keep_password(transaction, (&key, name), &secret, starts..ends)
    })?;
    let body = json!({
        "keyId": key, "displayName": name, "secretText": secret, "hint": &secret[..3],
        "startDateTime": time(starts), "endDateTime": time(ends),
    });
    Ok(Response::json(StatusCode::OK, &body))
}

pub(crate) fn remove_password(call: &mut Call<'_>) -> Answer {
    administrator(call)?;
    let given = call.object()?;
    let key = given["keyId"].as_str().unwrap_or_default();
    call.azure.store.write(|transaction| {
        let found = named_application(call, transaction)?;
        let sql = "DELETE FROM passwords WHERE key = ?1 AND object = ?2";
        match transaction.execute(sql, params![key, found.object])? {
            0 => Err(missing(key)),
            _ => Ok(()),
        }
    })?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

pub(crate) fn by_ids(call: &mut Call<'_>) -> Answer {
    let given = call.object()?;
    let ids = given["ids"].as_array().cloned().unwrap_or_default();
    let values = call.azure.store.read(|connection| {
        let mut found = Vec::new();
        for id in ids.iter().filter_map(Value::as_str) {
            let sql = format!("SELECT {} FROM principals WHERE object = ?1", Principal::COLUMNS);
            let one = connection.prepare_cached(&sql)?.query_row([id], Principal::read).optional()?;
            found.extend(one.map(|one| told(connection, &one, false)).transpose()?);
        }
        Ok(found)
    })?;
    Ok(call.list(&values, None))
}
