//! Managed identities: principals that roles are assigned to.

use crate::error::ArmError;
use crate::identity::{Kind, Principal};
use crate::types::{Edit, Removal};

/// A new identity gets a principal; one that is there keeps it.
pub(crate) fn write(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    if edit.old.is_some() {
        edit.keep(&["principalId", "clientId", "tenantId"]);
        return Ok(());
    }
    let principal = Principal::make(edit.transaction, edit.name(), Kind::ManagedIdentity)?;
    let properties = &mut edit.new["properties"];
    properties["principalId"] = principal.object.into();
    properties["clientId"] = principal.client.into();
    properties["tenantId"] = edit.azure.secrets().tenant.clone().into();
    Ok(())
}

/// Its principal goes with it. Role assignments stay, as Azure's do, and grant nobody anything.
pub(crate) fn remove(removal: &Removal<'_>) -> Result<(), ArmError> {
    let object = removal.row.body["properties"]["principalId"].as_str().unwrap_or_default();
    Principal::remove(removal.transaction, object)
}
