//! Whether a subnet reaches the appliances that its routes lead to.
//!
//! Source: "Virtual network traffic routing": a next hop must be reached directly, in the subnet's network or in one that is
//! peered with it; "Virtual network peering": both networks hold a peering, and each lets the other in.

use std::net::IpAddr;

use arm::{Inventory, Resource, ResourceId, field};
use document::{Kind, Value};
use ipnet::IpNet;
use network_policy::NextHop;

use crate::finding::Asked;
use crate::subject::{known, text};
use crate::{Outcome, Place, Site, Status, Subject};

const NETWORKS: &str = "Microsoft.Network/virtualNetworks";
const PEERINGS: &str = "virtualNetworkPeerings";

pub(super) fn ask(subject: &Subject<'_>, place: Place) -> Asked {
    let (site, inventory) = (subject.site(place)?, subject.inventory()?);
    let Some(table) = site.routes.policy().routes.as_ref().filter(|_| site.subnet.is_some()) else {
        return Ok(Outcome::skipped(format!("no document describes {} and its routes", place.name())));
    };
    let hops = table.routes.iter().filter_map(|route| match route.next_hop {
        NextHop::Appliance(address) => Some((&route.name, address)),
        _ => None,
    });
    let found: Vec<_> = hops
        .map(|(name, address)| match address {
            Some(address) => reached(inventory, site, table.effective, address),
            None => Err(Outcome::undecided(format!("the next hop of the route '{name}' is not known"))),
        })
        .collect();
    if found.is_empty() {
        return Ok(Outcome::pass("no route leads to an appliance"));
    }
    let mut open: Vec<_> = found.into_iter().filter_map(Result::err).collect();
    open.sort_by_key(|outcome| outcome.status != Status::Fail);
    let Some(worst) = open.into_iter().next() else {
        return Ok(Outcome::pass("every next hop is in the network, or in one that is peered with it"));
    };
    Ok(match inventory.linked() {
        Some(link) if worst.status == Status::Fail => {
            Outcome::undecided(format!("{}; {}", worst.detail, link.message)).at(link.span)
        }
        _ => worst,
    })
}

fn reached(inventory: &Inventory, site: &Site<'_>, effective: bool, address: IpAddr) -> Result<(), Outcome> {
    let context = &site.routes.policy().context;
    let among = |prefixes: &[IpNet]| prefixes.iter().any(|prefix| prefix.contains(&address));
    if among(&context.virtual_network) || effective && among(&context.peered) {
        return Ok(());
    }
    let network = site.network.ok_or_else(|| {
        Outcome::undecided(format!("no document describes the network from which {address} is to be reached"))
    })?;
    for peering in inventory.children(&network.id, PEERINGS) {
        let far = remote(peering).and_then(|id| inventory.find(&id));
        let told = ["remoteVirtualNetworkAddressSpace", "remoteAddressSpace"];
        let told = told.iter().find_map(|name| field(&peering.value, name));
        let space = told.or_else(|| field(&far?.value, "addressSpace"));
        match space.and_then(|space| holds(space, address)) {
            Some(true) => return through(inventory, network, peering, far),
            Some(false) => {}
            None => {
                let detail = format!("no document tells whether {address} is behind {}", peering.label());
                return Err(Outcome::undecided(detail).at(peering.value.span));
            }
        }
    }
    if let Some(open) = context.unknown_connections.first() {
        return Err(Outcome::undecided(format!("{address} may be behind {open}")));
    }
    let owner =
        |one: &&Resource| field(&one.value, "addressSpace").and_then(|own| holds(own, address)) == Some(true);
    Err(match inventory.of_type(NETWORKS).find(owner) {
        Some(far) => {
            let (near, far) = (network.label(), far.label());
            Outcome::fail(format!("{address} is in {far}, to which no peering leads from {near}"))
        }
        None => Outcome::undecided(format!("no document describes the network that holds {address}")),
    }
    .at(network.value.span))
}

/// Whether both sides of a peering let packets through.
fn through(
    inventory: &Inventory,
    network: &Resource,
    peering: &Resource,
    far: Option<&Resource>,
) -> Result<(), Outcome> {
    joined(peering)?;
    // Answers come from the Internet's addresses: the appliance forwards them.
    if !is_on(peering, "allowForwardedTraffic")? {
        let detail =
            format!("{} does not say `allowForwardedTraffic`, which Azure's pages ask for", peering.label());
        return Err(Outcome::undecided(detail).at(peering.value.span));
    }
    let far = far.ok_or_else(|| {
        let detail = format!("no document describes the network behind {}, and its peering", peering.label());
        Outcome::undecided(detail).at(peering.value.span)
    })?;
    let leads_back = |one: &&Resource| {
        remote(one).and_then(|id| inventory.find(&id)).is_some_and(|found| found.id == network.id)
    };
    let back = inventory.children(&far.id, PEERINGS).find(leads_back).ok_or_else(|| {
        if let Some(open) = inventory.children(&far.id, PEERINGS).find(|one| remote(one).is_none()) {
            let detail = format!("no document tells which network {} leads to", open.label());
            return Outcome::undecided(detail).at(open.value.span);
        }
        let detail = format!("no peering leads back from {} to {}", far.label(), network.label());
        Outcome::fail(detail).at(far.value.span)
    })?;
    joined(back)
}

fn joined(peering: &Resource) -> Result<(), Outcome> {
    const ACCESS: &str = "allowVirtualNetworkAccess";
    let fail = |why: String| Err(Outcome::fail(format!("{} {why}", peering.label())).at(peering.value.span));
    if let Some(state) = text(peering, "peeringState")?
        && !state.eq_ignore_ascii_case("Connected")
    {
        return fail(format!("is {state}"));
    }
    match known(peering, ACCESS)?.map(|told| &told.kind) {
        Some(Kind::Bool(true)) => Ok(()),
        Some(Kind::Bool(false)) => fail(format!("has `{ACCESS}` off")),
        _ => {
            let detail = format!("{} does not say `{ACCESS}`", peering.label());
            Err(Outcome::undecided(detail).at(peering.value.span))
        }
    }
}

fn is_on(resource: &Resource, name: &str) -> Result<bool, Outcome> {
    Ok(known(resource, name)?.is_some_and(|told| told.kind == Kind::Bool(true)))
}

/// The network that a peering leads to.
fn remote(peering: &Resource) -> Option<ResourceId> {
    let id = field(field(&peering.value, "remoteVirtualNetwork")?, "id")?.as_str()?;
    ResourceId::parse(id).ok()
}

/// Whether an address space holds an address; none where a prefix that may hold it is not known.
fn holds(space: &Value, address: IpAddr) -> Option<bool> {
    let prefixes = field(space, "addressPrefixes")?.as_array()?.iter();
    let prefixes: Vec<_> = prefixes.map(|prefix| prefix.as_str()?.parse::<IpNet>().ok()).collect();
    if prefixes.iter().flatten().any(|prefix| prefix.contains(&address)) {
        return Some(true);
    }
    prefixes.iter().all(Option::is_some).then_some(false)
}
