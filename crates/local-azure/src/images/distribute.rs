//! Placing a finished image: into a container, as a managed image, as a version in a gallery.

use std::fs;
use std::path::{Path, PathBuf};

use image_template::{
    Distribute, ImageTemplate, Regions, ReplicationMode, SharedImage, StorageAccountType, Tags, Versioning,
};
use rusqlite::Connection;
use serde_json::{Value, json};
use uuid::Uuid;

use super::needs::principal;
use super::outputs::{self, Artifact};
use super::provision::Refusal;
use super::sources;
use super::template::Kept;
use crate::error::ArmError;
use crate::store::{ALL, Row};
use crate::{LocalAzure, blobs, compute};

/// The type of a managed image.
const IMAGE: &str = "Microsoft.Compute/images";
/// The type of a version in a gallery.
const VERSION: &str = "Microsoft.Compute/galleries/images/versions";

/// Places an image at every target of its template, in their order; the first that fails fails the run.
pub(crate) fn all(
    azure: &LocalAzure,
    kept: &Kept,
    template: &ImageTemplate,
    (account, run): (&str, &str),
    image: &Path,
) -> Result<(), Refusal> {
    let id = kept.row.body["id"].as_str().unwrap_or_default();
    for target in &template.distribute {
        let artifact = match target {
            Distribute::Vhd { uri, .. } => {
                match uri.as_ref().map(image_template::Text::as_str).filter(|uri| !uri.is_empty()) {
                    Some(uri) => own_blob(azure, template, uri, image)?,
                    None => vhd(azure, (account, run), kept, image)?,
                }
            }
            Distribute::ManagedImage { image_id, location, artifact_tags, .. } => {
                managed_image(azure, image_id.as_str(), location.as_str(), artifact_tags, image)?
            }
            Distribute::SharedImage(shared) => gallery_version(azure, template, shared, image)?,
        };
        let name = target.run_output_name().as_str();
        azure.store.write(|transaction| outputs::put(transaction, id, name, &artifact))?;
    }
    Ok(())
}

/// One more name for a file, so that each target keeps its own.
fn link(from: &Path, to: &Path) -> Result<(), Refusal> {
    let failed =
        |error: std::io::Error| Refusal::new("ServerError", format!("cannot place the image: {error}"));
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    fs::hard_link(from, to).map_err(failed)
}

fn vhd(
    azure: &LocalAzure,
    (account, run): (&str, &str),
    kept: &Kept,
    image: &Path,
) -> Result<Artifact, Refusal> {
    let name = kept.row.body["name"].as_str().unwrap_or("image");
    let blob = format!("{name}_{}.vhd", run.chars().take(8).collect::<String>());
    let folder = azure.container(account, "vhds").map_err(ArmError::from)?;
    link(image, &folder.join(&blob))?;
    Ok(Artifact::Uri(outputs::blob(account, "vhds", &blob)))
}

/// A blob of an account of this endpoint, which the identity or a signature has to be let write
/// (azure-image-builder.md 1.9, 5.3).
fn own_blob(
    azure: &LocalAzure,
    template: &ImageTemplate,
    uri: &str,
    image: &Path,
) -> Result<Artifact, Refusal> {
    let refused = |why: String| {
        let uri = sources::without_signature(uri);
        Refusal::new("BadDistributeType", format!("the VHD target's uri {uri} cannot be written: {why}"))
    };
    if !sources::is_local(uri) {
        return Err(refused("its account is not one of this endpoint".to_owned()));
    }
    let identity = template.identity.as_ref().map_or("", |identity| identity.user_assigned.as_str());
    let written = principal(azure, identity).and_then(|object| blobs::service::write(azure, uri, &object));
    let (target, file) = written.map_err(|error| refused(format!("{}: {}", error.code, error.message)))?;
    link(image, &file)?;
    Ok(Artifact::Uri(outputs::blob(&target.account, &target.container, &target.blob)))
}

/// Where an image's own copy is kept.
fn keep(azure: &LocalAzure, image: &Path) -> Result<(PathBuf, u64), Refusal> {
    let file = azure.folder.join("images").join(format!("{}.vhd", Uuid::new_v4()));
    link(image, &file)?;
    let bytes = fs::metadata(&file).map_or(0, |meta| meta.len());
    Ok((file, bytes.div_ceil(1 << 30)))
}

