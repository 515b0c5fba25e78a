//! Subnets: Azure writes them whole, so that what is left out is taken away.

use arm::{Inventory, Resource, ResourceId, field, label};
use document::{Kind, Member, Value as Told};
use serde_json::{Map, Value, json};

use super::deployments::{Deployments, Target};
use super::{Change, is_placed, literal};

const SUBNETS: &str = "Microsoft.Network/virtualNetworks/subnets";
const API_VERSION: &str = "2024-05-01";

/// How a property of a subnet is written.
#[derive(Clone, Copy)]
enum Form {
    /// As it is told.
    Plain,
    /// As a reference.
    Id,
    /// As a list of references.
    Ids,
    /// Name and service.
    Delegations,
    /// Service and regions.
    Endpoints,
}

/// What a subnet of this version of the API is written with.
const PROPERTIES: [(&str, Form); 12] = [
    ("addressPrefixes", Form::Plain),
    ("networkSecurityGroup", Form::Id),
    ("routeTable", Form::Id),
    ("natGateway", Form::Id),
    ("serviceEndpoints", Form::Endpoints),
    ("serviceEndpointPolicies", Form::Ids),
    ("ipAllocations", Form::Ids),
    ("delegations", Form::Delegations),
    ("privateEndpointNetworkPolicies", Form::Plain),
    ("privateLinkServiceNetworkPolicies", Form::Plain),
    ("defaultOutboundAccess", Form::Plain),
    ("sharingScope", Form::Plain),
];

/// What Azure adds, and what says which subnet it is.
const NOT_WRITTEN: [&str; 16] = [
    "id",
    "name",
    "type",
    "etag",
    "resourceGroup",
    "apiVersion",
    "comments",
    "dependsOn",
    "provisioningState",
    "purpose",
    "ipConfigurations",
    "ipConfigurationProfiles",
    "privateEndpoints",
    "resourceNavigationLinks",
    "serviceAssociationLinks",
    "subnetSpace",
];

/// Resources that may say themselves which subnets they are at.
const BACK_REFERRING: [(&str, &str); 3] = [
    ("Microsoft.Network/networkSecurityGroups", "networkSecurityGroup"),
    ("Microsoft.Network/routeTables", "routeTable"),
    ("Microsoft.Network/natGateways", "natGateway"),
];

/// Writes every subnet that is changed, with all that documents tell of it.
pub(super) fn write(changes: &[Change], inventory: &Inventory, to: &mut Deployments) -> Result<(), String> {
    let mut done: Vec<&ResourceId> = Vec::new();
    for change in changes {
        let Change::Subnet(id, ..) = change else { continue };
        if done.contains(&id) {
            continue;
        }
        done.push(id);
        let edits: Vec<_> = changes
            .iter()
            .filter_map(|other| match other {
                Change::Subnet(own, field, value) if own == id => Some((*field, value)),
                _ => None,
            })
            .collect();
        let resource = inventory.find(id).ok_or_else(|| format!("no document describes {}", label(id)))?;
        to.add(Target::of(&resource.id), whole(resource, inventory, &edits)?);
    }
    Ok(())
}

fn whole(subnet: &Resource, inventory: &Inventory, edits: &[(&str, &Value)]) -> Result<Value, String> {
    let what = subnet.label();
    if let Some(doubt) = &subnet.doubt {
        return Err(format!("whether {what} exists depends on {doubt}"));
    }
    if !is_placed(&subnet.id) {
        return Err(format!("no document tells the resource group of {what}"));
    }
    let mut properties = Map::new();
    for member in subnet.value.as_object().into_iter().flatten() {
        if NOT_WRITTEN.iter().any(|own| own.eq_ignore_ascii_case(&member.key)) {
            continue;
        }
        let known = PROPERTIES.iter().find(|(own, _)| own.eq_ignore_ascii_case(&member.key));
        let Some(&(name, form)) = known else {
            return Err(format!(
                "`{}` of {what} could be lost: it is a setting that is not known here",
                member.key
            ));
        };
        if edits.iter().all(|(own, _)| *own != name) {
            properties.insert(name.to_owned(), written(member, form, &what)?);
        }
    }
    for (name, value) in edits.iter().filter(|(_, value)| !value.is_null()) {
        properties.insert((*name).to_owned(), (*value).clone());
    }
    for (kind, name) in BACK_REFERRING {
        if !properties.contains_key(name)
            && let Some(other) = back_referring(inventory, kind, &subnet.id)
        {
            properties.insert(name.to_owned(), json!({ "id": complete(other.id.as_str(), &what, name)? }));
        }
    }
    singular(&mut properties).ok_or_else(|| format!("no document tells the address prefix of {what}"))?;
    let names: Vec<_> = subnet.id.names().collect();
    Ok(json!({
        "type": SUBNETS,
        "apiVersion": API_VERSION,
        "name": names.join("/"),
        "properties": properties,
    }))
}

