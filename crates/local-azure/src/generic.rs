//! Operations on resources of every type: what differs is in the table of types.

use http::StatusCode;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use rusqlite::{Connection, Transaction};
use serde_json::{Map, Value};

use crate::LocalAzure;
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::path::Address;
use crate::providers;
use crate::store::{ALL, Page, Row, Write};
use crate::transport::Response;
use crate::types::{self, Edit, PLAIN, Removal, ResourceType, Writer};

/// The most resources in one page of a list.
pub(crate) const PAGE: usize = 1000;

/// Told with resources of a type that the endpoint only keeps.
const NOTE: &str = "x-ms-local-note";

fn address(call: &Call<'_>) -> Result<Address, ArmError> {
    call.path.address().ok_or_else(|| ArmError::internal("no address"))
}

/// A resource as clients get it: with its children inside.
pub(crate) fn whole(connection: &Connection, origin: &str, row: Row) -> Result<Value, ArmError> {
    let mut body = row.body;
    let resource_type = body["type"].as_str().unwrap_or_default().to_owned();
    let known = types::find(&resource_type).unwrap_or(&PLAIN);
    for (field, child) in known.children {
        let children = Row::of_type(connection, &child.to_ascii_lowercase(), &row.key, None, ALL)?;
        let children: Vec<Value> = children.rows.into_iter().map(|child| child.body).collect();
        body["properties"][*field] = children.into();
    }
    (known.show)(origin, &mut body);
    Ok(body)
}

/// The resource that a path addresses.
pub(crate) fn find(connection: &Connection, address: &Address) -> Result<Row, ArmError> {
    Row::find(connection, &address.id().to_ascii_lowercase())?.ok_or_else(|| missing(connection, address))
}

/// Why a resource is not there: its group is not, or it alone.
fn missing(connection: &Connection, address: &Address) -> ArmError {
    let group = group_of(&address.scope);
    if let Some((id, name)) = &group
        && matches!(Row::find(connection, &id.to_ascii_lowercase()), Ok(None))
    {
        return ArmError::no_group(name);
    }
    let names: Vec<_> = address.pairs.iter().map(|(_, name)| name.as_str()).collect();
    ArmError::no_resource(
        &address.resource_type(),
        &names.join("/"),
        group.as_ref().map(|(_, name)| name.as_str()),
    )
}

/// The id and name of the resource group that a scope is in.
fn group_of(scope: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = scope.split('/').collect();
    match parts.as_slice() {
        ["", first, subscription, second, name, ..]
            if first.eq_ignore_ascii_case("subscriptions")
                && second.eq_ignore_ascii_case("resourceGroups") =>
        {
            Some((format!("/subscriptions/{subscription}/resourceGroups/{name}"), (*name).to_owned()))
        }
        _ => None,
    }
}

pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    let address = address(call)?;
    let known = types::find(&address.resource_type());
    call.azure.store.read(|connection| {
        let row = find(connection, &address)?;
        let etag = row.etag.clone();
        let response = Response::json(StatusCode::OK, &whole(connection, &call.request.origin, row)?)
            .with(ETAG, &quoted(&etag));
        Ok(note(response, known))
    })
}

pub(crate) fn head(call: &mut Call<'_>) -> Answer {
    let address = address(call)?;
    call.azure
        .store
        .read(|connection| find(connection, &address).map(|_| Response::empty(StatusCode::NO_CONTENT)))
}

pub(crate) fn list(call: &mut Call<'_>) -> Answer {
    let address = address(call)?;
    let resource_type = address.listed_type().to_ascii_lowercase();
    let after = call.after();
    call.azure.store.read(|connection| {
        if !address.pairs.is_empty() {
            find(connection, &Address { rest: None, ..address.clone() })?;
        } else if let Some((id, name)) = group_of(&address.scope)
            && Row::find(connection, &id.to_ascii_lowercase())?.is_none()
        {
            return Err(ArmError::no_group(&name));
        }
        let Page { rows, after } =
            Row::of_type(connection, &resource_type, &address.listed_in(), after.as_deref(), PAGE)?;
        let rows: Result<Vec<_>, _> =
            rows.into_iter().map(|row| whole(connection, &call.request.origin, row)).collect();
        Ok(call.list(&rows?, after.as_deref()))
    })
}

pub(crate) fn put(call: &mut Call<'_>) -> Answer {
    let address = address(call)?;
    let body = call.object()?;
    let (caller, api_version) = (call.caller()?.clone(), call.api_version());
    let writer = Writer { caller: &caller, api_version: &api_version };
    let known = types::find(&address.resource_type());
    let (body, etag, write) = call.azure.store.write(|transaction| {
        check_conditions(transaction, &address, call)?;
        let (row, write) = write(call.azure, transaction, writer, &address, body)?;
        let etag = row.etag.clone();
        Ok((whole(transaction, &call.request.origin, row)?, etag, write))
    })?;
    let created = known.unwrap_or(&PLAIN).created;
    let status = if write == Write::Created { created } else { 200 };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    Ok(note(Response::json(status, &body).with(ETAG, &quoted(&etag)), known))
}

