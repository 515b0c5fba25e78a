//! Preview features: registered and unregistered at once, since nothing here waits for Azure's approval.

use http::StatusCode;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::generic::PAGE;
use crate::store::{Page, Row};
use crate::transport::Response;

const FEATURE: &str = "Microsoft.Features/providers/features";

fn body(call: &Call<'_>, state: &str) -> Value {
    let (namespace, feature) = (call.variable("namespace"), call.variable("feature"));
    let subscription = call.azure.subscription();
    json!({
        "id": format!("{subscription}/providers/Microsoft.Features/providers/{namespace}/features/{feature}"),
        "name": format!("{namespace}/{feature}"), "type": FEATURE, "properties": { "state": state },
    })
}

pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    let absent = body(call, "NotRegistered");
    let key = absent["id"].as_str().unwrap_or_default().to_ascii_lowercase();
    let row = call.azure.store.read(|connection| Row::find(connection, &key))?;
    Ok(Response::json(StatusCode::OK, &row.map_or(absent, |row| row.body)))
}

/// Those that were ever registered: which others Azure has is not known here.
pub(crate) fn list(call: &mut Call<'_>) -> Answer {
    let (scope, after) = (call.path.without(1), call.after());
    let Page { rows, after } = call.azure.store.read(|connection| {
        Row::of_type(connection, &FEATURE.to_ascii_lowercase(), &scope, after.as_deref(), PAGE)
    })?;
    let values: Vec<Value> = rows.into_iter().map(|row| row.body).collect();
    Ok(call.list(&values, after.as_deref()))
}

pub(crate) fn register(call: &mut Call<'_>) -> Answer {
    set(call, "Registered")
}

pub(crate) fn unregister(call: &mut Call<'_>) -> Answer {
    set(call, "Unregistered")
}

fn set(call: &Call<'_>, state: &str) -> Answer {
    let body = body(call, state);
    call.azure.store.write(|transaction| Row::put(transaction, &body))?;
    Ok(Response::json(StatusCode::OK, &body))
}
