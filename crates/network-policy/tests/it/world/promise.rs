//! Contracts of the small universe, and what the naive walk says of them.

use network_policy::Contract;
use proptest::prelude::*;

use crate::world::policy;
use crate::world::{self, Outcome, PROTOCOLS, Packet, Span, Term, World};

/// A contract.
#[derive(Clone, Debug)]
pub struct Promise {
    pub allow: bool,
    pub inbound: bool,
    /// `None` is any; else its number.
    pub protocol: Option<u8>,
    pub from: Term,
    pub to: Term,
    pub ports: (u16, u16),
}

/// A block of packets that no rule tells apart, by its first packet.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    pub first: Packet,
    pub size: u128,
}

impl Promise {
    pub fn contract(&self) -> Contract {
        let access = if self.allow { "allow" } else { "deny" };
        let direction = if self.inbound { "inbound" } else { "outbound" };
        let protocol = match self.protocol {
            None => "*",
            Some(1) => "icmp",
            Some(6) => "tcp",
            Some(17) => "udp",
            Some(other) => panic!("no contract is about protocol {other}"),
        };
        let ports = match self.ports {
            (0, u16::MAX) => String::new(),
            (first, last) => format!(":{first}-{last}"),
        };
        let line =
            format!("{access} {direction} {protocol} {} -> {}{ports}", self.from.text(), self.to.text());
        Contract::parse(&line).unwrap()
    }

    /// Every packet, in blocks. Only for ends whose prefixes are known.
    pub fn blocks(&self, world: &World) -> Vec<Block> {
        self.blocks_beside(world, &[])
    }

    /// The same, cut where other contracts begin and end, too.
    pub fn blocks_beside(&self, world: &World, others: &[Self]) -> Vec<Block> {
        let mut cuts = cuts(world, self);
        for other in others {
            let ends = [end(world, other.from, !other.inbound), end(world, other.to, other.inbound)].concat();
            cuts.extend(ends.iter().flat_map(|(first, last)| [*first, last.wrapping_add(1)]));
        }
        cuts.sort_unstable();
        cuts.dedup();
        let promised =
            others.iter().flat_map(|other| [u32::from(other.ports.0), u32::from(other.ports.1) + 1]);
        let mut port_cuts: Vec<_> = port_cuts(world).into_iter().chain(promised).collect();
        port_cuts.sort_unstable();
        port_cuts.dedup();
        let from = split(&end(world, self.from, !self.inbound), &cuts);
        let to = split(&end(world, self.to, self.inbound), &cuts);
        let ports = split(&[(self.ports.0.into(), self.ports.1.into())], &port_cuts);
        let source_ports = split(&[(0, 0xffff)], &port_cuts);
        let none = vec![(0, 0)];
        let mut blocks = Vec::new();
        for protocol in self.protocols() {
            let ported = protocol == 6 || protocol == 17;
            let (ports, source_ports) = if ported { (&ports, &source_ports) } else { (&none, &none) };
            for (source, destination, port, source_port) in product(&from, &to, ports, source_ports) {
                let spans = [source, destination, port, source_port];
                let sizes = spans.map(|(first, last)| u128::from(last) - u128::from(first) + 1);
                blocks.push(Block {
                    first: Packet {
                        inbound: self.inbound,
                        protocol,
                        source: source.0,
                        source_port: u16::try_from(source_port.0).unwrap(),
                        destination: destination.0,
                        port: u16::try_from(port.0).unwrap(),
                    },
                    size: sizes.iter().product(),
                });
            }
        }
        blocks
    }

    /// Whether the contract describes a packet.
    pub fn holds(&self, world: &World, packet: Packet) -> bool {
        let ported = packet.protocol == 6 || packet.protocol == 17;
        let within =
            |spans: &[Span], address| spans.iter().any(|(first, last)| *first <= address && address <= *last);
        self.inbound == packet.inbound
            && self.protocols().contains(&packet.protocol)
            && (!ported || (self.ports.0..=self.ports.1).contains(&packet.port))
            && within(&end(world, self.from, !self.inbound), packet.source)
            && within(&end(world, self.to, self.inbound), packet.destination)
    }

    pub fn protocols(&self) -> Vec<u8> {
        match (self.protocol, self.ports) {
            (Some(only), _) => vec![only],
            (None, (0, u16::MAX)) => PROTOCOLS.to_vec(),
            (None, _) => vec![6, 17],
        }
    }