/// What a client says about the resource that it means to change (RFC 9110, 13.1).
fn check_conditions(connection: &Connection, address: &Address, call: &Call<'_>) -> Result<(), ArmError> {
    let headers = &call.request.headers;
    // What is no text is nobody's tag.
    let if_match = headers.get(IF_MATCH).map(|value| value.to_str().unwrap_or_default());
    let if_none_match = headers.contains_key(IF_NONE_MATCH);
    let old = Row::find(connection, &address.id().to_ascii_lowercase())?;
    let matches = match (if_match, &old) {
        (None, _) => true,
        (Some("*"), old) => old.is_some(),
        (Some(etag), Some(old)) => etag.trim_start_matches("W/").trim_matches('"') == old.etag,
        (Some(_), None) => false,
    };
    if matches && !(if_none_match && old.is_some()) {
        return Ok(());
    }
    let message =
        "The precondition of the request is not met: the resource has changed, exists, or does not exist.";
    Err(ArmError::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message))
}

/// Writes a resource and the children inside it, as a request, a deployment or a seed does.
pub(crate) fn write(
    azure: &LocalAzure,
    transaction: &Transaction<'_>,
    writer: Writer<'_>,
    address: &Address,
    mut body: Value,
) -> Result<(Row, Write), ArmError> {
    let id = address.id();
    let resource_type = address.resource_type();
    let known = types::find(&resource_type).unwrap_or(&PLAIN);
    check_place(transaction, address)?;
    providers::require_registered(transaction, &azure.subscription(), &address.namespace)?;
    let old = Row::find(transaction, &id.to_ascii_lowercase())?;
    check_location(known, address, old.as_ref(), &body)?;
    if !body["properties"].is_object() {
        body["properties"] = Value::Object(Map::new());
    }
    let mut new =
        named(address, if known.name.is_empty() { &resource_type } else { known.name }, old.as_ref(), body);
    let children = take_children(known, &mut new)?;
    let mut edit = Edit { azure, transaction, writer, id: &id, old: old.as_ref(), new: &mut new };
    (known.write)(&mut edit)?;
    let written = Row::put(transaction, &new)?;
    for (child_type, children) in children {
        replace_children(azure, transaction, writer, address, (child_type, children))?;
    }
    Ok(written)
}

/// What a resource needs around it: its group, and its parent.
pub(crate) fn check_place(connection: &Connection, address: &Address) -> Result<(), ArmError> {
    if let Some((id, name)) = group_of(&address.scope)
        && Row::find(connection, &id.to_ascii_lowercase())?.is_none()
    {
        return Err(ArmError::no_group(&name));
    }
    let Some((_, outer)) = address.pairs.split_last() else { return Ok(()) };
    if outer.is_empty() {
        return Ok(());
    }
    let parent = Address { pairs: outer.to_vec(), ..address.clone() };
    if Row::find(connection, &parent.id().to_ascii_lowercase())?.is_some() {
        return Ok(());
    }
    let names: Vec<_> = outer.iter().map(|(_, name)| name.as_str()).collect();
    let message = format!(
        "Can not perform requested operation on nested resource. Parent resource '{}' not found.",
        names.join("/")
    );
    Err(ArmError::not_found("ParentResourceNotFound", message))
}

