//! Storage accounts: what clients ask of the resource manager. Blobs are in `blobs`.

use http::StatusCode;
use ring::hmac;
use serde_json::{Value, json};

use crate::LocalAzure;
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::path::{RESERVED, is_account};
use crate::store::{ALL, Row};
use crate::transport::Response;
use crate::types::{Edit, Removal};

/// The type of storage accounts.
pub(crate) const ACCOUNT: &str = "Microsoft.Storage/storageAccounts";

/// Where an account's blobs are: kept where they are another program's, else told as the client reaches this one.
const ENDPOINTS: &str = "primaryEndpoints";

pub(crate) fn write(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    let name = edit.name().to_owned();
    if !is_account(&name) {
        let message = format!(
            "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length \
             and use numbers and lower-case letters only."
        );
        return Err(ArmError::bad("AccountNameInvalid", message));
    }
    let taken = edit.old.is_none()
        && (RESERVED.contains(&name.as_str())
            || of_name(edit.transaction, &edit.azure.subscription(), &name)?.is_some());
    if taken {
        let message = format!("The storage account named {name} is already taken.");
        return Err(ArmError::conflict("StorageAccountAlreadyTaken", message));
    }
    edit.keep(&["creationTime"]);
    let properties = &mut edit.new["properties"];
    properties[ENDPOINTS] = match &edit.azure.azurite {
        Some(azurite) => json!({ "blob": format!("{}/{name}/", azurite.trim_end_matches('/')) }),
        None => Value::Null,
    };
    properties["provisioningState"] = "Succeeded".into();
    properties["statusOfPrimary"] = "available".into();
    if properties["creationTime"].is_null() {
        properties["creationTime"] = jiff::Timestamp::now().to_string().into();
    }
    edit.azure.container(&name, "").map(|_| ()).map_err(ArmError::from)
}

/// Its blobs go with an account.
pub(crate) fn remove(removal: &Removal<'_>) -> Result<(), ArmError> {
    let name = removal.row.body["name"].as_str().unwrap_or_default();
    let folder = removal.azure.folder.join("blobs").join(name);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Where blobs are reached.
pub(crate) fn show(origin: &str, body: &mut Value) {
    if body["properties"][ENDPOINTS].is_null() {
        let name = body["name"].as_str().unwrap_or_default();
        body["properties"][ENDPOINTS] = json!({ "blob": format!("{origin}/{name}/") });
    }
}

/// The account of a name; names are unique.
pub(crate) fn of_name(
    connection: &rusqlite::Connection,
    subscription: &str,
    name: &str,
) -> Result<Option<Row>, ArmError> {
    let page = Row::of_type(connection, &ACCOUNT.to_ascii_lowercase(), subscription, None, ALL)?;
    Ok(page
        .rows
        .into_iter()
        .find(|row| row.body["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name))))
}

/// The two keys of an account: they follow from the endpoint's secret, the account, and how often they were made anew.
pub(crate) fn keys(azure: &LocalAzure, account: &str) -> [(&'static str, Vec<u8>); 2] {
    let secret = hmac::Key::new(hmac::HMAC_SHA512, azure.secrets().signing_key.as_bytes());
    ["key1", "key2"].map(|name| {
        let text = format!("account {} {name}", account.to_ascii_lowercase());
        (name, hmac::sign(&secret, text.as_bytes()).as_ref().to_vec())
    })
}

pub(crate) fn list_keys(call: &mut Call<'_>) -> Answer {
    use base64::Engine;
    let address = call.path.address().ok_or_else(|| ArmError::internal("no address"))?;
    let item = crate::path::Address { rest: None, ..address };
    let row = call.azure.store.read(|connection| crate::generic::find(connection, &item))?;
    let name = row.body["name"].as_str().unwrap_or_default();
    let keys = keys(call.azure, name).map(|(name, key)| {
        let value = base64::engine::general_purpose::STANDARD.encode(key);
        json!({ "keyName": name, "value": value, "permissions": "FULL", "creationTime": row.body["properties"]["creationTime"] })
    });
    Ok(Response::json(StatusCode::OK, &json!({ "keys": keys })))
}

/// Whether a name could be had.
pub(crate) fn check_name(call: &mut Call<'_>) -> Answer {
    let given = call.object()?;
    let name = given["name"].as_str().unwrap_or_default();
    let subscription = call.azure.subscription();
    let taken = RESERVED.contains(&name)
        || call.azure.store.read(|connection| of_name(connection, &subscription, name))?.is_some();
    let body = match (is_account(name), taken) {
        (true, false) => json!({ "nameAvailable": true }),
        (false, _) => {
            json!({ "nameAvailable": false, "reason": "AccountNameInvalid", "message": format!("{name} is not a valid storage account name.") })
        }
        (_, true) => {
            json!({ "nameAvailable": false, "reason": "AlreadyExists", "message": format!("The storage account named {name} is already taken.") })
        }
    };
    Ok(Response::json(StatusCode::OK, &body))
}