    /// Whether a block breaks the contract: `None` when that is open.
    pub fn broken(&self, world: &World, block: &Block) -> Option<bool> {
        let outcomes = world.outcomes(block.first);
        let wrong = if self.allow { Outcome::Denied } else { Outcome::Allowed };
        match (outcomes.contains(&wrong), outcomes.len()) {
            (false, _) => Some(false),
            (true, 1) => Some(true),
            (true, _) => None,
        }
    }
}

/// The addresses of one end. The build subnet's own holds machines only where the contract names no addresses:
/// Azure keeps the first four of a subnet and the last.
pub fn end(world: &World, term: Term, own: bool) -> Vec<Span> {
    let (spans, most) = world.bounds(term);
    assert_eq!(spans, most, "the prefixes of {term:?} are not known");
    let subnet = world::prefix(world::SUBNET);
    let machines = [(subnet.0 + 4, subnet.1 - 1)];
    let clipped = meet(&spans, &machines);
    if own && !matches!(term, Term::Prefix(..)) && !clipped.is_empty() {
        merge(clipped)
    } else {
        merge(spans)
    }
}

type Four = (Span, Span, Span, Span);

fn product<'a>(
    a: &'a [Span],
    b: &'a [Span],
    c: &'a [Span],
    d: &'a [Span],
) -> impl Iterator<Item = Four> + 'a {
    a.iter().flat_map(move |&a| {
        b.iter().flat_map(move |&b| c.iter().flat_map(move |&c| d.iter().map(move |&d| (a, b, c, d))))
    })
}

/// Where sets begin, or where what lies behind them does.
fn cuts(world: &World, promise: &Promise) -> Vec<u32> {
    let terms = world.rules().flat_map(|rule| rule.source.iter().chain(&rule.destination)).copied();
    let always =
        [Term::Network, Term::Internet, Term::Known, Term::Drift, Term::Balancer, promise.from, promise.to];
    let sets = terms.chain(always).flat_map(|term| {
        let (least, most) = world.bounds(term);
        [least, most].concat()
    });
    let prefixes = [world::FAR, (0xa9fe_a9fe, 32), (0x0a00_0000, 8), (0xac10_0000, 12), (0xc0a8_0000, 16)];
    let routes = world.routes.iter().flatten().map(|(prefix, _)| *prefix);
    let prefixes = prefixes.into_iter().chain([(0x6440_0000, 10)]).chain(routes).map(world::prefix);
    let mut cuts: Vec<u32> =
        sets.chain(prefixes).flat_map(|(first, last)| [first, last.wrapping_add(1)]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn port_cuts(world: &World) -> Vec<u32> {
    let rules = world.rules().flat_map(|rule| [rule.ports, rule.source_ports]);
    let exempt = [(53, 53), (67, 68), (80, 80), (443, 443), (32526, 32526)];
    let ranges = rules.chain(exempt);
    let mut cuts: Vec<u32> =
        ranges.flat_map(|(first, last)| [u32::from(first), u32::from(last) + 1]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// The spans, cut.
fn split(spans: &[Span], cuts: &[u32]) -> Vec<Span> {
    let mut parts = Vec::new();
    for &(first, last) in spans {
        let mut from = first;
        for &cut in cuts.iter().filter(|cut| first < **cut && **cut <= last) {
            parts.push((from, cut - 1));
            from = cut;
        }
        parts.push((from, last));
    }
    parts
}

fn meet(a: &[Span], b: &[Span]) -> Vec<Span> {
    let both = a.iter().flat_map(|a| b.iter().map(|b| (a.0.max(b.0), a.1.min(b.1))));
    both.filter(|(first, last)| first <= last).collect()
}

/// Disjoint spans of the same addresses.
fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
            _ => merged.push(span),
        }
    }
    merged
}

/// Contracts about the build subnet, and now and then about something stranger.
pub fn promise(term: BoxedStrategy<Term>) -> impl Strategy<Value = Promise> {
    let own = prop_oneof![
        3 => Just(Term::Prefix(world::SUBNET.0, world::SUBNET.1)),
        3 => Just(Term::Any),
        1 => Just(Term::Network),
        1 => term.clone(),
    ];
    let protocol = prop_oneof![5 => Just(Some(6)), 1 => Just(Some(17)), 1 => Just(Some(1)), 2 => Just(None)];
    (any::<bool>(), prop::bool::weighted(0.3), protocol, own, term, policy::port_range()).prop_map(
        |(allow, inbound, protocol, own, peer, ports)| {
            let (from, to) = if inbound { (peer, own) } else { (own, peer) };
            let ports = if protocol == Some(1) { (0, u16::MAX) } else { ports };
            Promise { allow, inbound, protocol, from, to, ports }
        },
    )
}
