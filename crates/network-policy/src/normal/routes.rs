//! Routes as a layer: sorted by preference, the first route that holds a destination decides.

use crate::policy::{Context, NetworkPolicy};
use crate::ranges::Ranges;
use crate::route::{NextHop, Outbound, Route, RouteDestination, RouteSource, RouteTable, ServiceEndpoint};
use crate::space::{self, Bounds};
use crate::tag;

use ipnet::{IpNet, Ipv4Net};

use super::place::Space;
use super::{Effect, place::Side};

/// A route in the order of preference.
#[derive(Clone, Debug)]
pub(crate) struct RouteRule {
    pub name: String,
    pub destination: Bounds<u128>,
    pub effect: Effect,
    /// What would have to be known, when it leads into the unknown.
    pub open: Option<String>,
}

/// The routes of a policy, most preferred first; none when nothing is known of them and no firewall is there.
pub(super) fn rules(policy: &NetworkPolicy, space: &Space) -> Vec<RouteRule> {
    let Some(table) = &policy.routes else { return assumed(policy) };
    let mut exact: Vec<(IpNet, RouteSource, Route)> = Vec::new();
    let mut rules = Vec::new();
    let system = if table.effective { Vec::new() } else { system_routes(&policy.context, table) };
    for route in table.routes.iter().chain(&system) {
        match &route.destination {
            RouteDestination::Prefix(prefix) => exact.push((*prefix, route.source, route.clone())),
            RouteDestination::Tag(_) | RouteDestination::Unknown(_) => {}
        }
    }
    exact.sort_by_key(|(prefix, source, _)| (std::cmp::Reverse(prefix.prefix_len()), *source));
    // Which prefix of a tag is longer than one written out is not followed up: there, either may win.
    let specific: Vec<_> =
        exact.iter().map(|(prefix, ..)| *prefix).filter(|prefix| prefix.prefix_len() > 8).collect();
    let specific = space::prefixes(&specific);
    if !table.effective {
        rules.extend(unknown_space(&policy.context));
        for endpoint in &table.service_endpoints {
            rules.push(endpoint_route(endpoint, &specific, space));
        }
    }
    let tagged =
        table.routes.iter().filter(|route| !matches!(route.destination, RouteDestination::Prefix(_)));
    let mut taken = Ranges::empty();
    for route in tagged {
        let bounds = match &route.destination {
            RouteDestination::Tag(tag) => space.tag(tag, Side::Peer),
            _ => Bounds::at_most(Ranges::all()),
        };
        let sure = bounds.lo.difference(&specific).difference(&taken);
        taken = taken.union(&bounds.hi);
        push(&mut rules, policy, table, route, Bounds { lo: sure, hi: bounds.hi });
    }
    // Routes from gateways never beat Azure's own within the virtual network and its peerings.
    let own: Vec<_> = exact
        .iter()
        .filter(|(_, source, route)| {
            let inside = matches!(route.next_hop, NextHop::VirtualNetwork | NextHop::Peering);
            *source == RouteSource::System && inside
        })
        .map(|(prefix, ..)| *prefix)
        .collect();
    let own = space::prefixes(&own);
    for (prefix, source, route) in &exact {
        let mut set = space::prefixes(&[*prefix]);
        if *source == RouteSource::Gateway {
            set = set.difference(&own);
        }
        push(&mut rules, policy, table, route, Bounds::exact(set));
    }
    rules
}

/// Azure's own routes. Those that drop private addresses go when another default route than Azure's own is there:
/// "Virtual network traffic routing", below the table of Subnet2. They stay where that route leads to the Internet, which
/// does not route them either.
fn system_routes(context: &Context, table: &RouteTable) -> Vec<Route> {
    let route = |prefix: &IpNet, source, next_hop, what: &str| Route {
        name: format!("system route {prefix} -> {what}"),
        source,
        destination: RouteDestination::Prefix(*prefix),
        next_hop,
    };
    let own = context.virtual_network.iter();
    let own = own.map(|p| route(p, RouteSource::System, NextHop::VirtualNetwork, "virtual network"));
    let peered = context.peered.iter();
    let peered = peered.map(|p| route(p, RouteSource::System, NextHop::Peering, "peered virtual network"));
    let gateway = context.gateway.iter();
    let gateway =
        gateway.map(|p| route(p, RouteSource::Gateway, NextHop::Gateway, "virtual network gateway"));
    let dropped = [(0x0a00_0000, 8), (0xac10_0000, 12), (0xc0a8_0000, 16), (0x6440_0000, 10)];
    let dropped =
        dropped.iter().filter_map(|&(base, length): &(u32, u8)| Ipv4Net::new(base.into(), length).ok());
    let forced = context.gateway.iter().any(is_default) || table.routes.iter().any(leads_elsewhere);
    let dropped =
        dropped.filter(|_| !forced).map(|p| route(&p.into(), RouteSource::System, NextHop::None, "none"));
    let internet = [IpNet::V4(Ipv4Net::default()), IpNet::V6(ipnet::Ipv6Net::default())];
    let internet = internet.map(|p| route(&p, RouteSource::System, NextHop::Internet, "Internet"));
    own.chain(peered).chain(gateway).chain(dropped).chain(internet).collect()
}

/// Whether a route is another default route than one to the Internet.
fn leads_elsewhere(route: &Route) -> bool {
    matches!(&route.destination, RouteDestination::Prefix(prefix) if is_default(prefix))
        && route.next_hop != NextHop::Internet
}

fn is_default(prefix: &IpNet) -> bool {
    prefix.addr().is_ipv4() && prefix.prefix_len() == 0
}

