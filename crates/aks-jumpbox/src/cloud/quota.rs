//! What a subscription may still start in a region, in the form in which requirements ask about it: Azure tells it without ids.

use azure::resources::version;
use preflight::{SIZES, USAGES};
use serde_json::{Value, json};

use super::live::Live;
use crate::errors::Failure;

/// Version of the interface that lists sizes.
const SKUS: &str = "2021-07-01";

/// Reads sizes, and the quotas of machines and container instances.
pub(super) fn read(
    live: &mut Live<'_>,
    subscription: &str,
    region: &str,
    wanted: &[String],
) -> Result<(), Failure> {
    let path =
        format!("{subscription}/providers/Microsoft.Compute/skus?$filter=location%20eq%20%27{region}%27");
    if let Some(all) = live.look(&path, SKUS)? {
        let sizes = wanted.iter().map(|name| {
            let mut says = size(&all, name);
            says["id"] = id(subscription, SIZES, region, name).into();
            says
        });
        live.found.extend(sizes);
    }
    for (kind, version) in USAGES.into_iter().zip([version::COMPUTE, version::CONTAINERS]) {
        let namespace = kind.split('/').next().unwrap_or_default();
        let path = format!("{subscription}/providers/{namespace}/locations/{region}/usages");
        let usages = live.look(&path, version)?.unwrap_or_default();
        live.found.extend(usages.iter().filter_map(|usage| {
            let name = usage["name"]["value"].as_str()?;
            Some(json!({
                "id": id(subscription, kind, region, name),
                "currentValue": usage["currentValue"], "limit": usage["limit"],
            }))
        }));
    }
    Ok(())
}

/// The id of something of `Namespace/locations/kind`.
fn id(subscription: &str, kind: &str, region: &str, name: &str) -> String {
    let path = kind.replacen("/locations/", &format!("/locations/{region}/"), 1);
    format!("{subscription}/providers/{path}/{name}")
}

fn size(all: &[Value], name: &str) -> Value {
    let is_own = |one: &&Value| {
        one["resourceType"] == "virtualMachines"
            && one["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name))
    };
    let Some(own) = all.iter().find(is_own) else {
        return json!({ "restriction": "the region does not offer it" });
    };
    let mut capabilities = own["capabilities"].as_array().into_iter().flatten();
    let cores = capabilities.find(|one| one["name"] == "vCPUs").and_then(|one| one["value"].as_str());
    let cores: Option<u64> = cores.and_then(|cores| cores.parse().ok());
    // One of zones leaves the others.
    let mut restrictions = own["restrictions"].as_array().into_iter().flatten();
    let mut says = json!({ "family": own["family"], "cores": cores });
    if let Some(whole) = restrictions.find(|one| one["type"] == "Location") {
        says["restriction"] = whole["reasonCode"].as_str().unwrap_or("Azure restricts it").into();
    }
    says
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_restricted_in_its_region_or_not_offered() {
        let sku = |restrictions: Value| {
            json!([{
                "resourceType": "virtualMachines", "name": "Standard_D2ds_v4", "family": "standardDDSv4Family",
                "capabilities": [{ "name": "vCPUs", "value": "2" }], "restrictions": restrictions,
            }])
        };
        let told = |all: &Value| size(all.as_array().expect("a list"), "standard_d2ds_v4");
        let free = json!({ "family": "standardDDSv4Family", "cores": 2 });
        assert_eq!(told(&sku(json!([]))), free);
        let zone = json!([{ "type": "Zone", "reasonCode": "NotAvailableForSubscription" }]);
        assert_eq!(told(&sku(zone)), free);
        let whole = json!([{ "type": "Location", "reasonCode": "NotAvailableForSubscription" }]);
        assert_eq!(told(&sku(whole))["restriction"], "NotAvailableForSubscription");
        assert_eq!(told(&json!([]))["restriction"], "the region does not offer it");
        let path = id("/subscriptions/s", USAGES[0], "eastus2", "cores");
        assert_eq!(path, "/subscriptions/s/providers/Microsoft.Compute/locations/eastus2/usages/cores");
    }
}
