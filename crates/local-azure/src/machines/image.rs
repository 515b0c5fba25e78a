//! What a machine boots.

use std::path::PathBuf;

use image_template::region_slug;
use serde_json::Value;

use crate::call::Call;
use crate::compute::LOCAL_FILE;
use crate::error::ArmError;
use crate::images;
use crate::store::Row;

/// A disk that a build of this endpoint made, and how it is booted.
#[derive(Debug)]
pub(crate) struct Image {
    pub file: PathBuf,
    /// Bytes of the machine's disk, where it says how many.
    pub disk: Option<u64>,
    /// Whether the firmware refuses unsigned boot loaders.
    pub secure_boot: bool,
}

/// The image that a machine names; none when it is one of the marketplace, or it names a disk.
pub(crate) fn of_machine(call: &Call<'_>, machine: &str, body: &Value) -> Result<Option<Image>, ArmError> {
    let properties = &body["properties"];
    let Some(id) = properties["storageProfile"]["imageReference"]["id"].as_str() else { return Ok(None) };
    let key = id.to_ascii_lowercase();
    let of_gallery = key.contains("/galleries/");
    let missing = || {
        let code = if of_gallery { "GalleryImageNotFound" } else { "ImageNotFound" };
        ArmError::not_found(code, format!("The image {id} is not there."))
    };
    let latest = if of_gallery && !key.contains("/versions/") {
        format!("{id}/versions/latest")
    } else {
        id.to_owned()
    };
    let found = call.azure.store.read(|connection| images::version(connection, &latest))?;
    let row = found.ok_or_else(missing)?;
    let action = if of_gallery {
        "Microsoft.Compute/galleries/images/versions/read"
    } else {
        "Microsoft.Compute/images/read"
    };
    let own = ("Microsoft.Compute/virtualMachines/write", machine);
    call.azure.require_linked(call.caller()?, own, (action, id))?;
    require_region(&row.body, body["location"].as_str().unwrap_or_default(), of_gallery)?;
    let trusted = properties["securityProfile"]["securityType"] == "TrustedLaunch";
    if trusted {
        require_trusted(call, &row, of_gallery)?;
    }
    let disk = properties["storageProfile"]["osDisk"]["diskSizeGB"].as_u64().map(|gib| gib << 30);
    let secure_boot = trusted && properties["securityProfile"]["uefiSettings"]["secureBootEnabled"] == true;
    let file = row.body["properties"][LOCAL_FILE].as_str();
    Ok(file.map(|file| Image { file: PathBuf::from(file), disk, secure_boot }))
}

fn require_region(image: &Value, location: &str, of_gallery: bool) -> Result<(), ArmError> {
    let location = region_slug(location);
    let id = image["id"].as_str().unwrap_or_default();
    if !of_gallery {
        let own = region_slug(image["location"].as_str().unwrap_or_default());
        if own == location {
            return Ok(());
        }
        let message = format!("The image {id} is in {own}, and the machine is to be in {location}.");
        return Err(ArmError::bad("InvalidParameter", message));
    }
    let regions = image["properties"]["publishingProfile"]["targetRegions"].as_array();
    let mut names = regions.into_iter().flatten().filter_map(|region| region["name"].as_str());
    if names.any(|name| region_slug(name) == location) {
        return Ok(());
    }
    let message = format!("The gallery image {id} is not available in {location} region.");
    Err(ArmError::not_found("GalleryImageNotFound", message))
}

/// A managed image cannot have Trusted Launch, and a definition says whether its versions can.
fn require_trusted(call: &Call<'_>, image: &Row, of_gallery: bool) -> Result<(), ArmError> {
    let definition = image.key.split("/versions/").next().unwrap_or_default();
    let row = call.azure.store.read(|connection| Row::find(connection, definition))?.filter(|_| of_gallery);
    let body = row.map(|row| row.body).unwrap_or_default();
    let mut features = body["properties"]["features"].as_array().into_iter().flatten();
    let is_trusted = |feature: &Value| {
        feature["name"] == "SecurityType"
            && feature["value"].as_str().is_some_and(|value| value.starts_with("TrustedLaunch"))
    };
    if features.any(is_trusted) {
        return Ok(());
    }
    let message = "Use of TrustedLaunch setting is not supported for the provided image. Please select Trusted Launch \
                   Supported Gen2 OS Image.";
    Err(ArmError::bad("BadRequest", message))
}
