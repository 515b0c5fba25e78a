//! What a template builds on (azure-image-builder.md 1.4): a distribution's packages for an image of the Marketplace, or
//! the disk that an earlier build of this endpoint has made.

use std::path::Path;

use build_engine::base::GivenBase;
use image_template::{ImageTemplate, Source, region_slug};
use rusqlite::Connection;
use serde_json::Value;

use super::distribute::{VERSION, numbers};
use super::provision::Refusal;
use crate::LocalAzure;
use crate::compute::{LOCAL_CONTENT, LOCAL_FILE};
use crate::error::ArmError;
use crate::store::{ALL, Row};

/// A source as it is at a moment.
pub(crate) struct Resolved {
    /// The disk; none for an image of the Marketplace.
    pub base: Option<GivenBase>,
    /// Its version, where it has an exact one.
    pub version: Option<String>,
}

/// Finds a template's source; `latest` is what it is now.
pub(crate) fn resolve(azure: &LocalAzure, template: &ImageTemplate) -> Result<Resolved, Refusal> {
    let region = region_slug(template.location.as_str());
    match &template.source {
        Source::PlatformImage { version, .. } => {
            let exact = Some(version.as_str()).filter(|version| !version.eq_ignore_ascii_case("latest"));
            Ok(Resolved { base: None, version: exact.map(str::to_owned) })
        }
        Source::ManagedImage { image_id } => {
            let bad = |why: String| {
                Refusal::new("BadManagedImageSource", format!("The source image {image_id} {why}."))
            };
            let row =
                azure.store.read(|connection| Row::find(connection, &image_id.as_str().to_ascii_lowercase()));
            let row = row?.ok_or_else(|| bad("does not exist".to_owned()))?;
            let there = region_slug(row.body["location"].as_str().unwrap_or_default());
            if there != region {
                return Err(bad(format!("is in {there}, and the template in {region}")));
            }
            Ok(Resolved { base: Some(disk(&row.body).map_err(bad)?), version: None })
        }
        Source::SharedImageVersion { image_version_id: id } => {
            let bad = |why: String| {
                Refusal::new("BadSharedImageVersionSource", format!("The source version {id} {why}."))
            };
            let row = azure.store.read(|connection| version(connection, id.as_str()))?;
            let row = row.ok_or_else(|| bad("does not exist".to_owned()))?;
            let regions = row.body["properties"]["publishingProfile"]["targetRegions"].as_array();
            let mut names = regions.into_iter().flatten().filter_map(|region| region["name"].as_str());
            if !names.any(|name| region_slug(name) == region) {
                return Err(bad(format!("is not replicated to the template's region {region}")));
            }
            let name = row.body["name"].as_str().map(str::to_owned);
            Ok(Resolved { base: Some(disk(&row.body).map_err(bad)?), version: name })
        }
    }
}

/// A version by its id; for `latest` the highest that is not kept out of it.
pub(crate) fn version(connection: &Connection, id: &str) -> Result<Option<Row>, ArmError> {
    let key = id.to_ascii_lowercase();
    let Some(definition) = key.strip_suffix("/versions/latest") else { return Row::find(connection, &key) };
    let all = Row::of_type(connection, &VERSION.to_ascii_lowercase(), definition, None, ALL)?.rows;
    let counts =
        |row: &Row| row.body["properties"]["publishingProfile"]["excludeFromLatest"] != Value::Bool(true);
    let number = |row: &Row| row.body["name"].as_str().and_then(numbers);
    Ok(all.into_iter().filter(counts).max_by_key(number))
}

/// The disk of an image or version, as its build described it.
fn disk(body: &Value) -> Result<GivenBase, String> {
    let properties = &body["properties"];
    match (properties[LOCAL_FILE].as_str(), properties[LOCAL_CONTENT].as_str()) {
        (Some(file), Some(content)) => GivenBase::made(Path::new(file), content)
            .map_err(|error| format!("cannot be built on: {}", error.with_causes())),
        _ => Err("has no disk here (localFile): only what a build of this endpoint made can be built on"
            .to_owned()),
    }
}
