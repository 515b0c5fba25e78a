//! What a contract describes, as regions of packets.

use crate::address::Address;
use crate::contract::{Contract, ContractEnd};
use crate::flow::{Application, Direction, Protocol};
use crate::matching::Access;
use crate::normal::{self, Normal};
use crate::policy::NetworkPolicy;
use crate::ranges::Ranges;
use crate::space::{self, Bounds};
use crate::tag;
use crate::{RuleProtocol, ServiceTag};

use super::cube::{Cube, Region};

use ipnet::IpNet;

/// The regions of a contract: version 4 and, where the network has it, version 6; protocols with ports and without.
///
/// The build subnet's own end is clipped to the addresses that machines can have in it when the contract does not name
/// addresses itself. Packets have no ports where their protocol has none.
pub(crate) fn regions(policy: &NetworkPolicy, normal: &Normal, contract: &Contract) -> Vec<Region> {
    let own_source = contract.direction == Direction::Outbound;
    let source = end(policy, normal, &contract.from, own_source);
    let destination = match contract.name {
        Some(_) => Bounds::at_most(normal.space.public.clone()),
        None => end(policy, normal, &contract.to, !own_source),
    };
    let named = contract.name.is_some();
    let mut regions = Vec::new();
    for family in families(policy, contract) {
        for Asked { protocol, ported, to_ports, speech } in asked(normal, contract) {
            let cube = |source: &Ranges<u128>, destination: &Ranges<u128>| Cube {
                ports: to_ports.clone(),
                source_ports: ports(&contract.from, ported),
                protocol: protocol.clone(),
                source: source.intersection(&family),
                destination: destination.intersection(&family),
                speech: speech.clone(),
            };
            let region = Region {
                cube: cube(&source.hi, &destination.hi),
                certain: cube(&source.lo, &destination.lo),
                meant: cube(
                    &meant(policy, &contract.from, &source),
                    &if named { destination.hi.clone() } else { meant(policy, &contract.to, &destination) },
                ),
                source_tag: tag_of(&contract.from),
                destination_tag: contract.name.as_ref().map_or_else(|| tag_of(&contract.to), tag::of_names),
                named,
            };
            if !region.cube.is_empty() {
                regions.push(region);
            }
        }
    }
    regions
}

/// Some packets of a contract: protocols, whether they have ports, and what they ask for.
struct Asked {
    protocol: Ranges<u8>,
    ported: bool,
    to_ports: Ranges<u16>,
    speech: Ranges<u32>,
}

/// What asks for names usually speaks what [`Application::usual`] tells; a refusal has to hold whatever it speaks.
fn asked(normal: &Normal, contract: &Contract) -> Vec<Asked> {
    let mut all = Vec::new();
    for (protocol, ported) in protocols(contract) {
        let to_ports = ports(&contract.to, ported);
        let mut ask = |to_ports: Ranges<u16>, speech| {
            if !to_ports.is_empty() {
                all.push(Asked { protocol: protocol.clone(), ported, to_ports, speech });
            }
        };
        let Some(name) = &contract.name else {
            ask(to_ports, speech(normal, contract));
            continue;
        };
        let spoken = |applications: &[_]| normal.names.matching(&[name], applications);
        match (protocol.contains(normal::TCP), contract.access) {
            (false, _) => ask(to_ports, spoken(&[None])),
            (true, Access::Deny) => ask(to_ports, spoken(&Application::EVERY)),
            (true, Access::Allow) => {
                let mut others = to_ports;
                for (port, application) in [(80, Application::Http), (1433, Application::Mssql)] {
                    let own = Ranges::single(port);
                    ask(others.intersection(&own), spoken(&[Some(application)]));
                    others = others.difference(&own);
                }
                ask(others, spoken(&[Some(Application::Https)]));
            }
        }
    }
    all
}

fn ports(end: &ContractEnd, ported: bool) -> Ranges<u16> {
    if ported { Ranges::range(end.ports.first, end.ports.last) } else { Ranges::single(0) }
}

/// Flows that name nothing are the least that a firewall lets through: when all of them pass, so do those that name a
/// host. A refusal has to hold for every name.
fn speech(normal: &Normal, contract: &Contract) -> Ranges<u32> {
    let unheard = !normal.hears || contract.direction == Direction::Inbound;
    if contract.access == Access::Allow || unheard {
        return Ranges::single(0);
    }
    normal.names.everything()
}

fn meant(policy: &NetworkPolicy, end: &ContractEnd, set: &Bounds<u128>) -> Ranges<u128> {
    if end.address != Address::Tag(ServiceTag::Internet) {
        return set.lo.clone();
    }
    let context = &policy.context;
    set.hi.difference(&space::prefixes(&[&context.peered[..], &context.gateway].concat()))
}

fn tag_of(end: &ContractEnd) -> Option<ServiceTag> {
    match &end.address {
        Address::Tag(tag) => Some(tag.clone()),
        _ => None,
    }
}

fn end(policy: &NetworkPolicy, normal: &Normal, end: &ContractEnd, own: bool) -> Bounds<u128> {
    let side = if own { normal::Side::Local } else { normal::Side::Peer };
    let given = normal.space.place(std::slice::from_ref(&end.address), side).bounds;
    let named = matches!(end.address, Address::Prefix(_) | Address::Range(..));
    match policy.context.build_subnet {
        Some(subnet) if own && !named => {
            let clipped = given.intersection(&usable(&subnet));
            if clipped.hi.is_empty() { given } else { clipped }
        }
        _ => given,
    }
}

/// The addresses that machines can have: Azure reserves the first four and the last.
pub(crate) fn usable(subnet: &IpNet) -> Ranges<u128> {
    let (first, last) = (space::point(subnet.network()), space::point(subnet.broadcast()));
    if last - first < 7 { Ranges::range(first, last) } else { Ranges::range(first + 4, last - 1) }
}

/// Version 6 counts where the network has it or the contract names it.
fn families(policy: &NetworkPolicy, contract: &Contract) -> Vec<Ranges<u128>> {
    let prefixes = policy.context.virtual_network.iter().chain(&policy.context.build_subnet);
    let named = |family: fn(&IpNet) -> bool| {
        let ends = [&contract.from, &contract.to].into_iter();
        ends.filter_map(|end| if let Address::Prefix(prefix) = &end.address { Some(prefix) } else { None })
            .any(family)
    };
    let (old, new) = (|p: &IpNet| p.addr().is_ipv4(), |p: &IpNet| p.addr().is_ipv6());
    let mut families = Vec::new();
    if named(old) || !named(new) {
        families.push(space::version_4());
    }
    if named(new) || (!named(old) && prefixes.into_iter().any(new)) {
        families.push(space::version_6());
    }
    families
}

/// Protocols, and whether they have ports. Packets of TCP are apart: only they can name a host.
fn protocols(contract: &Contract) -> Vec<(Ranges<u8>, bool)> {
    let only = |protocol| Ranges::single(normal::protocol_number(protocol));
    match contract.protocol {
        RuleProtocol::Any => {
            let mut all = vec![(only(Protocol::Tcp), true), (only(Protocol::Udp), true)];
            if !contract.has_ports() {
                let rest = normal::documented_protocols().difference(&normal::with_ports());
                all.push((rest, false));
            }
            all
        }
        RuleProtocol::Only(protocol @ (Protocol::Tcp | Protocol::Udp)) => vec![(only(protocol), true)],
        RuleProtocol::Only(protocol) => vec![(only(protocol), false)],
    }
}
