//! Resource groups.

use http::StatusCode;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::generic::{self, PAGE};
use crate::store::{Row, Write};
use crate::transport::Response;

/// The type of a row that is a resource group.
pub(crate) const GROUP: &str = "Microsoft.Resources/resourceGroups";

fn id(call: &Call<'_>) -> String {
    format!("{}/resourceGroups/{}", call.azure.subscription(), call.variable("group"))
}

fn found(call: &Call<'_>) -> Result<Row, ArmError> {
    let row = call.azure.store.read(|connection| Row::find(connection, &id(call).to_ascii_lowercase()))?;
    row.ok_or_else(|| ArmError::no_group(call.variable("group")))
}

pub(crate) fn list(call: &mut Call<'_>) -> Answer {
    let after = call.after();
    let scope = call.azure.subscription();
    let page = call.azure.store.read(|connection| {
        Row::of_type(connection, &GROUP.to_ascii_lowercase(), &scope, after.as_deref(), PAGE)
    })?;
    Ok(call.list(&page.rows.into_iter().map(|row| row.body).collect::<Vec<_>>(), page.after.as_deref()))
}

pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    Ok(Response::json(StatusCode::OK, &found(call)?.body))
}

pub(crate) fn head(call: &mut Call<'_>) -> Answer {
    found(call).map(|_| Response::empty(StatusCode::NO_CONTENT))
}

/// 1 to 90 letters, digits, underscores, parentheses, hyphens and periods, the last no period.
fn check_name(name: &str) -> Result<(), ArmError> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '(' | ')');
    if name.chars().count() <= 90 && name.chars().all(fits) && !name.ends_with('.') {
        return Ok(());
    }
    let message = format!(
        "The provided resource group name '{name}' is not valid: 1 to 90 letters, digits, '_', '-', '.', '(' and ')', \
         the last no period."
    );
    Err(ArmError::bad("InvalidResourceGroupName", message))
}

/// What a new or changed group is.
pub(crate) fn body(id: &str, name: &str, given: &Value, old: Option<&Value>) -> Result<Value, ArmError> {
    check_name(name)?;
    let before = old.and_then(|old| old["location"].as_str());
    let location = given["location"].as_str().filter(|location| !location.is_empty()).or(before);
    let Some(location) = location else {
        return Err(ArmError::bad(
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    };
    let slug = image_template::region_slug(location);
    if let Some(before) = before
        && image_template::region_slug(before) != slug
    {
        let message = format!(
            "Invalid resource group location '{slug}'. The Resource group already exists in location '{before}'."
        );
        return Err(ArmError::conflict("InvalidResourceGroupLocation", message));
    }
    let mut body = json!({
        "id": id, "name": name, "type": GROUP, "location": slug,
        "properties": { "provisioningState": "Succeeded" },
    });
    for field in ["tags", "managedBy"] {
        if !given[field].is_null() {
            body[field] = given[field].clone();
        }
    }
    Ok(body)
}

pub(crate) fn put(call: &mut Call<'_>) -> Answer {
    let given = call.object()?;
    let id = id(call);
    let (body, write) = call.azure.store.write(|transaction| {
        let old = Row::find(transaction, &id.to_ascii_lowercase())?;
        let old = old.map(|old| old.body);
        let name =
            old.as_ref().and_then(|old| old["name"].as_str()).unwrap_or(call.variable("group")).to_owned();
        let id = old.as_ref().and_then(|old| old["id"].as_str()).unwrap_or(&id).to_owned();
        let body = body(&id, &name, &given, old.as_ref())?;
        let (row, write) = Row::put(transaction, &body)?;
        Ok((row.body, write))
    })?;
    let status = if write == Write::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Response::json(status, &body))
}

pub(crate) fn patch(call: &mut Call<'_>) -> Answer {
    let given = call.object()?;
    let mut row = found(call)?;
    if !given["tags"].is_null() {
        row.body["tags"] = given["tags"].clone();
    }
    let (row, _) = call.azure.store.write(|transaction| Row::put(transaction, &row.body))?;
    Ok(Response::json(StatusCode::OK, &row.body))
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let row = found(call)?;
    call.azure.store.write(|transaction| generic::remove(call.azure, transaction, &row))?;
    Ok(Response::empty(StatusCode::OK))
}