fn tags(tags: &Tags) -> Value {
    tags.iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The spelled name of a resource's group, which has to be there.
fn require_group(connection: &Connection, id: &str) -> Result<(), Refusal> {
    let group: Vec<&str> = id.split('/').take(5).collect();
    let group = group.join("/");
    match Row::find(connection, &group.to_ascii_lowercase())? {
        Some(_) => Ok(()),
        None => Err(Refusal::new(
            "BadDistributeType",
            format!("the resource group {group} of a target does not exist"),
        )),
    }
}

fn managed_image(
    azure: &LocalAzure,
    id: &str,
    location: &str,
    own_tags: &Tags,
    image: &Path,
) -> Result<Artifact, Refusal> {
    let location = image_template::region_slug(location);
    let (file, gib) = keep(azure, image)?;
    let body = json!({
        "id": id, "name": id.rsplit('/').next(), "type": IMAGE, "location": location, "tags": tags(own_tags),
        "properties": {
            "provisioningState": "Succeeded", "hyperVGeneration": "V2",
            "storageProfile": { "osDisk": {
                "osType": "Linux", "osState": "Generalized", "diskSizeGB": gib, "caching": "ReadWrite",
                "storageAccountType": "Standard_LRS",
            }, "dataDisks": [], "zoneResilient": false },
            compute::LOCAL_FILE: file,
        },
    });
    let placed = azure.store.write(|transaction| {
        if let Err(refusal) = require_group(transaction, id) {
            return Ok(Err(refusal));
        }
        if let Some(old) = Row::find(transaction, &id.to_ascii_lowercase())? {
            let there = old.body["location"].as_str().unwrap_or_default();
            if there != location {
                let message = format!("the image {id} exists in {there}, and the target is in {location}");
                return Ok(Err(Refusal::new("BadDistributeType", message)));
            }
        }
        Row::put(transaction, &body)?;
        Ok(Ok(()))
    })?;
    if placed.is_err() {
        let _ = fs::remove_file(&file);
    }
    placed.map(|()| Artifact::Id(id.to_owned()))
}

fn gallery_version(
    azure: &LocalAzure,
    template: &ImageTemplate,
    shared: &SharedImage,
    image: &Path,
) -> Result<Artifact, Refusal> {
    let (file, gib) = keep(azure, image)?;
    let placed = azure.store.write(|transaction| Ok(publish(transaction, template, shared, (&file, gib))))?;
    if placed.is_err() {
        let _ = fs::remove_file(&file);
    }
    placed.map(Artifact::Id)
}

fn publish(
    connection: &Connection,
    template: &ImageTemplate,
    shared: &SharedImage,
    (file, gib): (&Path, u64),
) -> Result<String, Refusal> {
    let bad = |message: String| Refusal::new("BadSharedImageDistribute", message);
    let id = shared.gallery_image_id.as_str();
    let (definition, explicit) = match id.to_ascii_lowercase().find("/versions/") {
        Some(at) => (&id[..at], Some(id[at + "/versions/".len()..].to_owned())),
        None => (id, None),
    };
    let Some(row) = Row::find(connection, &definition.to_ascii_lowercase())? else {
        return Err(bad(format!("the image definition {definition} does not exist")));
    };
    let generation = row.body["properties"]["hyperVGeneration"].as_str().unwrap_or("V1");
    if generation != "V2" {
        return Err(bad(format!(
            "the image definition {definition} is of generation {generation}, and the image of V2"
        )));
    }
    let there = Row::of_type(connection, &VERSION.to_ascii_lowercase(), definition, None, ALL)?;
    let there: Vec<String> =
        there.rows.iter().filter_map(|row| row.body["name"].as_str().map(str::to_owned)).collect();
    let version = match explicit {
        Some(version) if there.contains(&version) => {
            return Err(bad(format!("the version {version} of {definition} exists already")));
        }
        Some(version) => version,
        None => next_version(shared.versioning, &there, jiff::Timestamp::now().as_second()).map_err(bad)?,
    };
    let spelled = row.body["id"].as_str().unwrap_or(definition);
    let id = format!("{spelled}/versions/{version}");
    let body = json!({
        "id": id, "name": version, "type": VERSION, "tags": tags(&shared.artifact_tags),
        "location": row.body["location"],
        "properties": {
            "provisioningState": "Succeeded",
            "publishingProfile": {
                "targetRegions": regions(template, &shared.regions), "excludeFromLatest": shared.exclude_from_latest,
                "publishedDate": jiff::Timestamp::now().to_string(),
                "replicationMode": if shared.replication_mode == ReplicationMode::Shallow { "Shallow" } else { "Full" },
            },
            "storageProfile": { "osDiskImage": { "sizeInGB": gib, "hostCaching": "ReadWrite" } },
            compute::LOCAL_FILE: file,
        },
    });
    Row::put(connection, &body)?;
    Ok(id)
}

fn regions(template: &ImageTemplate, regions: &Regions) -> Value {
    let region = |name: &str, count: u32, storage: Option<StorageAccountType>| {
        let storage = match storage {
            Some(StorageAccountType::StandardZrs) => "Standard_ZRS",
            Some(StorageAccountType::PremiumLrs) => "Premium_LRS",
            _ => "Standard_LRS",
        };
        json!({ "name": name, "regionalReplicaCount": count, "storageAccountType": storage })
    };
    match regions {
        Regions::Unspecified => json!([region(template.location.as_str(), 1, None)]),
        Regions::Target(all) => {
            all.iter().map(|one| region(one.name.as_str(), one.replica_count, one.storage)).collect()
        }
        Regions::Replication { names, storage } => {
            names.iter().map(|name| region(name.as_str(), 1, *storage)).collect()
        }
    }
}

/// A version number that sorts.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let all = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(all)
}

