//! The packet that shows a broken contract: of all there are, one that a person recognises.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::compiled::CompiledPolicy;
use crate::contract::Contract;
use crate::flow::{Direction, Protocol};
use crate::normal::{End, Found, Query, TCP, UDP};
use crate::proof::Packet;
use crate::ranges::Ranges;
use crate::space;

use super::Shown;
use super::cube::Cube;
use super::region::usable;

pub(super) struct Witness {
    pub packet: Packet,
    pub found: Option<Found>,
    speech: u32,
}

impl Witness {
    pub fn query(&self) -> Query<'static> {
        let packet = &self.packet;
        Query {
            protocol: crate::normal::protocol_number(packet.protocol),
            source_port: packet.from_port,
            port: packet.to_port,
            source: End::At(space::point(packet.from)),
            destination: End::At(space::point(packet.to)),
            speech: self.speech,
        }
    }
}

/// Peers that people know, best first: Azure's storage, its management, a web site, public resolvers.
const KNOWN: [[u8; 4]; 5] =
    [[20, 60, 0, 1], [4, 150, 240, 10], [13, 107, 21, 200], [1, 1, 1, 1], [8, 8, 8, 8]];
/// Tags whose addresses people know.
const TAGS: [&str; 5] = [
    "Storage",
    "AzureResourceManager",
    "AzureActiveDirectory",
    "MicrosoftContainerRegistry",
    "AzureFrontDoor.FirstParty",
];

/// The most telling packet of disjoint cubes.
pub(super) fn choose(policy: &CompiledPolicy, contract: &Contract, cubes: &[Shown<'_>]) -> Option<Witness> {
    for wish in &peers_wished(policy) {
        for (_, cube, found) in cubes {
            let peers = match contract.direction {
                Direction::Outbound => &cube.destination,
                Direction::Inbound => &cube.source,
            };
            if !peers.intersects(wish) {
                continue;
            }
            let peer = host(&peers.intersection(wish))?;
            if let Some(witness) = packet(policy, contract, cube, peer, *found) {
                return Some(witness);
            }
        }
    }
    None
}

/// What packets should rather be like, best first; the last wish is any packet.
pub(super) fn wishes(policy: &CompiledPolicy, contract: &Contract) -> Vec<Cube> {
    let any = Cube {
        ports: Ranges::all(),
        protocol: Ranges::all(),
        destination: Ranges::all(),
        source: Ranges::all(),
        source_ports: Ranges::all(),
        speech: Ranges::all(),
    };
    let wishes = peers_wished(policy).into_iter().map(|peers| match contract.direction {
        Direction::Outbound => Cube { destination: peers, ..any.clone() },
        Direction::Inbound => Cube { source: peers, ..any.clone() },
    });
    let usual = Ranges::range(49_152, u16::MAX);
    wishes.flat_map(|wish| [Cube { source_ports: usual.clone(), ..wish.clone() }, wish]).collect()
}

fn peers_wished(policy: &CompiledPolicy) -> Vec<Ranges<u128>> {
    let tags = &policy.policy.context.tags;
    let of_tags = TAGS.iter().filter_map(|tag| tags.get(tag)).map(|bounds| bounds.lo.clone());
    let known = KNOWN.iter().map(|bytes| Ranges::single(space::point(IpAddr::from(*bytes))));
    let kept = reserved(policy);
    let wishes = of_tags.chain(known).chain([public(policy), space::version_4(), Ranges::all()]);
    wishes.map(|wish| wish.difference(&kept)).chain([Ranges::all()]).collect()
}

/// Addresses of known subnets that Azure keeps to itself: no machine has one.
fn reserved(policy: &CompiledPolicy) -> Ranges<u128> {
    let far = policy.policy.far_subnets.iter().flat_map(|subnet| &subnet.prefixes);
    let subnets: Vec<IpNet> = far.chain(&policy.policy.context.build_subnet).copied().collect();
    let usable = subnets.iter().flat_map(|subnet| usable(subnet).as_slice().to_vec()).collect();
    space::prefixes(&subnets).difference(&Ranges::union_of(usable))
}

/// Public addresses that are no one's example.
fn public(policy: &CompiledPolicy) -> Ranges<u128> {
    let examples = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "192.0.0.0/24"];
    let examples: Vec<_> = examples.iter().filter_map(|text| text.parse().ok()).collect();
    policy.normal.space.internet.hi.difference(&space::prefixes(&examples))
}

fn packet(
    policy: &CompiledPolicy,
    contract: &Contract,
    cube: &Cube,
    peer: u128,
    found: Option<Found>,
) -> Option<Witness> {
    let outbound = contract.direction == Direction::Outbound;
    let own_set = if outbound { &cube.source } else { &cube.destination };
    let own = policy
        .policy
        .context
        .build_subnet
        .map(|subnet| own_set.intersection(&usable(&subnet)))
        .filter(|set| !set.is_empty())
        .and_then(|set| set.first())
        .or_else(|| host(own_set))?;
    let (from, to) = if outbound { (own, peer) } else { (peer, own) };
    let number = [TCP, UDP, 1].into_iter().find(|number| cube.protocol.contains(*number));
    let protocol = match number.or(cube.protocol.first())? {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        1 => Protocol::Icmp,
        number => Protocol::Other(number),
    };
    let (speech, request) = cube.speech.as_slice().iter().take(64).find_map(|&(first, last)| {
        (first..=last).take(64).find_map(|point| Some((point, policy.normal.names.example(point)?)))
    })?;
    let packet = Packet {
        direction: contract.direction,
        protocol,
        from: space::address(from),
        from_port: port(&cube.source_ports, &[50_000], 49_152)?,
        to: space::address(to),
        to_port: port(&cube.ports, &[443, 80, 22, 53, 123, 60_001], 1)?,
        application: request.application,
        name: request.name,
        owner: owner(policy, peer),
    };
    Some(Witness { packet, found, speech })
}

/// A port that people know, else the first from `least`, else the first.
fn port(set: &Ranges<u16>, known: &[u16], least: u16) -> Option<u16> {
    let familiar = known.iter().copied().find(|port| set.contains(*port));
    let ranges = set.as_slice().iter();
    let later = ranges.filter(|range| range.1 >= least).map(|range| range.0.max(least)).next();
    familiar.or(later).or(set.first())
}

/// An address that a machine can have: neither the first nor the last of 256, when there is one.
fn host(set: &Ranges<u128>) -> Option<u128> {
    let usual = |range: &(u128, u128)| {
        let (first, last) = *range;
        (first..=last.min(first.saturating_add(8))).find(|point| !matches!(point & 0xff, 0 | 0xff))
    };
    let odd = [[0u8, 0, 0, 0], [127, 0, 0, 0], [224, 0, 0, 0]].map(|bytes| space::point(IpAddr::from(bytes)));
    let mask = 0xff << 24;
    let sane = set.as_slice().iter().filter(|range| {
        let class = range.0 & mask;
        !odd.iter().any(|odd| odd & mask == class)
    });
    sane.clone().find_map(usual).or_else(|| set.as_slice().iter().find_map(usual)).or(set.first())
}

/// The tag that says most about an address: the smallest that holds it.
fn owner(policy: &CompiledPolicy, peer: u128) -> Option<String> {
    let tags = &policy.policy.context.tags;
    let holders = tags.holding(peer);
    holders.min_by_key(|(name, size)| (*size, name.len())).map(|(name, _)| name.to_owned())
}
