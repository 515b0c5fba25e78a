//! What a deployment would change: its template, evaluated against what is there.

use http::StatusCode;
use serde_json::{Value, json};

use super::place;
use super::request::{self, json as to_json, unknown};
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::generic;
use crate::groups;
use crate::store::{ALL, Row};
use crate::transport::Response;

/// Members that do not tell what a resource is.
const NOT_COMPARED: [&str; 6] = ["apiVersion", "type", "dependsOn", "scope", "comments", "name"];

pub(crate) fn what_if(call: &mut Call<'_>) -> Answer {
    let given = request::read(call)?;
    let place = place(call, given.location.as_deref(), 1)?;
    let plan = given.plan(call.azure, &place)?;
    request::check(call.azure, call.caller()?, &plan)?;
    let origin = call.request.origin.clone();
    let mut changes = Vec::new();
    call.azure.store.read(|connection| {
        for one in &plan.resources {
            let key = one.id.as_str().to_ascii_lowercase();
            let before = match Row::find(connection, &key)? {
                Some(row) => Some(generic::whole(connection, &origin, row)?),
                None => None,
            };
            let after = to_json(&one.value);
            let because = one.doubt.clone().or_else(|| unknown(&one.value));
            changes.push(change(one.id.as_str(), before, after, because));
        }
        // What is there and not in the template stays.
        if let Some(group) = &place.resource_group {
            let scope = format!("{}/resourceGroups/{group}", call.azure.subscription());
            let named: Vec<String> =
                plan.resources.iter().map(|one| one.id.as_str().to_ascii_lowercase()).collect();
            for row in Row::within(connection, &scope, None, ALL)?.rows {
                let top = row.key.split('/').count() == 9 && row.body["type"] != groups::GROUP;
                let is_deployment = row.body["type"] == super::DEPLOYMENT;
                if top && !is_deployment && !named.contains(&row.key) {
                    let before = generic::whole(connection, &origin, row)?;
                    changes.push(
                        json!({ "resourceId": before["id"], "changeType": "Ignore", "before": before }),
                    );
                }
            }
        }
        Ok::<_, ArmError>(())
    })?;
    let body = json!({
        "status": "Succeeded",
        "properties": { "correlationId": uuid::Uuid::new_v4().to_string(), "changes": changes },
    });
    Ok(Response::json(StatusCode::OK, &body))
}

fn change(id: &str, before: Option<Value>, mut after: Value, because: Option<String>) -> Value {
    after["id"] = id.into();
    let Some(before) = before else {
        let mut change = json!({ "resourceId": id, "changeType": "Create", "after": after });
        if let Some(because) = because {
            change["unsupportedReason"] = format!("not known before it is deployed: {because}").into();
        }
        return change;
    };
    let mut delta = Vec::new();
    for (name, value) in after.as_object().into_iter().flatten() {
        if !NOT_COMPARED.contains(&name.as_str()) && !value.is_null() {
            compare(name, &before[name], value, &mut delta);
        }
    }
    let kind = if delta.is_empty() { "NoChange" } else { "Modify" };
    let mut change =
        json!({ "resourceId": id, "changeType": kind, "before": before, "after": after, "delta": delta });
    if let Some(because) = because {
        change["unsupportedReason"] = format!("not known before it is deployed: {because}").into();
    }
    change
}

/// What a template says against what is there; what it does not say stays as it is.
fn compare(path: &str, before: &Value, after: &Value, delta: &mut Vec<Value>) {
    let change = |kind: &str, children: Vec<Value>| json!({ "path": path, "propertyChangeType": kind, "before": before, "after": after, "children": children });
    match (before, after) {
        (Value::Null, _) => delta.push(change("Create", Vec::new())),
        (Value::Object(_), Value::Object(new)) => {
            for (name, value) in new {
                compare(&format!("{path}.{name}"), &before[name], value, delta);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            let mut children = Vec::new();
            for (index, value) in new.iter().enumerate() {
                let name = &value["name"];
                let same =
                    if name.is_null() { old.get(index) } else { old.iter().find(|old| old["name"] == *name) };
                compare(&index.to_string(), same.unwrap_or(&Value::Null), value, &mut children);
            }
            if old.len() != new.len() || !children.is_empty() {
                delta.push(change("Array", children));
            }
        }
        _ if is_same(path, before, after) => {}
        _ => delta.push(change("Modify", Vec::new())),
    }
}

/// Texts that Azure writes in its own way are the same.
fn is_same(path: &str, before: &Value, after: &Value) -> bool {
    match (before.as_str(), after.as_str()) {
        (Some(before), Some(after)) if path == "location" => {
            image_template::region_slug(before) == image_template::region_slug(after)
        }
        (Some(before), Some(after)) if after.starts_with('/') => before.eq_ignore_ascii_case(after),
        _ => before == after,
    }
}
