//! The catalogue, one file for each area.

mod deployer;
mod diagnostics;
pub(crate) mod firewall;
mod grant;
mod identity;
pub(crate) mod needs;
mod next_hop;
mod nsg;
mod policy;
pub(crate) mod provider;
mod published;
pub(crate) mod quota;
pub(crate) mod region;
mod route;
pub(crate) mod subnet;
mod template;

use crate::{Check, Os, Outcome, Requirement, Severity, Topology};

pub use published::published;

const ANY_SYSTEM: &[Os] = &[Os::Linux, Os::Windows];
const LINUX: &[Os] = &[Os::Linux];
const WINDOWS: &[Os] = &[Os::Windows];
const ANY_SHAPE: &[Topology] = &[Topology::Managed, Topology::PrivateLink, Topology::Isolated];
const BROUGHT: &[Topology] = &[Topology::PrivateLink, Topology::Isolated];
const PRIVATE_LINK: &[Topology] = &[Topology::PrivateLink];
const ISOLATED: &[Topology] = &[Topology::Isolated];

/// What most requirements share; each has an id, a title and a check of its own.
const BASE: Requirement = Requirement {
    id: "",
    title: "",
    topologies: ANY_SHAPE,
    systems: ANY_SYSTEM,
    severity: Severity::Required,
    source: GUIDANCE,
    assumption: None,
    hop: None,
    check: Check::Ask(|_| Err(Outcome::skipped("nothing is asked"))),
};

/// Pages that requirements come from.
const GUIDANCE: &str = "AKS jump box image guidance";
const NETWORKING: &str = "learn.microsoft.com: virtual-machines/linux/image-builder-networking";
const PERMISSIONS: &str = "learn.microsoft.com: virtual-machines/linux/image-builder-permissions-cli";
const OVERVIEW: &str = "learn.microsoft.com: virtual-machines/image-builder-overview";
const TEMPLATE: &str = "learn.microsoft.com: virtual-machines/linux/image-builder-json";
const ISOLATION: &str = "learn.microsoft.com: virtual-machines/security-isolated-image-builds-image-builder";
const PRIVATE_LINK_POLICY: &str =
    "learn.microsoft.com: private-link/disable-private-link-service-network-policy";
const OUTBOUND: &str = "learn.microsoft.com: virtual-network/ip-services/default-outbound-access";
const PEERING: &str = "learn.microsoft.com: virtual-network/virtual-networks-udr-overview, virtual-network/virtual-network-peering-overview";
const CONTAINERS: &str =
    "learn.microsoft.com: container-instances/container-instances-virtual-network-concepts";
const FLOW_LOGS: &str = "learn.microsoft.com: network-watcher/vnet-flow-logs-overview";
const SUBNETS: &str = "learn.microsoft.com: virtual-network/virtual-networks-faq";

/// Every requirement, in the order of the catalogue.
pub fn requirements() -> impl Iterator<Item = &'static Requirement> {
    let areas: [&'static [Requirement]; 12] = [
        subnet::ALL,
        nsg::ALL,
        route::ALL,
        firewall::ALL,
        identity::ALL,
        deployer::ALL,
        provider::ALL,
        region::ALL,
        quota::ALL,
        policy::ALL,
        template::ALL,
        diagnostics::ALL,
    ];
    areas.into_iter().flatten()
}
