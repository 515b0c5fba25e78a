//! Machines: what a build of this endpoint made boots here, emulated and without a network, and runs scripts as Azure's run
//! command has them run. Machines of other images are stored.

mod command;
mod image;
mod life;

use http::StatusCode;
use rusqlite::Transaction;
use serde_json::{Value, json};

pub(crate) use command::run_command;
pub(crate) use life::Machines;

use crate::call::{Answer, Call};
use crate::compute;
use crate::error::ArmError;
use crate::interfaces::{self, INTERFACE};
use crate::lro::Operation;
use crate::path::Address;
use crate::store::{Row, Write};
use crate::transport::Response;
use crate::types::{Removal, Writer};
use crate::{LocalAzure, generic};

/// The type of disks.
pub(crate) const DISK: &str = "Microsoft.Compute/disks";

/// The provider.
const NAMESPACE: &str = "Microsoft.Compute";

/// Makes a machine; its answer comes before it has booted.
pub(crate) fn put(call: &mut Call<'_>) -> Answer {
    let address = call.path.address().ok_or_else(|| ArmError::internal("no address"))?;
    let body = call.object()?;
    let image = image::of_machine(call, &address.id(), &body)?;
    let (caller, api_version) = (call.caller()?.clone(), call.api_version());
    let writer = Writer { caller: &caller, api_version: &api_version };
    let (row, operation) = call.azure.store.write(|transaction| {
        let (mut row, write) = generic::write(call.azure, transaction, writer, &address, body)?;
        if write != Write::Created {
            return Ok((row, None));
        }
        take_interfaces(call.azure, transaction, writer, &row.body)?;
        make_disk(transaction, &address, &row.body)?;
        let Some(_) = image else { return Ok((row, None)) };
        row.body["properties"]["provisioningState"] = "Creating".into();
        row.body["properties"]["vmId"] = uuid::Uuid::new_v4().to_string().into();
        let location = image_template::region_slug(row.body["location"].as_str().unwrap_or_default());
        let (row, _) = Row::put(transaction, &row.body)?;
        let operation = Operation::start(transaction, &row.key, &location, None)?;
        Ok((row, Some(operation)))
    })?;
    let Some((operation, image)) = operation.zip(image) else {
        return Ok(Response::json(StatusCode::OK, &row.body));
    };
    call.azure.start_machine(&row.key, &operation, image)?;
    let response = Response::json(StatusCode::CREATED, &row.body);
    Ok(operation.told(&call.request, call.azure, NAMESPACE, response))
}

fn named_interfaces(body: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = body["properties"]["networkProfile"]["networkInterfaces"].as_array();
    all.into_iter().flatten().filter_map(|one| Some((one["id"].as_str()?, &one["properties"])))
}

/// Interfaces are of one machine, and whoever makes that has to be allowed to join them.
fn take_interfaces(
    azure: &LocalAzure,
    transaction: &Transaction<'_>,
    writer: Writer<'_>,
    body: &Value,
) -> Result<(), ArmError> {
    let id = body["id"].as_str().unwrap_or_default();
    for (interface, _) in named_interfaces(body) {
        let found = Row::find(transaction, &interface.to_ascii_lowercase())?;
        let Some(mut row) = found.filter(|row| row.body["type"] == INTERFACE) else {
            let message = format!("Resource {interface} referenced by resource {id} was not found.");
            return Err(ArmError::bad("InvalidResourceReference", message));
        };
        let linked = ("Microsoft.Network/networkInterfaces/join/action", interface);
        azure.require_linked(writer.caller, ("Microsoft.Compute/virtualMachines/write", id), linked)?;
        if let Some(other) = row.body["properties"]["virtualMachine"]["id"].as_str() {
            let message = format!("Network interface {interface} is already used by {other}.");
            return Err(ArmError::conflict("NetworkInterfaceInUse", message));
        }
        row.body["properties"]["virtualMachine"] = json!({ "id": id });
        Row::put(transaction, &row.body)?;
    }
    Ok(())
}

fn disk_id(machine: &str, body: &Value) -> Option<String> {
    let disk = &body["properties"]["storageProfile"]["osDisk"];
    if !disk.is_object() {
        return None;
    }
    let (group, name) = machine.split_once("/providers/")?;
    let default = format!("{}_OsDisk_1", name.rsplit('/').next().unwrap_or_default());
    Some(format!("{group}/providers/{DISK}/{}", disk["name"].as_str().unwrap_or(&default)))
}

fn make_disk(transaction: &Transaction<'_>, address: &Address, body: &Value) -> Result<(), ArmError> {
    let Some(id) = disk_id(body["id"].as_str().unwrap_or(&address.id()), body) else { return Ok(()) };
    if Row::find(transaction, &id.to_ascii_lowercase())?.is_some() {
        return Err(ArmError::conflict("ConflictingUserInput", format!("The disk {id} exists already.")));
    }
    let disk = json!({
        "id": id, "name": id.rsplit('/').next(), "type": DISK, "location": body["location"], "managedBy": body["id"],
        "tags": body["tags"],
        "properties": {
            "provisioningState": "Succeeded", "diskState": "Attached", "osType": "Linux",
            "diskSizeGB": body["properties"]["storageProfile"]["osDisk"]["diskSizeGB"],
        },
    });
    Row::put(transaction, &disk).map(|_| ())
}

/// A machine ends, and what it says that goes with it goes; the rest is let go.
pub(crate) fn remove(removal: &Removal<'_>) -> Result<(), ArmError> {
    compute::remove_folder(removal)?;
    let body = &removal.row.body;
    removal.azure.machines.end(&removal.row.key);
    for (interface, says) in named_interfaces(body) {
        let key = interface.to_ascii_lowercase();
        if says["deleteOption"] == "Delete" {
            if let Some(row) = Row::find(removal.transaction, &key)? {
                interfaces::leave(removal.transaction, &row.body)?;
            }
            Row::remove(removal.transaction, &key)?;
        } else if let Some(mut row) = Row::find(removal.transaction, &key)? {
            if let Some(properties) = row.body["properties"].as_object_mut() {
                properties.shift_remove("virtualMachine");
            }
            Row::put(removal.transaction, &row.body)?;
        }
    }
    let Some(disk) = disk_id(body["id"].as_str().unwrap_or_default(), body) else { return Ok(()) };
    let key = disk.to_ascii_lowercase();
    if body["properties"]["storageProfile"]["osDisk"]["deleteOption"] == "Delete" {
        Row::remove(removal.transaction, &key)?;
    } else if let Some(mut row) = Row::find(removal.transaction, &key)? {
        row.body["managedBy"] = Value::Null;
        Row::put(removal.transaction, &row.body)?;
    }
    Ok(())
}

/// The disk of a machine goes after it.
pub(crate) fn remove_disk(removal: &Removal<'_>) -> Result<(), ArmError> {
    let Some(machine) = removal.row.body["managedBy"].as_str() else { return Ok(()) };
    let key = machine.to_ascii_lowercase();
    if key.starts_with(&format!("{}/", removal.going)) || Row::find(removal.transaction, &key)?.is_none() {
        return Ok(());
    }
    let name = removal.row.body["name"].as_str().unwrap_or_default();
    let message = format!("Disk {name} is attached to VM {machine}.");
    Err(ArmError::conflict("OperationNotAllowed", message))
}
