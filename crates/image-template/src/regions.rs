//! The regions where Azure Image Builder runs.

/// Source: the service's overview page (2026), as the slugs of its display names. Images may be distributed to
/// other regions.
const LISTED: &str = "eastus eastus2 westcentralus westus westus2 westus3 southcentralus northcentralus \
    centralus northeurope westeurope uksouth ukwest francecentral germanywestcentral norwayeast \
    switzerlandnorth swedencentral polandcentral italynorth southeastasia eastasia australiaeast \
    australiasoutheast japaneast koreacentral centralindia jioindiawest uaenorth qatarcentral israelcentral \
    southafricanorth brazilsouth canadacentral newzealandnorth taiwannorthwest usgovarizona usgovvirginia \
    chinanorth3";

/// A region's slug: `East US 2` and `eastus2` are one region.
pub fn slug(region: &str) -> String {
    region.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// The regions that the service is documented to run in, as slugs.
pub fn all() -> impl Iterator<Item = &'static str> {
    LISTED.split_ascii_whitespace()
}

/// Whether the service is documented to run in the region.
pub fn is_listed(region: &str) -> bool {
    let slug = slug(region);
    all().any(|listed| listed == slug)
}
