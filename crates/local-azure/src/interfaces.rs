//! Network interfaces: in a subnet, with an address of it.

use std::net::Ipv4Addr;

use http::StatusCode;
use rusqlite::{Connection, Transaction};
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::generic;
use crate::network::{Prefix, RESERVED, complete, default_rules, prefixes, subnet_prefixes};
use crate::path::Address;
use crate::store::{ALL, Row};
use crate::transport::Response;
use crate::types::{Edit, Removal};

/// The field in which a subnet tells of those in it.
pub(crate) const CONFIGURATIONS: &str = "ipConfigurations";

/// The type of network interfaces.
pub(crate) const INTERFACE: &str = "Microsoft.Network/networkInterfaces";

pub(crate) fn write(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    edit.keep(&["resourceGuid", "virtualMachine"]);
    complete(edit);
    let count = edit.new["properties"]["ipConfigurations"].as_array().map_or(0, Vec::len);
    if count == 0 {
        let message = format!("The network interface {} needs properties.ipConfigurations.", edit.name());
        return Err(ArmError::bad("InvalidRequestFormat", message));
    }
    for index in 0..count {
        let own = edit.new["properties"]["ipConfigurations"][index]["properties"].clone();
        let address = join(edit, &own)?;
        let name = edit.new["properties"]["ipConfigurations"][index]["name"].as_str().unwrap_or("ipconfig");
        let configuration = format!("{}/ipConfigurations/{name}", edit.id);
        edit.new["properties"]["ipConfigurations"][index]["id"] = configuration.clone().into();
        tell_subnet(edit.transaction, &own, &configuration, true)?;
        let own = &mut edit.new["properties"]["ipConfigurations"][index]["properties"];
        own["provisioningState"] = "Succeeded".into();
        if own["privateIPAllocationMethod"] != "Static" {
            own["privateIPAllocationMethod"] = "Dynamic".into();
            own["privateIPAddress"] = address.to_string().into();
        }
    }
    Ok(())
}

/// A subnet tells of the configurations in it.
fn tell_subnet(transaction: &Transaction<'_>, own: &Value, id: &str, is_there: bool) -> Result<(), ArmError> {
    let key = own["subnet"]["id"].as_str().unwrap_or_default().to_ascii_lowercase();
    let Some(mut subnet) = Row::find(transaction, &key)? else { return Ok(()) };
    let mut all = subnet.body["properties"][CONFIGURATIONS].as_array().cloned().unwrap_or_default();
    all.retain(|one| !one["id"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(id)));
    if is_there {
        all.push(json!({ "id": id }));
    }
    if let Some(properties) = subnet.body["properties"].as_object_mut() {
        properties.shift_remove(CONFIGURATIONS);
        if !all.is_empty() {
            properties.insert(CONFIGURATIONS.to_owned(), all.into());
        }
    }
    Row::put(transaction, &subnet.body).map(|_| ())
}

/// The address that a configuration has had, else the first free one of its subnet, which whoever asks has to be allowed to
/// join.
fn join(edit: &Edit<'_>, own: &Value) -> Result<Ipv4Addr, ArmError> {
    let id = own["subnet"]["id"].as_str().unwrap_or_default();
    let Some(subnet) = Row::find(edit.transaction, &id.to_ascii_lowercase())? else {
        let message = format!(
            "Resource {id} referenced by resource {} was not found. Please make sure that the referenced resource exists, \
             and that both resources are in the same region.",
            edit.id
        );
        return Err(ArmError::bad("InvalidResourceReference", message));
    };
    let linked = ("Microsoft.Network/virtualNetworks/subnets/join/action", id);
    edit.azure.require_linked(
        edit.writer.caller,
        ("Microsoft.Network/networkInterfaces/write", edit.id),
        linked,
    )?;
    let before = edit.old.and_then(|old| old.body["properties"]["ipConfigurations"].as_array());
    let kept =
        before.into_iter().flatten().map(|one| &one["properties"]).find(|one| one["subnet"] == own["subnet"]);
    if let Some(address) = kept.and_then(|one| one["privateIPAddress"].as_str()?.parse().ok()) {
        return Ok(address);
    }
    let mut taken = Vec::new();
    for user in Row::users(edit.transaction, &subnet.key)? {
        let user = Row::find(edit.transaction, &user)?.map(|row| row.body).unwrap_or_default();
        let addresses = user["properties"]["ipConfigurations"].as_array().into_iter().flatten();
        taken.extend(
            addresses.filter_map(|one| one["properties"]["privateIPAddress"].as_str().map(str::to_owned)),
        );
    }
    let all = prefixes(&subnet_prefixes(&subnet.body["properties"]), "a subnet")?;
    let free = |Prefix { first, last }: Prefix| {
        let usable = first.saturating_add(u32::try_from(RESERVED).unwrap_or(u32::MAX) - 1)..last;
        usable.map(Ipv4Addr::from).find(|address| !taken.contains(&address.to_string()))
    };
    all.into_iter().find_map(free).ok_or_else(|| {
        let message = format!("Subnet {id} does not have enough capacity for 1 IP addresses.");
        ArmError::bad("SubnetIsFull", message)
    })
}

