//! Sizes of machines, and quotas. This endpoint has none of its own: it tells what is enough for a few builds, and counts
//! nothing against it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::transport::Response;

/// Sizes by name, family and cores: those that the service takes by itself, and a few that people name.
const SIZES: [(&str, &str, u32); 9] = [
    ("Standard_A1_v2", "standardAv2Family", 1),
    ("Standard_D1_v2", "standardDv2Family", 1),
    ("Standard_D2_v2", "standardDv2Family", 2),
    ("Standard_D2ds_v4", "standardDDSv4Family", 2),
    ("Standard_D4ds_v4", "standardDDSv4Family", 4),
    ("Standard_D8ds_v4", "standardDDSv4Family", 8),
    ("Standard_D2s_v5", "standardDSv5Family", 2),
    ("Standard_D4s_v5", "standardDSv5Family", 4),
    ("Standard_B2ms", "standardBSFamily", 2),
];

/// Cores of each quota.
const LIMIT: u32 = 100;

/// The sizes of a region, which a filter has to name, as without one Azure tells of all.
pub(crate) fn sizes(call: &mut Call<'_>) -> Answer {
    let filter = call.request.parameter("$filter").unwrap_or_default();
    let location = filter.split('\'').nth(1).unwrap_or("eastus2").to_owned();
    let size = |(name, family, cores): &(&str, &str, u32)| {
        json!({
            "resourceType": "virtualMachines", "name": name, "family": family, "locations": [location],
            "capabilities": [{ "name": "vCPUs", "value": cores.to_string() }], "restrictions": [],
        })
    };
    Ok(list(SIZES.iter().map(size)))
}

/// Usages of machines.
pub(crate) fn machines(_: &mut Call<'_>) -> Answer {
    let mut families: Vec<_> = SIZES.iter().map(|(_, family, _)| *family).collect();
    families.dedup();
    Ok(list(["cores"].into_iter().chain(families).map(usage)))
}

/// Usages of container instances.
pub(crate) fn containers(_: &mut Call<'_>) -> Answer {
    Ok(list(["ContainerGroups", "StandardCores"].into_iter().map(usage)))
}

fn usage(name: &str) -> Value {
    json!({
        "unit": "Count", "currentValue": 0, "limit": LIMIT, "name": { "value": name, "localizedValue": name },
    })
}

fn list(values: impl Iterator<Item = Value>) -> Response {
    Response::json(StatusCode::OK, &json!({ "value": values.collect::<Vec<_>>() }))
}