/// Address space that may be routed inside, when the documents do not say which it is.
fn unknown_space(context: &Context) -> Option<RouteRule> {
    let (most, what) = if context.unknown_connections.is_empty() {
        if !context.virtual_network.is_empty() {
            return None;
        }
        (tag::not_internet(), "the address space of the virtual network".to_owned())
    } else {
        (Ranges::all(), format!("the address space behind {}", context.unknown_connections.join(", ")))
    };
    Some(RouteRule {
        name: format!("system route to {what}"),
        destination: Bounds::at_most(most),
        effect: Effect::Allow,
        open: Some(what),
    })
}

/// Services with endpoints, and the tags that hold their prefixes.
const SERVICES: [(&str, &str); 10] = [
    ("Microsoft.Storage", "Storage"),
    ("Microsoft.Storage.Global", "Storage"),
    ("Microsoft.Sql", "Sql"),
    ("Microsoft.KeyVault", "AzureKeyVault"),
    ("Microsoft.ContainerRegistry", "AzureContainerRegistry"),
    ("Microsoft.AzureActiveDirectory", "AzureActiveDirectory"),
    ("Microsoft.EventHub", "EventHub"),
    ("Microsoft.ServiceBus", "ServiceBus"),
    ("Microsoft.AzureCosmosDB", "AzureCosmosDB"),
    ("Microsoft.Web", "AppService"),
];

fn endpoint_route(endpoint: &ServiceEndpoint, specific: &Ranges<u128>, space: &Space) -> RouteRule {
    let known = SERVICES.iter().find(|(service, _)| service.eq_ignore_ascii_case(&endpoint.service));
    let tag = |name: &str| space.tag(&tag::ServiceTag::Other(name.to_owned()), Side::Peer);
    let most = known.map_or_else(Ranges::all, |(_, name)| tag(name).hi);
    let least = endpoint.region.as_deref().map_or_else(Ranges::empty, |region| tag(region).lo);
    RouteRule {
        name: format!("service endpoint {}", endpoint.service),
        destination: Bounds { lo: least.difference(specific), hi: most.union(&least) },
        effect: Effect::Allow,
        open: Some(format!("the prefixes of the service endpoint {}", endpoint.service)),
    }
}

fn push(
    rules: &mut Vec<RouteRule>,
    policy: &NetworkPolicy,
    table: &RouteTable,
    route: &Route,
    destination: Bounds<u128>,
) {
    let unknown = |what: String| (Effect::Unknown, Some(what));
    let (effect, open) = match &route.next_hop {
        NextHop::VirtualNetwork | NextHop::Peering | NextHop::ServiceEndpoint => (Effect::Allow, None),
        NextHop::Internet => match table.outbound {
            Outbound::NatGateway | Outbound::DefaultAccess => (Effect::Allow, None),
            Outbound::Missing => (Effect::Deny, None),
            Outbound::Unknown => unknown("whether the subnet has default outbound access".to_owned()),
        },
        NextHop::None => (Effect::Deny, None),
        NextHop::Gateway => unknown("what is behind the virtual network gateway".to_owned()),
        NextHop::Unknown(why) => unknown(why.clone()),
        NextHop::Appliance(address) => {
            let firewall = policy.firewall.as_ref();
            let named =
                address.map_or_else(|| "of an unknown address".to_owned(), |address| address.to_string());
            let unsure =
                address.is_none() || firewall.is_some_and(|firewall| firewall.private_addresses.is_empty());
            match (firewall, address) {
                (Some(firewall), Some(address)) if firewall.private_addresses.contains(address) => {
                    (Effect::Firewall, None)
                }
                (Some(_), _) if unsure => {
                    let what = format!("whether the appliance {named} is the firewall");
                    rules.push(RouteRule {
                        name: route.name.clone(),
                        destination: Bounds::at_most(destination.hi.clone()),
                        effect: Effect::Unknown,
                        open: Some(what),
                    });
                    (Effect::Firewall, None)
                }
                _ => unknown(format!("what the appliance {named} lets through")),
            }
        }
    };
    let open = match &route.destination {
        RouteDestination::Unknown(why) => Some(why.clone()),
        RouteDestination::Tag(tag) if !Bounds::is_exact(&destination) => {
            Some(format!("the prefixes of {tag}"))
        }
        _ => open,
    };
    rules.push(RouteRule { name: route.name.clone(), destination, effect, open });
}

/// Without routes, a firewall that is there is the next hop of whatever leaves the virtual network.
fn assumed(policy: &NetworkPolicy) -> Vec<RouteRule> {
    if policy.firewall.is_none() {
        return Vec::new();
    }
    let context = &policy.context;
    let inside = [&context.virtual_network[..], &context.peered, &context.gateway].concat();
    let mut inside = Bounds::exact(space::prefixes(&inside));
    let unknown = unknown_space(context);
    if let Some(rule) = &unknown {
        inside = Bounds { lo: inside.lo.clone(), hi: inside.hi.union(&rule.destination.hi) };
    }
    let rule = |name: &str, destination, effect, open| RouteRule {
        name: name.to_owned(),
        destination,
        effect,
        open,
    };
    vec![
        rule(INSIDE, inside, Effect::Allow, unknown.and_then(|rule| rule.open)),
        rule(ASSUMED, Bounds::all(), Effect::Firewall, None),
    ]
}

/// Stands for the route within the virtual network when no routes are given.
const INSIDE: &str = "assumed route within the virtual network";
/// Stands for the route to the firewall when no routes are given.
pub(crate) const ASSUMED: &str = "assumed route to the firewall";