/// Leaves its subnets.
pub(crate) fn leave(transaction: &Transaction<'_>, body: &Value) -> Result<(), ArmError> {
    for one in body["properties"]["ipConfigurations"].as_array().into_iter().flatten() {
        tell_subnet(transaction, &one["properties"], one["id"].as_str().unwrap_or_default(), false)?;
    }
    Ok(())
}

/// One of a machine goes after it.
pub(crate) fn remove(removal: &Removal<'_>) -> Result<(), ArmError> {
    let machine = removal.row.body["properties"]["virtualMachine"]["id"].as_str().unwrap_or_default();
    let key = machine.to_ascii_lowercase();
    if key.starts_with(&format!("{}/", removal.going)) || Row::find(removal.transaction, &key)?.is_none() {
        return leave(removal.transaction, &removal.row.body);
    }
    let message = format!(
        "Network Interface {} is used by existing resource {machine}. In order to delete the network interface, it must be \
         dissociated from the resource.",
        removal.row.body["id"].as_str().unwrap_or_default()
    );
    Err(ArmError::bad("NicInUse", message))
}

/// An interface that a machine has, and the subnet that it is in: others have no effective rules.
fn attached(call: &Call<'_>, connection: &Connection) -> Result<(Row, Option<Row>), ArmError> {
    let address = call.path.address().ok_or_else(|| ArmError::internal("no address"))?;
    let row = generic::find(connection, &Address { rest: None, ..address })?;
    if !row.body["properties"]["virtualMachine"]["id"].is_string() {
        let id = row.body["id"].as_str().unwrap_or_default();
        let message = format!("Network interface {id} is not attached to a virtual machine that runs.");
        return Err(ArmError::bad("NetworkInterfaceNotAttachedToRunningVM", message));
    }
    let subnet = row.body["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].as_str();
    let subnet = subnet.map(|id| Row::find(connection, &id.to_ascii_lowercase())).transpose()?.flatten();
    Ok((row, subnet))
}

fn joined(connection: &Connection, holder: &Row, field: &str) -> Result<Option<Row>, ArmError> {
    let id = holder.body["properties"][field]["id"].as_str();
    id.map(|id| Row::find(connection, &id.to_ascii_lowercase())).transpose().map(Option::flatten)
}

/// The rules of the groups of an interface and its subnet, with those behind them.
pub(crate) fn effective_groups(call: &mut Call<'_>) -> Answer {
    let values = call.azure.store.read(|connection| {
        let (interface, subnet) = attached(call, connection)?;
        let mut values = Vec::new();
        for (holder, kind) in
            subnet.iter().map(|row| (row, "subnet")).chain([(&interface, "networkInterface")])
        {
            let Some(group) = joined(connection, holder, "networkSecurityGroup")? else { continue };
            let id = group.body["id"].as_str().unwrap_or_default();
            let of_type = "microsoft.network/networksecuritygroups/securityrules";
            let own = Row::of_type(connection, of_type, &group.key, None, ALL)?.rows;
            let own = own.iter().map(|row| rule(&row.body, "UserRule"));
            let behind = default_rules(id);
            let behind = behind.as_array().into_iter().flatten().map(|one| rule(one, "DefaultRule"));
            values.push(json!({
                "networkSecurityGroup": { "id": id }, "association": { kind: { "id": holder.body["id"] } },
                "effectiveSecurityRules": own.chain(behind).collect::<Vec<_>>(),
            }));
        }
        Ok(values)
    })?;
    Ok(Response::json(StatusCode::OK, &json!({ "value": values })))
}

fn rule(body: &Value, kind: &str) -> Value {
    let mut rule = body["properties"].clone();
    if let Some(properties) = rule.as_object_mut() {
        properties.shift_remove("provisioningState");
    }
    rule["name"] = format!("{kind}_{}", body["name"].as_str().unwrap_or_default()).into();
    rule
}
