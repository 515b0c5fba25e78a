//! The staging resource group of a template: its life, its tags, and the storage account in it
//! (azure-image-builder.md 1.10).

use image_template::ImageTemplate;
use rusqlite::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use super::needs::principal;
use super::provision::Refusal;
use super::template::Kept;
use crate::error::ArmError;
use crate::store::{ALL, Row};
use crate::{LocalAzure, generic, groups, roles};

/// Tags that say whose a group is.
const TEMPLATE_TAG: &str = "imageTemplateName";
const GROUP_TAG: &str = "imageTemplateResourceGroupName";

/// The group that a template works in, and the name of the storage account there.
pub(crate) fn place(body: &Value) -> Option<(String, String)> {
    let id = body["properties"]["exactStagingResourceGroup"].as_str()?.to_owned();
    let account = account_of(body["id"].as_str()?, &id);
    Some((id, account))
}

/// 24 letters and digits that follow from template and group.
fn account_of(template: &str, group: &str) -> String {
    let name = format!("{template} {group}").to_ascii_lowercase();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).simple().to_string().chars().take(24).collect()
}

/// Makes the group of a template, or takes the one that it names, and an account with the containers of the service.
pub(crate) fn make(azure: &LocalAzure, kept: &Kept, template: &ImageTemplate) -> Result<(), Refusal> {
    let identity =
        template.identity.as_ref().map(|identity| identity.user_assigned.as_str()).unwrap_or_default();
    let object = principal(azure, identity)?;
    azure.store.write(|transaction| {
        let Some(mut row) = Row::find(transaction, &kept.row.key)? else { return Ok(Ok(())) };
        let group = match group(azure, transaction, &row, template)? {
            Ok(group) => group,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let id = group["id"].as_str().unwrap_or_default().to_owned();
        Row::put(transaction, &group)?;
        let made = group["tags"]["createdBy"].is_string();
        if made {
            Row::put(transaction, &roles::contributor(&azure.subscription(), &id, &object))?;
        }
        row.body["properties"]["exactStagingResourceGroup"] = id.clone().into();
        let (_, account) =
            place(&row.body).ok_or_else(|| ArmError::internal("a template without a place"))?;
        Row::put(transaction, &storage(&id, &account, template))?;
        Row::put(transaction, &row.body)?;
        Ok(Ok(()))
    })??;
    let row = azure.store.read(|connection| Row::find(connection, &kept.row.key))?;
    if let Some((_, account)) = row.and_then(|row| place(&row.body)) {
        for container in ["packerlogs", "vhds"] {
            azure.container(&account, container).map_err(ArmError::from)?;
        }
    }
    Ok(())
}

/// The group as it is kept from now on, or why it cannot be taken.
fn group(
    azure: &LocalAzure,
    transaction: &Transaction<'_>,
    row: &Row,
    template: &ImageTemplate,
) -> Result<Result<Value, Refusal>, ArmError> {
    let own_group =
        row.body["id"].as_str().unwrap_or_default().split('/').nth(4).unwrap_or_default().to_owned();
    let name = row.body["name"].as_str().unwrap_or_default().to_owned();
    let location = template.location.as_str();
    let given = template.staging_resource_group.as_ref().map(|id| id.as_str().to_owned());
    let id = given.clone().unwrap_or_else(|| {
        let guid = Uuid::new_v4();
        let short = |text: &str| text.chars().take(20).collect::<String>();
        format!("{}/resourceGroups/IT_{}_{}_{guid}", azure.subscription(), short(&own_group), short(&name))
    });
    let bad = |why: String| {
        Ok(Err(Refusal::new("BadStagingResourceGroup", format!("The staging resource group {id} {why}."))))
    };
    if !id
        .to_ascii_lowercase()
        .starts_with(&format!("{}/resourcegroups/", azure.subscription().to_ascii_lowercase()))
    {
        return bad("is not in the subscription of the template".to_owned());
    }
    let old = Row::find(transaction, &id.to_ascii_lowercase())?;
    let mut tags = old.as_ref().map_or_else(|| json!({}), |old| old.body["tags"].clone());
    if !tags.is_object() {
        tags = json!({});
    }
    if let Some(old) = &old {
        let there = old.body["location"].as_str().unwrap_or_default();
        if image_template::region_slug(there) != image_template::region_slug(location) {
            return bad(format!("is in {there}, and the template in {location}"));
        }
        let owner = (tags[TEMPLATE_TAG].as_str(), tags[GROUP_TAG].as_str());
        if owner.0.is_some_and(|own| own != name)
            || owner.1.is_some_and(|own| !own.eq_ignore_ascii_case(&own_group))
        {
            return bad(format!("is used by the template {}", owner.0.unwrap_or_default()));
        }
        let inside = Row::within(transaction, &old.key, None, ALL)?;
        if inside.rows.iter().any(|row| row.body["type"] != "Microsoft.Authorization/roleAssignments") {
            return bad("is not empty".to_owned());
        }
    }
    for (tag, value) in &template.managed_resource_tags {
        tags[tag] = value.as_str().into();
    }
    tags[if old.is_some() { "usedBy" } else { "createdBy" }] = "AzureVMImageBuilder".into();
    tags[TEMPLATE_TAG] = name.into();
    tags[GROUP_TAG] = own_group.into();
    let group = id.rsplit('/').next().unwrap_or_default();
    let body = groups::body(&id, group, &json!({ "location": location, "tags": tags }), None)?;
    Ok(Ok(body))
}

fn storage(group: &str, account: &str, template: &ImageTemplate) -> Value {
    json!({
        "id": format!("{group}/providers/Microsoft.Storage/storageAccounts/{account}"), "name": account,
        "type": "Microsoft.Storage/storageAccounts", "kind": "StorageV2", "sku": { "name": "Standard_LRS", "tier": "Standard" },
        "location": image_template::region_slug(template.location.as_str()), "tags": { "createdBy": "AzureVMImageBuilder" },
        "properties": { "provisioningState": "Succeeded", "creationTime": jiff::Timestamp::now().to_string() },
    })
}

/// Removes the group of a template that the service made; of one that was brought, what is inside.
pub(crate) fn remove(
    azure: &LocalAzure,
    transaction: &Transaction<'_>,
    template: &Row,
) -> Result<(), ArmError> {
    let Some((id, account)) = place(&template.body) else { return Ok(()) };
    let Some(group) = Row::find(transaction, &id.to_ascii_lowercase())? else { return Ok(()) };
    let storage = format!("{}/providers/microsoft.storage/storageaccounts/{account}", group.key);
    if group.body["tags"]["createdBy"].is_string() {
        generic::remove(azure, transaction, &group)?;
    } else {
        super::remains::remove(azure, transaction, template)?;
        Row::remove(transaction, &storage)?;
        let mut body = group.body.clone();
        if let Some(tags) = body["tags"].as_object_mut() {
            tags.retain(|tag, _| !["usedBy", TEMPLATE_TAG, GROUP_TAG].contains(&tag.as_str()));
        }
        Row::put(transaction, &body)?;
    }
    azure.remove_account(&account).map_err(ArmError::from)
}