fn check_location(
    known: &ResourceType,
    address: &Address,
    old: Option<&Row>,
    body: &Value,
) -> Result<(), ArmError> {
    let in_group = group_of(&address.scope).is_some() && address.scope.split('/').count() == 5;
    if !known.has_location || known.name.is_empty() || !in_group {
        return Ok(());
    }
    let location = body["location"].as_str().unwrap_or_default();
    if location.is_empty() {
        return Err(ArmError::bad(
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    }
    let slug = image_template::region_slug;
    let Some(before) = old.and_then(|old| old.body["location"].as_str()) else { return Ok(()) };
    if slug(before) == slug(location) {
        return Ok(());
    }
    let name = &address.pairs[0].1;
    let message = format!(
        "The resource '{name}' already exists in location '{before}'. A resource with the same name cannot be created \
         in location '{location}'. Please select a new resource name."
    );
    Err(ArmError::conflict("InvalidResourceLocation", message))
}

/// The body with the id, name and type that the path says, in front. A resource that is there keeps how its id is spelled.
pub(crate) fn named(address: &Address, resource_type: &str, old: Option<&Row>, body: Value) -> Value {
    let spelled = old.and_then(|old| old.body["id"].as_str()).map(str::to_owned);
    let mut new = Map::new();
    let id = spelled.unwrap_or_else(|| address.id().replacen("/resourcegroups/", "/resourceGroups/", 1));
    new.insert("id".to_owned(), id.into());
    new.insert("name".to_owned(), address.pairs.last().map_or("", |(_, name)| name).into());
    new.insert("type".to_owned(), resource_type.into());
    if let Value::Object(body) = body {
        new.extend(
            body.into_iter().filter(|(name, _)| !matches!(name.as_str(), "id" | "name" | "type" | "etag")),
        );
    }
    Value::Object(new)
}

/// Takes the children out of a body. A field that is absent leaves the children that are there.
fn take_children(known: &ResourceType, new: &mut Value) -> Result<Vec<(&'static str, Vec<Value>)>, ArmError> {
    let mut all = Vec::new();
    for (field, child) in known.children {
        let Some(found) =
            new["properties"].as_object_mut().and_then(|properties| properties.shift_remove(*field))
        else {
            continue;
        };
        match found {
            Value::Array(children) => all.push((*child, children)),
            Value::Null => {}
            _ => {
                let message = format!("The field 'properties.{field}' is to be a list.");
                return Err(ArmError::bad("InvalidRequestFormat", message));
            }
        }
    }
    Ok(all)
}

/// Puts children in the place of those that are there.
fn replace_children(
    azure: &LocalAzure,
    transaction: &Transaction<'_>,
    writer: Writer<'_>,
    parent: &Address,
    (child_type, children): (&str, Vec<Value>),
) -> Result<(), ArmError> {
    let kind = child_type.rsplit('/').next().unwrap_or_default();
    let mut kept = Vec::new();
    for child in children {
        let Some(name) = child["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned) else {
            let message = format!("An item of '{kind}' has no name.");
            return Err(ArmError::bad("InvalidRequestFormat", message));
        };
        let mut address = parent.clone();
        address.pairs.push((kind.to_owned(), name));
        kept.push((address, child));
    }
    let there = Row::of_type(transaction, &child_type.to_ascii_lowercase(), &parent.id(), None, ALL)?;
    for row in there.rows {
        if !kept.iter().any(|(address, _)| address.id().eq_ignore_ascii_case(&row.key)) {
            remove(azure, transaction, &row)?;
        }
    }
    for (address, child) in kept {
        write(azure, transaction, writer, &address, child)?;
    }
    Ok(())
}

/// Changes tags, all that most types let clients change.
pub(crate) fn patch(call: &mut Call<'_>) -> Answer {
    let address = address(call)?;
    let body = call.object()?;
    if let Some(other) =
        body.as_object().into_iter().flatten().map(|(name, _)| name).find(|name| *name != "tags")
    {
        return Err(ArmError::not_implemented(format!("PATCH of '{other}'")));
    }
    call.azure.store.write(|transaction| {
        let mut row = find(transaction, &address)?;
        check_conditions(transaction, &address, call)?;
        row.body["tags"] = body["tags"].clone();
        let (row, _) = Row::put(transaction, &row.body)?;
        Ok(Response::json(StatusCode::OK, &whole(transaction, &call.request.origin, row)?))
    })
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let address = address(call)?;
    let known = types::find(&address.resource_type()).unwrap_or(&PLAIN);
    call.azure.store.write(|transaction| {
        let Some(row) = Row::find(transaction, &address.id().to_ascii_lowercase())? else {
            return Ok(Response::empty(StatusCode::NO_CONTENT));
        };
        check_conditions(transaction, &address, call)?;
        remove(call.azure, transaction, &row)?;
        Ok(Response::empty(StatusCode::from_u16(known.deleted).unwrap_or(StatusCode::OK)))
    })
}

/// Removes a resource and all inside it, innermost first, where their types let them go.
pub(crate) fn remove(azure: &LocalAzure, transaction: &Transaction<'_>, going: &Row) -> Result<(), ArmError> {
    let inside = Row::within(transaction, &going.key, None, ALL)?;
    for row in inside.rows.iter().rev().chain([going]) {
        let resource_type = row.body["type"].as_str().unwrap_or_default();
        if let Some(known) = types::find(resource_type) {
            (known.remove)(&Removal { azure, transaction, row, going: &going.key })?;
        }
    }
    Row::remove(transaction, &going.key)?;
    Ok(())
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// Says that a type is only kept.
fn note(response: Response, known: Option<&ResourceType>) -> Response {
    if known.is_some() {
        response
    } else {
        response.with_field(NOTE, "stored and returned as it is; nothing acts on it")
    }
}
