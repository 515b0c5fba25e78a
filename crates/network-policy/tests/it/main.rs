//! Decisions against a deliberately naive oracle, packet by packet in a small universe.
//!
//! The oracle knows no bounds: it asks rule after rule with plain truth values, once for every way in which the
//! open points (tags that nobody knows) could turn out. A decision has to be what all of them agree on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;
mod prove;

use std::net::{IpAddr, Ipv4Addr};

use network_policy::{
    Access, Address, Context, Destination, Direction, Flow, NetworkPolicy, NetworkSecurityGroup, PortRange,
    Protocol, RuleProtocol, SecurityRule, Verdict,
};
use proptest::prelude::*;

/// Address, whether it is in the virtual network 10.1.0.0/16, whether it is in the Internet.
const ADDRESSES: [(u32, bool, bool); 9] = [
    (0x0a01_0004, true, false),  // 10.1.0.4
    (0x0a01_0005, true, false),  // 10.1.0.5
    (0x0a01_ffff, true, false),  // 10.1.255.255
    (0x0a02_0000, false, false), // 10.2.0.0, private and outside
    (0x0101_0101, false, true),  // 1.1.1.1
    (0x143c_0001, false, true),  // 20.60.0.1
    (0xac10_0001, false, false), // 172.16.0.1
    (0xac20_0001, false, true),  // 172.32.0.1, just outside private space
    (0x7f00_0001, false, false), // loopback
];

/// An address term as the oracle sees it.
#[derive(Clone, Debug)]
enum Term {
    Any,
    Network,
    Internet,
    Prefix(u32, u8),
    /// A tag no one knows: every occurrence is an open point of its own.
    Unknown,
}

#[derive(Clone, Debug)]
struct Naive {
    inbound: bool,
    allow: bool,
    protocol: Option<bool>,
    source: Vec<Term>,
    destination: Vec<Term>,
    ports: (u16, u16),
    source_ports: (u16, u16),
}

fn term() -> impl Strategy<Value = Term> {
    prop_oneof![
        2 => Just(Term::Any),
        2 => Just(Term::Network),
        2 => Just(Term::Internet),
        3 => (0..ADDRESSES.len(), prop::sample::select(vec![0u8, 1, 8, 12, 16, 31, 32])).prop_map(|(i, length)| {
            let mask = if length == 0 { 0 } else { u32::MAX << (32 - length) };
            Term::Prefix(ADDRESSES[i].0 & mask, length)
        }),
        1 => Just(Term::Unknown),
    ]
}

fn ports() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![Just((0, u16::MAX)), (0u16..6, 0u16..6).prop_map(|(a, b)| (a.min(b), a.max(b)))]
}

fn naive_rule() -> impl Strategy<Value = Naive> {
    let terms = || prop::collection::vec(term(), 1..3);
    (any::<bool>(), any::<bool>(), any::<Option<bool>>(), terms(), terms(), ports(), ports()).prop_map(
        |(inbound, allow, protocol, source, destination, ports, source_ports)| Naive {
            inbound,
            allow,
            protocol,
            source,
            destination,
            ports,
            source_ports,
        },
    )
}

/// A packet: direction, TCP or UDP, the build machine's peer, ports.
#[derive(Clone, Copy, Debug)]
struct Packet {
    inbound: bool,
    tcp: bool,
    peer: usize,
    source_port: u16,
    port: u16,
}

fn packet() -> impl Strategy<Value = Packet> {
    (any::<bool>(), any::<bool>(), 0..ADDRESSES.len(), 0u16..6, 0u16..6)
        .prop_map(|(inbound, tcp, peer, source_port, port)| Packet { inbound, tcp, peer, source_port, port })
}

const MACHINE: usize = 0;

/// Truth of each open point, handed out in the order in which the terms stand in the policy.
struct Resolution {
    bits: u32,
    next: u32,
}

impl Resolution {
    fn take(&mut self) -> bool {
        self.next += 1;
        self.bits >> (self.next - 1) & 1 == 1
    }
}

fn covers(terms: &[Term], address: usize, open: &mut Resolution) -> bool {
    let (address, network, internet) = ADDRESSES[address];
    // No short circuit: every open point takes its own bit.
    terms.iter().fold(false, |found, term| {
        let hit = match term {
            Term::Any => true,
            Term::Network => network,
            Term::Internet => internet,
            Term::Prefix(base, length) => {
                (0..u32::from(*length)).all(|bit| (base ^ address) >> (31 - bit) & 1 == 0)
            }
            Term::Unknown => open.take(),
        };
        found | hit
    })
}

