//! Routes of the build subnet.

use arm::{Environment, ResourceId, label};
use document::Span;

use super::item::{Field, Item, Scan};
use super::subnet::{Site, prefix};
use crate::address::Address;
use crate::route::{NextHop, Outbound, Route, RouteDestination, RouteSource, RouteTable, ServiceEndpoint};

const HOPS: [(&str, Hop); 9] = [
    ("VirtualAppliance", Hop::Appliance),
    ("VnetLocal", Hop::Is(NextHop::VirtualNetwork)),
    ("Internet", Hop::Is(NextHop::Internet)),
    ("None", Hop::Is(NextHop::None)),
    ("VirtualNetworkGateway", Hop::Is(NextHop::Gateway)),
    ("VNetPeering", Hop::Is(NextHop::Peering)),
    ("VNetGlobalPeering", Hop::Is(NextHop::Peering)),
    ("VirtualNetworkServiceEndpoint", Hop::Is(NextHop::ServiceEndpoint)),
    ("InterfaceEndpoint", Hop::Is(NextHop::VirtualNetwork)),
];

/// A next hop's type.
#[derive(Clone)]
enum Hop {
    Is(NextHop),
    Appliance,
}

/// Services with service endpoints, and the tags that hold their addresses.
const SERVICES: [(&str, &str); 8] = [
    ("Microsoft.Storage", "Storage"),
    ("Microsoft.KeyVault", "AzureKeyVault"),
    ("Microsoft.ContainerRegistry", "AzureContainerRegistry"),
    ("Microsoft.Sql", "Sql"),
    ("Microsoft.AzureCosmosDB", "AzureCosmosDB"),
    ("Microsoft.EventHub", "EventHub"),
    ("Microsoft.ServiceBus", "ServiceBus"),
    ("Microsoft.Web", "AppService"),
];

/// What routes the build subnet; `None` when no document describes it.
pub(super) fn of(scan: &mut Scan<'_>, site: &Site<'_>, environment: &Environment) -> Option<RouteTable> {
    let effective = effective(scan);
    let mut table = match site.subnet {
        None if effective.is_empty() => return None,
        None => RouteTable::default(),
        Some(subnet) => {
            let item = Item::of(subnet);
            let mut table = RouteTable { outbound: outbound(scan, &item), ..RouteTable::default() };
            let network = site.network.map(Item::of);
            let own = network.as_ref().and_then(|network| network.text("location"));
            let given = environment.location.as_ref().map(|location| location.text.as_str());
            table.service_endpoints = service_endpoints(scan, &item, own.or(given));
            if effective.is_empty() {
                match scan.reference(&item, "routeTable") {
                    Some(Field::Known(id)) => user_routes(scan, &id, &mut table),
                    Some(Field::Open(reason)) => open(&mut table, reason),
                    None => {}
                }
            }
            table
        }
    };
    if !effective.is_empty() {
        table.effective = true;
        "effective routes".clone_into(&mut table.name);
        table.routes = effective;
    }
    Some(table)
}

/// A table that may lead anything anywhere, because of `reason`.
fn open(table: &mut RouteTable, reason: String) {
    if table.name.is_empty() {
        "a route table that is not known".clone_into(&mut table.name);
    }
    table.routes.push(Route {
        name: "a route that is not known".to_owned(),
        source: RouteSource::User,
        destination: RouteDestination::Unknown(reason.clone()),
        next_hop: NextHop::Unknown(reason),
    });
}

fn user_routes(scan: &mut Scan<'_>, id: &ResourceId, table: &mut RouteTable) {
    table.name = label(id);
    let inventory = scan.inventory;
    let Some(resource) = inventory.find(id) else {
        let message = format!("the route table {} is in none of the documents", table.name);
        scan.warn(Span::default(), message.clone(), "add the document that holds it");
        open(table, message);
        return;
    };
    table.name = resource.label();
    if let Some(reason) = scan.open_list(&Item::of(resource), "routes") {
        open(table, reason);
    }
    for child in inventory.children(&resource.id, "routes") {
        for mut route in routes(scan, &Item::of(child), RouteSource::User) {
            if let Some(doubt) = &child.doubt {
                route.destination = RouteDestination::Unknown(doubt.clone());
            }
            table.routes.push(route);
        }
    }
    for stray in inventory.orphans("Microsoft.Network/routeTables/routes", &resource.id) {
        let place = inventory.sources().place(stray.value.span);
        open(table, format!("the route at {place}, whose route table is not known"));
    }
}