/// One prefix is written as one; none is none.
fn singular(properties: &mut Map<String, Value>) -> Option<()> {
    let prefixes = properties.get("addressPrefixes")?.as_array()?.clone();
    if let [only] = prefixes.as_slice() {
        properties.remove("addressPrefixes");
        properties.shift_insert(0, "addressPrefix".to_owned(), only.clone());
    }
    (!prefixes.is_empty()).then_some(())
}

fn back_referring<'a>(inventory: &'a Inventory, kind: &str, subnet: &ResourceId) -> Option<&'a Resource> {
    let refers = |other: &&Resource| {
        let list = field(&other.value, "subnets").and_then(Told::as_array).unwrap_or_default();
        list.iter().any(|item| {
            let id = field(item, "id").and_then(Told::as_str).and_then(|id| ResourceId::parse(id).ok());
            id.is_some_and(|id| id == *subnet)
        })
    };
    inventory.of_type(kind).find(refers)
}

fn written(member: &Member, form: Form, what: &str) -> Result<Value, String> {
    let (name, value) = (member.key.as_str(), &member.value);
    match form {
        Form::Plain => plain(value, what, name),
        Form::Id => reference(value, what, name),
        Form::Ids => items(value, what, name)?.iter().map(|item| reference(item, what, name)).collect(),
        Form::Delegations => items(value, what, name)?
            .iter()
            .enumerate()
            .map(|(at, item)| {
                let service = text(item, "serviceName", what, name)?;
                let own = field(item, "name").and_then(Told::as_str);
                let own = own.map_or_else(|| format!("delegation-{at}"), literal);
                Ok(json!({ "name": own, "properties": { "serviceName": service } }))
            })
            .collect(),
        Form::Endpoints => items(value, what, name)?.iter().map(|item| endpoint(item, what, name)).collect(),
    }
}

/// A service endpoint: its service, and the regions and address that it is limited to.
fn endpoint(item: &Told, what: &str, name: &str) -> Result<Value, String> {
    let mut endpoint = json!({ "service": text(item, "service", what, name)? });
    if let Some(locations) = field(item, "locations") {
        endpoint["locations"] = plain(locations, what, name)?;
    }
    if let Some(address) = field(item, "networkIdentifier") {
        endpoint["networkIdentifier"] = reference(address, what, name)?;
    }
    Ok(endpoint)
}

fn unknown(what: &str, name: &str, because: &str) -> String {
    format!("`{name}` of {what} could be lost: it is not known, because of {because}")
}

fn items<'v>(value: &'v Told, what: &str, name: &str) -> Result<&'v [Told], String> {
    value.as_array().ok_or_else(|| unknown(what, name, value.unknown_because().unwrap_or(value.describe())))
}

fn text(item: &Told, key: &str, what: &str, name: &str) -> Result<String, String> {
    match field(item, key) {
        Some(Told { kind: Kind::String(text), .. }) => Ok(literal(text)),
        Some(other) => Err(unknown(what, name, other.unknown_because().unwrap_or(other.describe()))),
        None => Err(unknown(what, name, item.unknown_because().unwrap_or(&format!("a missing `{key}`")))),
    }
}

fn reference(value: &Told, what: &str, name: &str) -> Result<Value, String> {
    let id = text(value, "id", what, name)?;
    Ok(json!({ "id": complete(&id, what, name)? }))
}

/// An id that is known whole.
fn complete(id: &str, what: &str, name: &str) -> Result<String, String> {
    let parsed = ResourceId::parse(id).ok().filter(|id| !id.as_str().contains(['*', '{']));
    parsed.map(|_| id.to_owned()).ok_or_else(|| unknown(what, name, &format!("the id {id}")))
}

fn plain(value: &Told, what: &str, name: &str) -> Result<Value, String> {
    Ok(match &value.kind {
        Kind::String(text) => json!(literal(text)),
        Kind::Bool(flag) => json!(flag),
        Kind::Array(items) => {
            items.iter().map(|item| plain(item, what, name)).collect::<Result<_, _>>().map(Value::Array)?
        }
        Kind::Unknown(because) => return Err(unknown(what, name, because)),
        _ => return Err(unknown(what, name, value.describe())),
    })
}
