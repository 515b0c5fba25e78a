//! What address lists stand for, read from the description once more.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::Address;
use crate::policy::NetworkPolicy;
use crate::route::{NextHop, RouteDestination, RouteSource};
use crate::tag::ServiceTag;

use super::sets::{Set, common, minus, of, union};

/// A set between two others.
#[derive(Clone)]
pub(super) struct Between {
    pub least: Set,
    pub most: Set,
}

impl Between {
    pub fn exactly(set: Set) -> Self {
        Self { least: set.clone(), most: set }
    }

    pub fn at_most(most: Set) -> Self {
        Self { least: Set::new(), most }
    }

    pub fn and(&self, other: &Self) -> Self {
        Self { least: union(&self.least, &other.least), most: union(&self.most, &other.most) }
    }
}

pub(super) const OLD: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);

pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => OLD.0 + u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

pub(super) fn everything() -> Set {
    vec![(0, u128::MAX)]
}

pub(super) fn prefixes<'a>(prefixes: impl IntoIterator<Item = &'a IpNet>) -> Set {
    let sets = prefixes.into_iter().flat_map(|prefix| {
        let range = vec![(number(prefix.network()), number(prefix.broadcast()))];
        // Version 4 is not part of any version 6 prefix.
        if prefix.addr().is_ipv4() { range } else { minus(&range, &vec![OLD]) }
    });
    of(sets.collect())
}

fn parsed(texts: &[&str]) -> Set {
    prefixes(&texts.iter().filter_map(|text| text.parse().ok()).collect::<Vec<IpNet>>())
}

const PLATFORM: &str = "168.63.129.16/32";

/// Space that is never public.
pub(super) fn private() -> Set {
    parsed(&[
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
        PLATFORM,
    ])
}

/// `VirtualNetwork`, with or without default routes.
fn network(policy: &NetworkPolicy, default_routes: bool) -> Between {
    let context = &policy.context;
    let named = context.virtual_network.iter().chain(&context.peered).chain(&context.gateway);
    let mut space = Between::exactly(union(&prefixes(named), &parsed(&[PLATFORM])));
    if context.virtual_network.is_empty() {
        space.most = union(&space.most, &private());
    }
    if !context.unknown_connections.is_empty() {
        space.most = everything();
    }
    for route in policy.routes.iter().flat_map(|table| &table.routes) {
        if route.source == RouteSource::System && route.next_hop != NextHop::Peering {
            continue;
        }
        let joined = match &route.destination {
            RouteDestination::Prefix(prefix) if prefix.prefix_len() == 0 && !default_routes => continue,
            RouteDestination::Prefix(prefix) => Between::exactly(prefixes([prefix])),
            RouteDestination::Tag(ServiceTag::Other(name)) => of_tag(policy, name),
            RouteDestination::Tag(_) | RouteDestination::Unknown(_) => Between::at_most(everything()),
        };
        space = space.and(&joined);
    }
    space
}

fn of_tag(policy: &NetworkPolicy, name: &str) -> Between {
    match policy.context.tags.get(name) {
        Some(bounds) => Between { least: bounds.lo.as_slice().to_vec(), most: bounds.hi.as_slice().to_vec() },
        None => Between::at_most(everything()),
    }
}

pub(super) fn tag(policy: &NetworkPolicy, tag: &ServiceTag, ours: bool) -> Between {
    match tag {
        ServiceTag::VirtualNetwork if ours && policy.context.virtual_network.is_empty() => {
            Between::exactly(everything())
        }
        ServiceTag::VirtualNetwork => network(policy, true),
        ServiceTag::AzureLoadBalancer => Between::exactly(parsed(&[PLATFORM])),
        ServiceTag::Internet => {
            let public = union(&parsed(&["2000::/3"]), &minus(&vec![OLD], &private()));
            let most = minus(&public, &prefixes(&policy.context.virtual_network));
            Between { least: minus(&most, &network(policy, false).most), most }
        }
        ServiceTag::Other(name) if name.eq_ignore_ascii_case("AzurePlatformDNS") => {
            Between::exactly(parsed(&[PLATFORM]))
        }
        ServiceTag::Other(name) if name.eq_ignore_ascii_case("AzurePlatformIMDS") => {
            Between::exactly(parsed(&["169.254.169.254/32"]))
        }
        ServiceTag::Other(name) => of_tag(policy, name),
    }
}

/// A list of addresses; `ours` when it stands at the build machine's side. `given` is what the other side of the contract
/// is said to be in.
pub(super) fn list(
    policy: &NetworkPolicy,
    addresses: &[Address],
    ours: bool,
    given: &Address,
    side: &Set,
) -> Between {
    let mut set = Between::exactly(Set::new());
    for address in addresses {
        let one = match address {
            Address::Any => Between::exactly(everything()),
            Address::Prefix(prefix) => Between::exactly(prefixes([prefix])),
            Address::Range(first, last) => Between::exactly(vec![(number(*first), number(*last))]),
            Address::Tag(own) => match given {
                Address::Tag(said) if own.to_string().eq_ignore_ascii_case(&said.to_string()) => {
                    Between::exactly(side.clone())
                }
                _ => tag(policy, own, ours),
            },
            Address::ApplicationSecurityGroup(_) if ours => continue,
            Address::ApplicationSecurityGroup(_) => Between::at_most(network(policy, true).most),
            Address::IpGroup(_) => Between::at_most(everything()),
        };
        set = set.and(&one);
    }
    Between { least: common(&set.least, side), most: common(&set.most, side) }
}
