//! Images and galleries, and the platform images that builds can start from.

use std::path::Path;

use http::StatusCode;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::store::Row;
use crate::transport::Response;
use crate::types::{Edit, Removal};

/// Platform images that the engine can always make a base for: publisher, offer, sku, and in place of a version, since a
/// base is made of the distribution's packages as they are now, zeroes.
const PLATFORM: [(&str, &str, &str, &str); 2] =
    [("Debian", "debian-12", "12-gen2", "0.0.0"), ("Debian", "debian-13", "13-gen2", "0.0.0")];

/// An image definition has to say what the service asks for.
pub(crate) fn definition(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    let properties = &edit.new["properties"];
    for field in ["publisher", "offer", "sku"] {
        if properties["identifier"][field].as_str().is_none_or(str::is_empty) {
            let message =
                format!("Required parameter 'galleryImage.properties.identifier.{field}' is missing (null).");
            return Err(ArmError::bad("InvalidParameter", message));
        }
    }
    for (field, allowed) in [("osType", ["Linux", "Windows"]), ("osState", ["Generalized", "Specialized"])] {
        let fits = |text: &str| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(text));
        if !properties[field].as_str().is_some_and(fits) {
            let message = format!(
                "Required parameter 'galleryImage.properties.{field}' is missing or not one of {allowed:?}."
            );
            return Err(ArmError::bad("InvalidParameter", message));
        }
    }
    edit.new["properties"]["provisioningState"] = "Succeeded".into();
    Ok(())
}

/// The field that says which file of the endpoint an image or version is. Only builds write it: whoever could name a file
/// could have it read and deleted.
pub(crate) const LOCAL_FILE: &str = "localFile";

/// The type of machines.
pub(crate) const MACHINE: &str = "Microsoft.Compute/virtualMachines";

/// The field that says which folder of this machine a kept build machine is; written as [`LOCAL_FILE`] is.
pub(crate) const LOCAL_FOLDER: &str = "localFolder";

/// An image, a version or a machine.
pub(crate) fn made_here(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    if let Some(properties) = edit.new["properties"].as_object_mut() {
        for field in [LOCAL_FILE, LOCAL_FOLDER] {
            properties.shift_remove(field);
        }
    }
    edit.keep(&[LOCAL_FILE, LOCAL_FOLDER]);
    edit.new["properties"]["provisioningState"] = "Succeeded".into();
    Ok(())
}

/// The files of a build machine go with it.
pub(crate) fn remove_folder(removal: &Removal<'_>) -> Result<(), ArmError> {
    let Some(folder) = removal.row.body["properties"][LOCAL_FOLDER].as_str() else { return Ok(()) };
    build_engine::cache::remove_kept(Path::new(folder))
        .map_err(|error| ArmError::internal(error.with_causes()))
}

/// The file of an image goes with it.
pub(crate) fn remove_file(removal: &Removal<'_>) -> Result<(), ArmError> {
    if let Some(file) = removal.row.body["properties"][LOCAL_FILE].as_str() {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Galleries and definitions go when nothing is in them any more, unless their resource group goes.
pub(crate) fn remove_empty(removal: &Removal<'_>) -> Result<(), ArmError> {
    let key = &removal.row.key;
    if removal.going != key || Row::within(removal.transaction, key, None, 1)?.rows.is_empty() {
        return Ok(());
    }
    let message = "Can not delete resource before nested resources are deleted.";
    Err(ArmError::conflict("CannotDeleteResource", message))
}

/// The part of the catalogue that a path asks for: publishers, offers, skus or versions, as a list without an envelope.
pub(crate) fn catalogue(call: &mut Call<'_>) -> Answer {
    let wanted = ["publisher", "offer", "sku"].map(|name| call.variable(name).to_owned());
    let fits = |(publisher, offer, sku, _): &&(&str, &str, &str, &str)| {
        let own = [*publisher, *offer, *sku];
        wanted.iter().zip(own).all(|(wanted, own)| wanted.is_empty() || wanted.eq_ignore_ascii_case(own))
    };
    let level = wanted.iter().filter(|wanted| !wanted.is_empty()).count();
    let mut names: Vec<&str> = PLATFORM
        .iter()
        .filter(fits)
        .map(|(publisher, offer, sku, version)| [*publisher, *offer, *sku, *version][level])
        .collect();
    names.dedup();
    let (here, location) = (call.path.without(0), call.variable("location").to_owned());
    let values: Vec<Value> = names
        .iter()
        .map(|name| json!({ "id": format!("{here}/{name}"), "name": name, "location": location }))
        .collect();
    Ok(Response::json(StatusCode::OK, &values.into()))
}

/// One version of a platform image.
pub(crate) fn version(call: &mut Call<'_>) -> Answer {
    let own = ["publisher", "offer", "sku", "version"].map(|name| call.variable(name).to_owned());
    let fits = |(publisher, offer, sku, version): &&(&str, &str, &str, &str)| {
        own.iter()
            .zip([*publisher, *offer, *sku, *version])
            .all(|(wanted, own)| wanted.eq_ignore_ascii_case(own))
    };
    if !PLATFORM.iter().any(|one| fits(&one)) {
        return Err(ArmError::not_found("NotFound", "Artifact: VMImage was not found."));
    }
    let body = json!({
        "id": call.path.without(0), "name": own[3], "location": call.variable("location"),
        "properties": {
            "hyperVGeneration": "V2", "architecture": "x64", "osDiskImage": { "operatingSystem": "Linux" },
            "dataDiskImages": [], "plan": null, "imageDeprecationStatus": { "imageState": "Active" },
        },
    });
    Ok(Response::json(StatusCode::OK, &body))
}
