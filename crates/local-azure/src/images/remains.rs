//! What a failed run leaves when its template asks for it: the build machine stays in the staging group
//! (`errorHandling`, azure-image-builder.md 1.3). Nothing runs here any more; the machine is a folder with the files that
//! the failed step or validator changed.

use std::path::Path;

use rusqlite::Transaction;
use serde_json::json;

use super::staging;
use super::template::Kept;
use crate::compute::{LOCAL_FOLDER, MACHINE};
use crate::error::ArmError;
use crate::store::{ALL, Row};
use crate::{LocalAzure, generic};

/// Keeps a folder as the build machine of a run; its id.
pub(crate) fn keep(azure: &LocalAzure, kept: &Kept, run: &str, folder: &Path) -> Result<String, ArmError> {
    let (group, _) =
        staging::place(&kept.row.body).ok_or_else(|| ArmError::internal("a template without a place"))?;
    let name: String = "pkrvm".chars().chain(run.chars().filter(|c| *c != '-').take(10)).collect();
    let id = format!("{group}/providers/{MACHINE}/{name}");
    let body = json!({
        "id": id, "name": name, "type": MACHINE, "location": kept.location(),
        "tags": { "createdBy": "AzureVMImageBuilder" },
        "properties": { "provisioningState": "Succeeded", LOCAL_FOLDER: folder },
    });
    azure.store.write(|transaction| Row::put(transaction, &body).map(|_| ()))?;
    Ok(id)
}

/// Removes what earlier runs of a template left.
pub(crate) fn remove(
    azure: &LocalAzure,
    transaction: &Transaction<'_>,
    template: &Row,
) -> Result<(), ArmError> {
    let Some((group, _)) = staging::place(&template.body) else { return Ok(()) };
    let machines = Row::of_type(transaction, &MACHINE.to_ascii_lowercase(), &group, None, ALL)?.rows;
    let left = machines.iter().filter(|row| row.body["properties"][LOCAL_FOLDER].is_string());
    left.into_iter().try_for_each(|row| generic::remove(azure, transaction, row))
}