/// The number of the next version. The schemes are the service's (azure-image-builder.md 1.9); where a definition is empty
/// only `Latest` with a major version is documented, and begins with its `.0.0`.
fn next_version(versioning: Option<Versioning>, there: &[String], now: i64) -> Result<String, String> {
    let all = there.iter().filter_map(|version| numbers(version));
    let written = |[major, minor, patch]: [u64; 3]| format!("{major}.{minor}.{patch}");
    match versioning {
        Some(Versioning::Latest { major: None }) => {
            Ok(all.max().map_or_else(|| "0.0.1".to_owned(), |[major, minor, patch]| written([major, minor, patch + 1])))
        }
        Some(Versioning::Latest { major: Some(major) }) => {
            let major = u64::from(major);
            let highest = all.filter(|version| version[0] == major).max();
            Ok(highest.map_or_else(|| written([major, 0, 0]), |[_, minor, patch]| written([major, minor, patch + 1])))
        }
        Some(Versioning::Source) => {
            Err("versioning by source needs the exact version of a platform image, which a local base does not have".to_owned())
        }
        // The old scheme: `0.<number>.<number>`, rising with time.
        None => Ok(format!("0.{}.{}", now / 86_400, now % 86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_the_schemes_of_the_service() {
        let there: Vec<String> =
            ["0.1.1", "0.1.2", "1.0.0", "1.0.1", "1.1.0", "1.1.1", "1.2.0", "2.0.0", "2.0.1", "2.1.0"]
                .into_iter()
                .map(str::to_owned)
                .collect();
        let latest = |major| next_version(Some(Versioning::Latest { major }), &there, 0);
        assert_eq!(latest(None).as_deref(), Ok("2.1.1"));
        assert_eq!(latest(Some(2)).as_deref(), Ok("2.1.1"));
        assert_eq!(latest(Some(1)).as_deref(), Ok("1.2.1"));
        assert_eq!(latest(Some(0)).as_deref(), Ok("0.1.3"));
        let empty = next_version(Some(Versioning::Latest { major: Some(1) }), &[], 0);
        assert_eq!(empty.as_deref(), Ok("1.0.0"));
        assert_eq!(next_version(None, &there, 86_400 * 20_000 + 5).as_deref(), Ok("0.20000.5"));
    }
}
