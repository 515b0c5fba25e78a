//! The tenant, the subscription, its regions, and all that is in it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::generic::PAGE;
use crate::store::{Page, Row};
use crate::transport::Response;

/// Regions by name and display name: the ones that templates of this field name most (azure-image-builder.md 6 lists
/// where the service runs).
const LOCATIONS: [(&str, &str); 20] = [
    ("australiaeast", "Australia East"),
    ("brazilsouth", "Brazil South"),
    ("canadacentral", "Canada Central"),
    ("centralindia", "Central India"),
    ("centralus", "Central US"),
    ("eastus", "East US"),
    ("eastus2", "East US 2"),
    ("francecentral", "France Central"),
    ("germanywestcentral", "Germany West Central"),
    ("japaneast", "Japan East"),
    ("koreacentral", "Korea Central"),
    ("northeurope", "North Europe"),
    ("norwayeast", "Norway East"),
    ("southcentralus", "South Central US"),
    ("southeastasia", "Southeast Asia"),
    ("swedencentral", "Sweden Central"),
    ("switzerlandnorth", "Switzerland North"),
    ("uksouth", "UK South"),
    ("westeurope", "West Europe"),
    ("westus2", "West US 2"),
];

fn subscription(call: &Call<'_>) -> Value {
    let secrets = call.azure.secrets();
    json!({
        "id": call.azure.subscription(), "subscriptionId": secrets.subscription, "tenantId": secrets.tenant,
        "displayName": "local", "state": "Enabled", "authorizationSource": "RoleBased", "managedByTenants": [],
        "subscriptionPolicies": { "locationPlacementId": "Public_2014-09-01", "quotaId": "Local", "spendingLimit": "Off" },
    })
}

pub(crate) fn tenants(call: &mut Call<'_>) -> Answer {
    let tenant = &call.azure.secrets().tenant;
    let value = json!({ "id": format!("/tenants/{tenant}"), "tenantId": tenant, "displayName": "local" });
    Ok(call.list(&[value], None))
}

/// The subscription, for whoever may see something in it.
pub(crate) fn list(call: &mut Call<'_>) -> Answer {
    let object = call.caller()?.object.clone();
    let access = call.azure.access()?;
    let mine = |assignment: &access::Assignment| matches!(&assignment.principal, access::Told::Known(own) if own.eq_ignore_ascii_case(&object));
    let values = if access.assignments().iter().any(mine) { vec![subscription(call)] } else { Vec::new() };
    Ok(call.list(&values, None))
}

pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    Ok(Response::json(StatusCode::OK, &subscription(call)))
}

pub(crate) fn locations(call: &mut Call<'_>) -> Answer {
    let id = call.azure.subscription();
    let values = LOCATIONS.iter().map(|(name, display)| {
        json!({
            "id": format!("{id}/locations/{name}"), "name": name, "displayName": display,
            "regionalDisplayName": display, "type": "Region",
            "metadata": { "regionType": "Physical", "regionCategory": "Recommended" },
        })
    });
    Ok(call.list(&values.collect::<Vec<_>>(), None))
}

/// Top-level resources of the subscription or of a group; `$filter` by group and type as clients write it.
pub(crate) fn resources(call: &mut Call<'_>) -> Answer {
    let filter = call.request.parameter("$filter").unwrap_or_default();
    let wanted = |field: &str| {
        let at = filter.find(&format!("{field} eq '"))? + field.len() + 5;
        filter[at..].split('\'').next().map(str::to_owned)
    };
    let group = match call.variable("group") {
        "" => wanted("resourceGroup"),
        own => Some(own.to_owned()),
    };
    let own = call.azure.subscription();
    let scope = group.map_or_else(|| own.clone(), |group| format!("{own}/resourceGroups/{group}"));
    let wanted_type = wanted("resourceType");
    let mut after = call.after();
    let mut values = Vec::new();
    call.azure.store.read(|connection| {
        loop {
            let Page { rows, after: next } = Row::within(connection, &scope, after.as_deref(), PAGE)?;
            let fits = |row: &Row| {
                let resource_type = row.body["type"].as_str().unwrap_or_default();
                is_top_level(&row.key)
                    && wanted_type.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(resource_type))
            };
            values.extend(rows.into_iter().filter(fits).map(|row| brief(&row)));
            after = next;
            if after.is_none() || values.len() >= PAGE {
                return Ok(());
            }
        }
    })?;
    Ok(call.list(&values, after.as_deref()))
}

/// A resource of a group that is not inside another one.
fn is_top_level(key: &str) -> bool {
    let parts: Vec<&str> = key.split('/').collect();
    parts.len() == 9 && parts[5] == "providers"
}

fn brief(row: &Row) -> Value {
    let mut brief = json!({});
    for field in ["id", "name", "type", "kind", "sku", "location", "tags", "identity"] {
        if !row.body[field].is_null() {
            brief[field] = row.body[field].clone();
        }
    }
    let time = |seconds| {
        jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
    };
    brief["createdTime"] = time(row.created).into();
    brief["changedTime"] = time(row.changed).into();
    brief["provisioningState"] = row.body["properties"]["provisioningState"].clone();
    brief
}
