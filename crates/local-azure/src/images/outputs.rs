//! What runs made, as `runOutputs` tells it.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::RUN_OUTPUT;
use crate::error::ArmError;
use crate::store::Row;

/// Stands for the endpoint's own address in what is kept, since that differs from start to start.
pub(crate) const OWN: &str = "local://";

/// The address of a blob, as it is kept.
pub(crate) fn blob(account: &str, container: &str, name: &str) -> String {
    format!("{OWN}{account}/{container}/{name}")
}

/// What a target came to.
pub(crate) enum Artifact {
    /// The id of a resource.
    Id(String),
    /// The address of a blob.
    Uri(String),
}

/// Writes down what a target came to; it replaces what the run before told.
pub(crate) fn put(
    connection: &Connection,
    template: &str,
    name: &str,
    artifact: &Artifact,
) -> Result<(), ArmError> {
    let mut properties = json!({ "provisioningState": "Succeeded" });
    match artifact {
        Artifact::Id(id) => properties["artifactId"] = id.clone().into(),
        Artifact::Uri(uri) => properties["artifactUri"] = uri.clone().into(),
    }
    let body = json!({
        "id": format!("{template}/runOutputs/{name}"), "name": name, "type": RUN_OUTPUT, "properties": properties,
    });
    Row::put(connection, &body).map(|_| ())
}

/// Addresses of blobs as a client of this moment reaches them.
pub(crate) fn show(origin: &str, body: &mut Value) {
    let properties = &mut body["properties"];
    if let Some(uri) = properties["artifactUri"].as_str().and_then(|uri| uri.strip_prefix(OWN)) {
        properties["artifactUri"] = format!("{origin}/{uri}").into();
    }
}