/// The routes of one entry, which may hold several prefixes.
fn routes(scan: &mut Scan<'_>, item: &Item<'_>, source: RouteSource) -> Vec<Route> {
    let name = item.text("name").unwrap_or("a route without a name").to_owned();
    let destinations = scan.union(item, &["addressPrefixes"], |text| match Address::parse(text) {
        Ok(Address::Tag(tag)) => Ok(RouteDestination::Tag(tag)),
        _ => prefix(text).map(RouteDestination::Prefix),
    });
    let next_hop = next_hop(scan, item);
    let (Some(destinations), Some(next_hop)) = (destinations, next_hop) else { return Vec::new() };
    if destinations.is_empty() {
        scan.nothing(item, "address prefix", "addressPrefix");
    }
    let open = destinations.open.map(RouteDestination::Unknown);
    let all = destinations.known.into_iter().chain(open);
    all.map(|destination| Route { name: name.clone(), source, destination, next_hop: next_hop.clone() })
        .collect()
}

fn next_hop(scan: &mut Scan<'_>, item: &Item<'_>) -> Option<NextHop> {
    let kinds: [(&str, usize); 9] = std::array::from_fn(|index| (HOPS[index].0, index));
    let hop = match scan.word(item, "nextHopType", &kinds)? {
        Field::Known(index) => HOPS[index].1.clone(),
        Field::Open(reason) => return Some(NextHop::Unknown(reason)),
    };
    let Hop::Is(hop) = hop else {
        let addresses = scan.union(item, &["nextHopIpAddress"], |text| {
            text.parse().map_err(|_| format!("'{text}' is not an IP address"))
        })?;
        return Some(NextHop::Appliance(addresses.known.first().copied()));
    };
    Some(hop)
}

/// How traffic to the Internet gets a public address.
fn outbound(scan: &mut Scan<'_>, subnet: &Item<'_>) -> Outbound {
    let default = subnet.get("defaultOutboundAccess");
    if subnet.get("natGateway").is_some_and(|gateway| gateway.value.unknown_because().is_none()) {
        // One without an id is wrong.
        scan.reference(subnet, "natGateway");
        return Outbound::NatGateway;
    }
    match (default.as_ref().map(|node| &node.value.kind), subnet.get("natGateway")) {
        (Some(document::Kind::Bool(false)), None) => Outbound::Missing,
        (Some(document::Kind::Bool(true)), _) => Outbound::DefaultAccess,
        (Some(document::Kind::Unknown(_)) | None, _) | (_, Some(_)) => Outbound::Unknown,
        (Some(_), None) => {
            if let Some(node) = &default {
                scan.refuse(node, node.value.describe(), "`true` or `false`", &[]);
            }
            Outbound::Unknown
        }
    }
}

fn service_endpoints(scan: &mut Scan<'_>, subnet: &Item<'_>, location: Option<&str>) -> Vec<ServiceEndpoint> {
    let region = location.map(|location| location.replace(' ', "").to_ascii_lowercase());
    let endpoints = scan.items(subnet, "serviceEndpoints");
    let mut services: Vec<String> = Vec::new();
    for endpoint in &endpoints.known {
        services.extend(endpoint.text("service").map(str::to_owned));
    }
    services.extend(endpoints.open);
    let region_of = |service: &str| {
        let (_, tag) = SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(service))?;
        Some(format!("{tag}.{}", region.as_deref()?))
    };
    services.into_iter().map(|service| ServiceEndpoint { region: region_of(&service), service }).collect()
}

/// The active routes of an effective route table.
pub(super) fn effective(scan: &mut Scan<'_>) -> Vec<Route> {
    let inventory = scan.inventory;
    let mut all = Vec::new();
    for (index, value) in inventory.effective_routes().iter().enumerate() {
        let item = Item::new(document::Node { value, path: format!("effectiveRoutes[{index}]") });
        if item.text("state").is_some_and(|state| state.eq_ignore_ascii_case("Invalid")) {
            continue;
        }
        let sources = [
            ("Default", RouteSource::System),
            ("User", RouteSource::User),
            ("VirtualNetworkGateway", RouteSource::Gateway),
            ("Unknown", RouteSource::System),
        ];
        let source = match scan.word(&item, "source", &sources) {
            Some(Field::Known(source)) => source,
            _ => RouteSource::System,
        };
        all.extend(routes(scan, &item, source));
    }
    all
}