/// Whether the first matching rule allows; the default rules written out.
fn allows(rules: &[Naive], packet: Packet, open: &mut Resolution) -> bool {
    let (source, destination) = if packet.inbound { (packet.peer, MACHINE) } else { (MACHINE, packet.peer) };
    let mut answer = None;
    for rule in rules {
        let hit = covers(&rule.source, source, open) & covers(&rule.destination, destination, open);
        let hit = hit
            && rule.inbound == packet.inbound
            && rule.protocol.is_none_or(|tcp| tcp == packet.tcp)
            && (rule.ports.0..=rule.ports.1).contains(&packet.port)
            && (rule.source_ports.0..=rule.source_ports.1).contains(&packet.source_port);
        if hit && answer.is_none() {
            answer = Some(rule.allow);
        }
    }
    let (_, network, internet) = ADDRESSES[packet.peer];
    answer.unwrap_or(network || (internet && !packet.inbound))
}

fn unknowns(rules: &[Naive]) -> usize {
    let terms = rules.iter().flat_map(|rule| rule.source.iter().chain(&rule.destination));
    terms.filter(|term| matches!(term, Term::Unknown)).count()
}

fn group(name: &str, rules: &[Naive]) -> NetworkSecurityGroup {
    let terms = |terms: &[Term]| {
        let address = |term: &Term| match term {
            Term::Any => Address::parse("*"),
            Term::Network => Address::parse("VirtualNetwork"),
            Term::Internet => Address::parse("Internet"),
            Term::Prefix(base, length) => Address::parse(&format!("{}/{length}", Ipv4Addr::from(*base))),
            Term::Unknown => Address::parse("CorpNetPublic"),
        };
        terms.iter().map(|term| address(term).unwrap()).collect()
    };
    let range = |(first, last)| vec![PortRange { first, last }];
    let mut rules: Vec<_> = rules
        .iter()
        .zip(100..)
        .map(|(rule, priority)| SecurityRule {
            name: format!("rule-{priority}"),
            priority,
            direction: if rule.inbound { Direction::Inbound } else { Direction::Outbound },
            access: if rule.allow { Access::Allow } else { Access::Deny },
            protocol: match rule.protocol {
                None => RuleProtocol::Any,
                Some(true) => RuleProtocol::Only(Protocol::Tcp),
                Some(false) => RuleProtocol::Only(Protocol::Udp),
            },
            source: terms(&rule.source),
            source_ports: range(rule.source_ports),
            destination: terms(&rule.destination),
            destination_ports: range(rule.ports),
        })
        .collect();
    // Listed backwards: priorities alone give the order.
    rules.reverse();
    NetworkSecurityGroup::new(name, rules).unwrap()
}

fn address(index: usize) -> IpAddr {
    Ipv4Addr::from(ADDRESSES[index].0).into()
}

fn flow(packet: Packet) -> Flow {
    let (source, destination) = if packet.inbound { (packet.peer, MACHINE) } else { (MACHINE, packet.peer) };
    Flow {
        direction: if packet.inbound { Direction::Inbound } else { Direction::Outbound },
        protocol: if packet.tcp { Protocol::Tcp } else { Protocol::Udp },
        source: address(source),
        source_port: packet.source_port,
        destination: Destination::Address(address(destination)),
        port: packet.port,
        application: None,
    }
}

fn policy(subnet: &[Naive], nic: &[Naive]) -> NetworkPolicy {
    NetworkPolicy {
        subnet_nsg: Some(group("subnet", subnet)),
        nic_nsg: Some(group("nic", nic)),
        context: Context {
            virtual_network: vec!["10.1.0.0/16".parse().unwrap()],
            build_subnet: Some("10.1.0.0/28".parse().unwrap()),
            ..Context::default()
        },
        ..NetworkPolicy::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decisions_are_what_every_resolution_agrees_on(
        subnet in prop::collection::vec(naive_rule(), 0..5),
        nic in prop::collection::vec(naive_rule(), 0..4),
        packets in prop::collection::vec(packet(), 8),
    ) {
        let open = unknowns(&subnet) + unknowns(&nic);
        prop_assume!(open <= 8);
        let policy = policy(&subnet, &nic);
        for packet in packets {
            let answers = (0..1u32 << open).map(|bits| {
                let mut resolution = Resolution { bits, next: 0 };
                // Both are asked in full, so that open points keep their places.
                allows(&subnet, packet, &mut resolution) & allows(&nic, packet, &mut resolution)
            });
            let answers: Vec<_> = answers.collect();
            let expected = match (answers.contains(&true), answers.contains(&false)) {
                (true, false) => Verdict::Allowed,
                (false, _) => Verdict::Denied,
                (true, true) => Verdict::Undecided,
            };
            let decision = policy.decide(&flow(packet));
            prop_assert_eq!(decision.verdict, expected, "{:?} {:?}", packet, decision);
        }
    }
}
