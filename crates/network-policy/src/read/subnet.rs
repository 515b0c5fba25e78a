//! The build subnet, the virtual network around it, and what they are connected to.

use arm::{Environment, Resource, ResourceId, label};
use document::{Diagnostic, Span};
use ipnet::IpNet;

use super::item::{Field, Item, Scan, Union};
use super::nsg;
use crate::address::Address;
use crate::nsg::NetworkSecurityGroup;
use crate::policy::{Context, FarSubnet};

const SUBNETS: &str = "Microsoft.Network/virtualNetworks/subnets";

/// Where a build is.
pub(super) struct Site<'a> {
    /// The id that the environment gives the build subnet.
    pub wanted: Option<ResourceId>,
    pub subnet: Option<&'a Resource>,
    /// The virtual network around it, or the only one there is.
    pub network: Option<&'a Resource>,
}

/// Finds the build subnet: the one the environment names, else the only one.
pub(super) fn find<'a>(scan: &mut Scan<'a>, environment: &Environment) -> Site<'a> {
    let inventory = scan.inventory;
    let mut site = Site { wanted: None, subnet: None, network: None };
    if let Some(named) = &environment.build_subnet {
        let message = format!("the build subnet {} is in none of the documents", named.text);
        let missing = Diagnostic::error("environment", named.span, message)
            .at("build_subnet")
            .hinting("add the document that holds it");
        if named.text.starts_with('/') {
            match ResourceId::parse(&named.text) {
                Ok(id) => {
                    site.subnet = inventory.find(&id);
                    site.wanted = Some(id);
                }
                Err(error) => {
                    let error = Diagnostic::error("resource-id", named.span, error.to_string());
                    scan.reader.report(error.at("build_subnet"));
                    return site;
                }
            }
        } else {
            let names: Vec<_> =
                named.text.split('/').filter(|part| !part.eq_ignore_ascii_case("subnets")).collect();
            let is_wanted = |resource: &&Resource| {
                let own: Vec<_> = resource.id.names().collect();
                own.len() == names.len()
                    && own.iter().zip(&names).all(|(own, name)| own.eq_ignore_ascii_case(name))
            };
            site.subnet = inventory.of_type(SUBNETS).find(is_wanted);
        }
        let told_otherwise = || {
            let wanted = site.wanted.as_ref();
            wanted.is_some_and(|id| back_referring(scan, id).is_some())
                || !inventory.effective_groups().is_empty()
        };
        if site.subnet.is_none() && !told_otherwise() {
            scan.reader.report(missing);
        }
    } else {
        let subnets: Vec<_> = inventory.of_type(SUBNETS).take(100).collect();
        match subnets.as_slice() {
            [] => {}
            [only] => site.subnet = Some(only),
            several if inventory.effective_groups().is_empty() => {
                let names: Vec<_> =
                    several.iter().map(|subnet| subnet.id.names().collect::<Vec<_>>().join("/")).collect();
                let message = format!(
                    "there are several subnets ({}), and which one the build is in is not said",
                    super::list(&names)
                );
                scan.environment(
                    message,
                    "set `build_subnet` in an environment file that also names the virtual network",
                );
            }
            _ => {}
        }
    }
    site.network = if let Some(subnet) = site.subnet {
        subnet.id.parent().and_then(|network| inventory.find(&network))
    } else {
        let mut networks = inventory.of_type("Microsoft.Network/virtualNetworks");
        networks.next().filter(|_| networks.next().is_none())
    };
    site
}

/// The group that says itself which subnets it is at.
fn back_referring<'a>(scan: &Scan<'a>, subnet: &ResourceId) -> Option<&'a Resource> {
    let mut groups = scan.inventory.of_type("Microsoft.Network/networkSecurityGroups");
    groups.find(|group| {
        let list = Item::of(group).get("subnets").and_then(|list| list.value.as_array());
        list.into_iter().flatten().any(|item| {
            let id = item.as_object().and_then(|object| object.find("id"));
            let id = id.and_then(|id| ResourceId::parse(id.value.as_str()?).ok());
            id.is_some_and(|id| id == *subnet)
        })
    })
}

/// The group of the build subnet.
pub(super) fn group(
    scan: &mut Scan<'_>,
    site: &Site<'_>,
    environment: &Environment,
) -> Option<NetworkSecurityGroup> {
    let Some(subnet) = site.subnet else {
        return match site.wanted.as_ref().and_then(|id| back_referring(scan, id)) {
            Some(group) => nsg::group(scan, group),
            None if environment.build_subnet.is_none() => nsg::only(scan),
            None => None,
        };
    };
    match attached(scan, subnet) {
        Some(group) => Some(group),
        None if Item::of(subnet).get("networkSecurityGroup").is_some() => None,
        None => match back_referring(scan, &subnet.id) {
            Some(group) => nsg::group(scan, group),
            // A group beside a subnet that no one said more of is meant for it.
            None if environment.build_subnet.is_none() => {
                let group = nsg::only(scan)?;
                let message = format!(
                    "the subnet names no network security group; {} is taken for its own",
                    group.name()
                );
                scan.warn(subnet.value.span, message, "name the group in the subnet, or set `build_subnet`");
                Some(group)
            }
            None => None,
        },
    }
}

