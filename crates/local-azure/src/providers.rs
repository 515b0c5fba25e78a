//! Resource providers: what has to be registered before it can be used.

use http::StatusCode;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::store::Row;
use crate::transport::Response;
use crate::types::TYPES;

/// Providers that every subscription has from the start, as Azure's have.
const ALWAYS: [&str; 3] = ["Microsoft.Authorization", "Microsoft.Features", "Microsoft.Resources"];

/// Providers that an image build needs and that have no types here.
const OTHERS: [&str; 2] = ["Microsoft.ContainerInstance", "Microsoft.KeyVault"];

const PROVIDER: &str = "Microsoft.Resources/providers";

/// All namespaces that are known, in their order.
fn namespaces() -> Vec<&'static str> {
    let own = TYPES.iter().filter_map(|known| known.name.split('/').next());
    let mut all: Vec<&str> = own.chain(ALWAYS).chain(OTHERS).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn key(subscription: &str, namespace: &str) -> String {
    format!("{subscription}/providers/{namespace}").to_ascii_lowercase()
}

fn state(connection: &Connection, subscription: &str, namespace: &str) -> Result<&'static str, ArmError> {
    if ALWAYS.iter().any(|always| always.eq_ignore_ascii_case(namespace)) {
        return Ok("Registered");
    }
    let row = Row::find(connection, &key(subscription, namespace))?;
    Ok(match row.as_ref().and_then(|row| row.body["registrationState"].as_str()) {
        Some("Registered") => "Registered",
        Some("Unregistered") => "Unregistered",
        _ => "NotRegistered",
    })
}

/// Refuses types of providers that are not registered, as Azure does.
pub(crate) fn require_registered(
    connection: &Connection,
    subscription: &str,
    namespace: &str,
) -> Result<(), ArmError> {
    if state(connection, subscription, namespace)? == "Registered" {
        return Ok(());
    }
    let message = format!(
        "The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how to \
         register subscriptions."
    );
    Err(ArmError::conflict("MissingSubscriptionRegistration", message))
}

fn spelled(namespace: &str) -> String {
    let known = namespaces().into_iter().find(|known| known.eq_ignore_ascii_case(namespace));
    known.unwrap_or(namespace).to_owned()
}

fn body(call: &Call<'_>, connection: &Connection, namespace: &str) -> Result<Value, ArmError> {
    let subscription = call.azure.subscription();
    let types = TYPES.iter().filter_map(|known| {
        let (own, rest) = known.name.split_once('/')?;
        own.eq_ignore_ascii_case(namespace).then(|| {
            json!({ "resourceType": rest, "apiVersions": known.versions, "locations": [], "capabilities": "None" })
        })
    });
    Ok(json!({
        "id": format!("{subscription}/providers/{namespace}"), "namespace": namespace,
        "registrationState": state(connection, &subscription, namespace)?,
        "registrationPolicy": "RegistrationRequired", "resourceTypes": types.collect::<Vec<_>>(),
    }))
}

pub(crate) fn list(call: &mut Call<'_>) -> Answer {
    let values: Result<Vec<_>, _> = call.azure.store.read(|connection| {
        Ok(namespaces().into_iter().map(|namespace| body(call, connection, namespace)).collect())
    })?;
    Ok(call.list(&values?, None))
}

pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    let namespace = spelled(call.variable("namespace"));
    let body = call.azure.store.read(|connection| body(call, connection, &namespace))?;
    Ok(Response::json(StatusCode::OK, &body))
}

pub(crate) fn register(call: &mut Call<'_>) -> Answer {
    set(call, "Registered")
}

pub(crate) fn unregister(call: &mut Call<'_>) -> Answer {
    set(call, "Unregistered")
}

pub(crate) fn keep_state(
    connection: &Connection,
    subscription: &str,
    namespace: &str,
    state: &str,
) -> Result<(), ArmError> {
    let id = format!("{subscription}/providers/{namespace}");
    let body = json!({ "id": id, "name": namespace, "type": PROVIDER, "registrationState": state });
    Row::put(connection, &body).map(|_| ())
}

fn set(call: &Call<'_>, state: &str) -> Answer {
    let namespace = spelled(call.variable("namespace"));
    let body = call.azure.store.write(|transaction| {
        keep_state(transaction, &call.azure.subscription(), &namespace, state)?;
        body(call, transaction, &namespace)
    })?;
    Ok(Response::json(StatusCode::OK, &body))
}
