//! Network interfaces: in a subnet, with an address of it.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::error::ArmError;
use crate::network::{Prefix, RESERVED, complete, prefixes, subnet_prefixes};
use crate::store::Row;
use crate::types::{Edit, Removal};

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
        let own = &mut edit.new["properties"]["ipConfigurations"][index]["properties"];
        own["provisioningState"] = "Succeeded".into();
        if own["privateIPAllocationMethod"] != "Static" {
            own["privateIPAllocationMethod"] = "Dynamic".into();
            own["privateIPAddress"] = address.to_string().into();
        }
    }
    Ok(())
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

/// One of a machine goes after it.
pub(crate) fn remove(removal: &Removal<'_>) -> Result<(), ArmError> {
    let Some(machine) = removal.row.body["properties"]["virtualMachine"]["id"].as_str() else {
        return Ok(());
    };
    let key = machine.to_ascii_lowercase();
    if key.starts_with(&format!("{}/", removal.going)) || Row::find(removal.transaction, &key)?.is_none() {
        return Ok(());
    }
    let message = format!(
        "Network Interface {} is used by existing resource {machine}. In order to delete the network interface, it must be \
         dissociated from the resource.",
        removal.row.body["id"].as_str().unwrap_or_default()
    );
    Err(ArmError::bad("NicInUse", message))
}