/// The group that a subnet names; `None` also after an error.
fn attached(scan: &mut Scan<'_>, subnet: &Resource) -> Option<NetworkSecurityGroup> {
    let inventory = scan.inventory;
    let item = Item::of(subnet);
    match scan.reference(&item, "networkSecurityGroup")? {
        Field::Known(id) => {
            if inventory.find(&id).is_none() {
                let place = item.get("networkSecurityGroup").map_or(Span::default(), |node| node.span());
                let message =
                    format!("the network security group {} is in none of the documents", label(&id));
                scan.warn(place, message, "add the document that holds it");
            }
            nsg::referred(scan, &id)
        }
        Field::Open(reason) => {
            Some(nsg::unknown("a network security group that is not known".to_owned(), &reason))
        }
    }
}

/// The groups of the other subnets of the virtual network.
pub(super) fn far(scan: &mut Scan<'_>, site: &Site<'_>) -> Vec<FarSubnet> {
    let (Some(network), Some(own)) = (site.network, site.subnet) else { return Vec::new() };
    let mut far = Vec::new();
    for subnet in scan.inventory.children(&network.id, "subnets").filter(|subnet| subnet.id != own.id) {
        let prefixes = prefixes(scan, subnet);
        if let Some(nsg) = attached(scan, subnet).filter(|_| !prefixes.is_empty()) {
            far.push(FarSubnet { name: subnet.label(), prefixes, nsg });
        }
    }
    far
}

/// Addresses that the rules are about.
pub(super) fn context(scan: &mut Scan<'_>, site: &Site<'_>) -> Context {
    let subnet = site.subnet.map_or(Vec::new(), |subnet| prefixes(scan, subnet));
    let mut context = Context {
        build_subnet: subnet.iter().find(|prefix| prefix.addr().is_ipv4()).or(subnet.first()).copied(),
        ..Context::default()
    };
    match site.network {
        Some(network) => {
            let space = space(scan, network);
            context.unknown_connections.extend(space.open);
            context.virtual_network = space.known;
            connections(scan, network, &mut context);
            context.dns_servers = dns_servers(scan, network);
        }
        None if site.subnet.is_some() => {
            // A subnet given without its network is at least in its own prefixes.
            context.virtual_network = subnet;
            context
                .unknown_connections
                .push("the address space of the virtual network, which no document describes".into());
        }
        None => {}
    }
    super::effective::complete(scan, &mut context);
    context
}

/// The address space of a virtual network.
fn space(scan: &mut Scan<'_>, network: &Resource) -> Union<IpNet> {
    let none = Union { known: Vec::new(), open: None };
    let Some(space) = Item::of(network).get("addressSpace") else {
        return Union { open: Some(format!("the address space of {}", network.label())), ..none };
    };
    if let Some(reason) = scan.reason(&space) {
        return Union { open: Some(reason), ..none };
    }
    scan.union(&Item::new(space), &["addressPrefixes"], prefix).unwrap_or(none)
}

/// Peerings and gateways of a virtual network.
fn connections(scan: &mut Scan<'_>, network: &Resource, context: &mut Context) {
    let inventory = scan.inventory;
    let peerings = scan.open_list(&Item::of(network), "virtualNetworkPeerings");
    context.unknown_connections.extend(peerings);
    scan.open_list(&Item::of(network), "subnets");
    for peering in inventory.children(&network.id, "virtualNetworkPeerings") {
        let item = Item::of(peering);
        let state = item.text("peeringState").unwrap_or("Connected");
        let without_access = item.flag("allowVirtualNetworkAccess") == Some(false);
        if without_access || !state.eq_ignore_ascii_case("Connected") {
            continue;
        }
        if item.flag("useRemoteGateways") == Some(true) {
            context.unknown_connections.push(format!("the gateway behind the peering {}", peering.label()));
        }
        let told = ["remoteVirtualNetworkAddressSpace", "remoteAddressSpace"];
        let told = told.iter().find_map(|field| item.inner(field));
        let remote = match (told, scan.reference(&item, "remoteVirtualNetwork")) {
            (Some(space), _) => scan.union(&space, &["addressPrefixes"], prefix),
            (None, Some(Field::Known(id))) => inventory.find(&id).map(|network| space(scan, network)),
            _ => None,
        };
        match remote {
            Some(space) if space.open.is_none() => context.peered.extend(space.known),
            _ => context.unknown_connections.push(format!("the peering {}", peering.label())),
        }
    }
    let gateway = network.id.child("subnets", "GatewaySubnet");
    if inventory.find(&gateway).is_some() {
        context.unknown_connections.push(format!("the gateway in {}", label(&gateway)));
    }
}

fn dns_servers(scan: &mut Scan<'_>, network: &Resource) -> Vec<std::net::IpAddr> {
    let inventory = scan.inventory;
    let Some(options) =
        inventory.find(&network.id).and_then(|network| Item::of(network).inner("dhcpOptions"))
    else {
        return Vec::new();
    };
    let servers = scan.union(&options, &["dnsServers"], |text| {
        text.parse::<std::net::IpAddr>().map_err(|_| format!("'{text}' is not an IP address"))
    });
    servers.map_or(Vec::new(), |servers| servers.known)
}

/// The prefixes of a subnet.
fn prefixes(scan: &mut Scan<'_>, subnet: &Resource) -> Vec<IpNet> {
    scan.union(&Item::of(subnet), &["addressPrefixes"], prefix).map_or(Vec::new(), |union| union.known)
}

/// A CIDR prefix.
pub(super) fn prefix(text: &str) -> Result<IpNet, String> {
    match Address::parse(text) {
        Ok(Address::Prefix(prefix)) => Ok(prefix),
        Ok(_) => Err(format!("'{text}' is not a CIDR prefix")),
        Err(error) => Err(error.to_string()),
    }
}
