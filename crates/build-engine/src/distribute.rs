//! The template's targets: the VHD itself, and for images in Azure the resource that Azure would hold.

use std::path::Path;

use image_template::{Distribute, ImageTemplate, Regions, SharedImage, StorageAccountType, Text};
use serde_json::{Value, json};

use crate::error::Result;
use crate::manifest::{Output, replace};

/// Writes what each target needs beside the VHD and returns the outputs.
///
/// # Errors
/// When a file cannot be written.
pub fn place(template: &ImageTemplate, name: &str, vhd: &str, folder: &Path) -> Result<Vec<Output>> {
    let mut outputs = Vec::new();
    for target in &template.distribute {
        let run_output_name = target.run_output_name().to_string();
        let (file, resource) = match target {
            Distribute::Vhd { .. } => (vhd.to_owned(), None),
            Distribute::ManagedImage { image_id, location, artifact_tags, .. } => {
                let resource = managed_image(image_id, location, &tags(artifact_tags), vhd);
                (format!("{}.image.json", file_stem(&run_output_name, name)), Some(resource))
            }
            Distribute::SharedImage(image) => {
                let resource = gallery_version(template, image, vhd);
                (format!("{}.gallery.json", file_stem(&run_output_name, name)), Some(resource))
            }
        };
        if let Some(resource) = resource {
            let mut text = serde_json::to_vec_pretty(&resource).unwrap_or_default();
            text.push(b'\n');
            replace(&folder.join(&file), &text)?;
        }
        let type_name = target.type_name().to_owned();
        outputs.push(Output { run_output_name: Some(run_output_name), type_name, file });
    }
    Ok(outputs)
}

/// Run output names with placeholders in them are no file names.
fn file_stem(run_output_name: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if run_output_name.chars().all(plain) { run_output_name.to_owned() } else { name.to_owned() }
}

fn tags(tags: &image_template::Tags) -> Value {
    tags.iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// `Microsoft.Compute/images` of a generation-2 Linux disk.
fn managed_image(id: &Text, location: &Text, tags: &Value, vhd: &str) -> Value {
    json!({
        "type": "Microsoft.Compute/images",
        "id": id.as_str(),
        "name": id.as_str().rsplit('/').next(),
        "location": location.as_str(),
        "tags": tags,
        "properties": {
            "hyperVGeneration": "V2",
            "storageProfile": {
                "osDisk": {
                    "osType": "Linux",
                    "osState": "Generalized",
                    "blobUri": vhd,
                    "caching": "ReadWrite"
                }
            }
        }
    })
}

/// `Microsoft.Compute/galleries/images/versions`.
fn gallery_version(template: &ImageTemplate, image: &SharedImage, vhd: &str) -> Value {
    let regions: Vec<Value> = match &image.regions {
        Regions::Unspecified => vec![region(&template.location, 1, None)],
        Regions::Target(targets) => {
            targets.iter().map(|target| region(&target.name, target.replica_count, target.storage)).collect()
        }
        Regions::Replication { names, storage } => {
            names.iter().map(|name| region(name, 1, *storage)).collect()
        }
    };
    json!({
        "type": "Microsoft.Compute/galleries/images/versions",
        "id": image.gallery_image_id.as_str(),
        "location": template.location.as_str(),
        "tags": tags(&image.artifact_tags),
        "properties": {
            "publishingProfile": {
                "targetRegions": regions,
                "excludeFromLatest": image.exclude_from_latest
            },
            "storageProfile": { "osDiskImage": { "hostCaching": "ReadWrite", "source": { "uri": vhd } } }
        }
    })
}

fn region(name: &Text, replicas: u32, storage: Option<StorageAccountType>) -> Value {
    let storage = match storage.unwrap_or(StorageAccountType::StandardLrs) {
        StorageAccountType::StandardLrs => "Standard_LRS",
        StorageAccountType::StandardZrs => "Standard_ZRS",
        StorageAccountType::PremiumLrs => "Premium_LRS",
    };
    json!({ "name": name.as_str(), "regionalReplicaCount": replicas, "storageAccountType": storage })
}
