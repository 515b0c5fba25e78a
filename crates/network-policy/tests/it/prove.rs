//! Proofs against the naive oracle, over every packet of small contracts.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use network_policy::{
    Access, Address, AdminAction, AdminRule, Context, Contract, ContractEnd, Destination, Direction,
    FarSubnet, Firewall, FirewallPolicy, FirewallRule, Flow, NetworkPolicy, NetworkRule,
    NetworkSecurityGroup, NextHop, Outbound, PortRange, Proof, ProofVerdict, Protocol, Route,
    RouteDestination, RouteSource, RouteTable, RuleCollection, RuleCollectionGroup, RuleProtocol,
    SecurityRule, Tags, Verdict,
};
use proptest::prelude::*;

use crate::oracle::{self, Packet};

/// Where the packets are: the build machine's /30 and some peers inside and outside.
const OURS: &str = "10.1.0.0/30";
const PEERS: [&str; 5] = ["20.60.0.0/30", "10.1.0.0/30", "10.2.0.0/30", "10.1.0.4/30", "11.0.0.0/30"];
const FIREWALL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 3, 0, 4));

fn any_address() -> impl Strategy<Value = Address> {
    let bases = vec!["20.60.0.0", "10.1.0.0", "10.2.0.0", "10.1.0.4", "11.0.0.0"];
    let prefix = (prop::sample::select(bases), 0u32..4, prop::sample::select(vec![8u8, 16, 29, 30, 31, 32]));
    prop_oneof![
        2 => Just(Address::Any),
        2 => Just(Address::parse("VirtualNetwork").unwrap()),
        2 => Just(Address::parse("Internet").unwrap()),
        1 => Just(Address::parse("CorpNetPublic").unwrap()),
        1 => Just(Address::ApplicationSecurityGroup("asg".to_owned())),
        6 => prefix.prop_map(|(base, host, length)| {
            let base: Ipv4Addr = base.parse().unwrap();
            let net = ipnet::Ipv4Net::new((base.to_bits() + host).into(), length).unwrap();
            Address::Prefix(net.trunc().into())
        }),
    ]
}

fn any_ports() -> impl Strategy<Value = Vec<PortRange>> {
    let range = (0u16..3, 0u16..3).prop_map(|(a, b)| PortRange { first: a.min(b), last: a.max(b) });
    prop_oneof![2 => Just(vec![PortRange::ALL]), 3 => prop::collection::vec(range, 1..3)]
}

fn any_protocol() -> impl Strategy<Value = RuleProtocol> {
    prop::sample::select(vec![
        RuleProtocol::Any,
        RuleProtocol::Any,
        RuleProtocol::Only(Protocol::Tcp),
        RuleProtocol::Only(Protocol::Udp),
        RuleProtocol::Only(Protocol::Icmp),
    ])
}

fn any_rule() -> impl Strategy<Value = SecurityRule> {
    let list = || prop::collection::vec(any_address(), 1..3);
    (any::<(bool, bool)>(), any_protocol(), list(), any_ports(), list(), any_ports()).prop_map(
        |((inbound, allow), protocol, source, source_ports, destination, destination_ports)| SecurityRule {
            name: String::new(),
            priority: 100,
            direction: if inbound { Direction::Inbound } else { Direction::Outbound },
            access: if allow { Access::Allow } else { Access::Deny },
            protocol,
            source,
            source_ports,
            destination,
            destination_ports,
        },
    )
}

fn any_group(name: &'static str, most: usize) -> impl Strategy<Value = NetworkSecurityGroup> {
    prop::collection::vec(any_rule(), 0..most).prop_map(move |mut rules| {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("{name}-{index}");
            rule.priority = 100 + u16::try_from(index).unwrap();
        }
        NetworkSecurityGroup::new(name, rules).unwrap()
    })
}

fn any_admin() -> impl Strategy<Value = Vec<AdminRule>> {
    let actions = vec![AdminAction::Allow, AdminAction::Deny, AdminAction::AlwaysAllow];
    prop::collection::vec((any_rule(), prop::sample::select(actions)), 0..3).prop_map(|rules| {
        let rule = |(index, (rule, action)): (usize, (SecurityRule, AdminAction))| AdminRule {
            name: format!("admin-{index}"),
            resource: "avnm".to_owned(),
            priority: u16::try_from(10 - index).unwrap(),
            direction: rule.direction,
            action,
            protocol: rule.protocol,
            source: rule.source,
            source_ports: rule.source_ports,
            destination: rule.destination,
            destination_ports: rule.destination_ports,
        };
        rules.into_iter().enumerate().map(rule).collect()
    })
}

fn any_routes() -> impl Strategy<Value = Option<RouteTable>> {
    let destination = prop::sample::select(vec![
        "0.0.0.0/0",
        "20.60.0.0/31",
        "20.60.0.0/16",
        "10.0.0.0/8",
        "10.2.0.0/30",
        "10.1.0.4/32",
        "11.0.0.0/8",
    ]);
    let hops = vec![
        NextHop::None,
        NextHop::Internet,
        NextHop::VirtualNetwork,
        NextHop::Appliance(Some(FIREWALL)),
        NextHop::Appliance(Some(FIREWALL)),
        NextHop::Appliance(Some("10.9.9.9".parse().unwrap())),
        NextHop::Gateway,
    ];
    let outbound = vec![
        Outbound::NatGateway,
        Outbound::DefaultAccess,
        Outbound::DefaultAccess,
        Outbound::Missing,
        Outbound::Unknown,
    ];
    let route = (destination, prop::sample::select(hops));
    let table = (prop::collection::vec(route, 0..4), prop::sample::select(outbound)).prop_map(
        |(routes, outbound)| {
            let mut seen = Vec::new();
            let mut table = RouteTable { outbound, ..RouteTable::default() };
            for (destination, next_hop) in routes {
                if !seen.contains(&destination) {
                    seen.push(destination);
                    table.routes.push(Route {
                        name: format!("route {destination}"),
                        source: RouteSource::User,
                        destination: RouteDestination::Prefix(destination.parse().unwrap()),
                        next_hop,
                    });
                }
            }
            table
        },
    );
    prop::option::of(table)
}

fn any_firewall() -> impl Strategy<Value = Option<Firewall>> {
    let collection = (prop::collection::vec(any_rule(), 1..3), any::<bool>());
    let collections = prop::collection::vec(collection, 0..3).prop_map(|collections| {
        let collection = |(index, (rules, allow)): (usize, (Vec<SecurityRule>, bool))| RuleCollection {
            name: format!("collection-{index}"),
            priority: 900 - 100 * u16::try_from(index).unwrap(),
            action: if allow { Access::Allow } else { Access::Deny },
            rules: (0..).zip(rules).map(|(number, rule)| network_rule(index, number, rule)).collect(),
        };
        let collections = collections.into_iter().enumerate().map(collection).collect();
        let group = RuleCollectionGroup { name: "group".to_owned(), priority: 100, collections };
        Firewall { policy: FirewallPolicy::new("firewall", vec![group]), private_addresses: vec![FIREWALL] }
    });
    prop::option::of(collections)
}

fn network_rule(collection: usize, number: usize, rule: SecurityRule) -> FirewallRule {
    FirewallRule::Network(NetworkRule {
        name: format!("network-{collection}-{number}"),
        protocols: vec![rule.protocol],
        source: rule.source,
        destination: rule.destination,
        destination_names: Vec::new(),
        destination_ports: rule.destination_ports,
    })
}

fn any_policy() -> impl Strategy<Value = NetworkPolicy> {
    let groups = (prop::option::of(any_group("nic", 3)), prop::option::of(any_group("subnet", 5)));
    let far = prop::option::of(any_group("far", 3));
    (any_admin(), groups, any_routes(), any_firewall(), far, any::<bool>()).prop_map(
        |(admin, (nic_nsg, subnet_nsg), routes, firewall, far, peered)| NetworkPolicy {
            admin,
            nic_nsg,
            subnet_nsg,
            routes,
            firewall,
            far_subnets: far
                .into_iter()
                .map(|nsg| FarSubnet {
                    name: "far".to_owned(),
                    prefixes: vec!["10.1.0.4/31".parse().unwrap()],
                    nsg,
                })
                .collect(),
            context: Context {
                virtual_network: vec!["10.1.0.0/29".parse().unwrap()],
                build_subnet: Some(OURS.parse().unwrap()),
                peered: if peered { vec!["11.0.0.0/31".parse().unwrap()] } else { Vec::new() },
                tags: Arc::new(Tags::new("none")),
                ..Context::default()
            },
            ..NetworkPolicy::default()
        },
    )
}

fn any_contract() -> impl Strategy<Value = Contract> {
    let ports = || prop_oneof![Just(PortRange { first: 0, last: 2 }), (0u16..3).prop_map(PortRange::single),];
    (any::<(bool, bool)>(), any_protocol(), prop::sample::select(PEERS.to_vec()), ports(), ports()).prop_map(
        |((allow, inbound), protocol, peer, from, to)| {
            let end = |text: &str, ports| ContractEnd { address: Address::parse(text).unwrap(), ports };
            let (source, destination) = if inbound { (peer, OURS) } else { (OURS, peer) };
            let ported =
                matches!(protocol, RuleProtocol::Any | RuleProtocol::Only(Protocol::Tcp | Protocol::Udp));
            let (from, to) = if ported { (from, to) } else { (PortRange::ALL, PortRange::ALL) };
            Contract {
                access: if allow { Access::Allow } else { Access::Deny },
                direction: if inbound { Direction::Inbound } else { Direction::Outbound },
                protocol,
                from: end(source, from),
                to: end(destination, to),
                name: None,
            }
        },
    )
}

/// Every packet that a contract of this test describes.
fn packets(contract: &Contract) -> Vec<Packet> {
    let addresses = |end: &ContractEnd| -> Vec<u32> {
        let Address::Prefix(ipnet::IpNet::V4(prefix)) = &end.address else { panic!("a prefix") };
        (0..4).map(|host| prefix.addr().to_bits() + host).collect()
    };
    let protocols = match contract.protocol {
        RuleProtocol::Any => vec![Protocol::Tcp, Protocol::Udp],
        RuleProtocol::Only(protocol) => vec![protocol],
    };
    let mut packets = Vec::new();
    for protocol in protocols {
        let ports = |end: &ContractEnd| match protocol {
            Protocol::Tcp | Protocol::Udp => end.ports.first..=end.ports.last,
            _ => 0..=0,
        };
        for source in addresses(&contract.from) {
            for source_port in ports(&contract.from) {
                for destination in addresses(&contract.to) {
                    for port in ports(&contract.to) {
                        let direction = contract.direction;
                        packets.push(Packet { direction, protocol, source, source_port, destination, port });
                    }
                }
            }
        }
    }
    packets
}

fn flow(packet: Packet) -> Flow {
    Flow {
        direction: packet.direction,
        protocol: packet.protocol,
        source: Ipv4Addr::from(packet.source).into(),
        source_port: packet.source_port,
        destination: Destination::Address(Ipv4Addr::from(packet.destination).into()),
        port: packet.port,
        application: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 20_000, ..crate::cases(1000) })]

    /// Verdict, the number of packets concerned, the packet that is shown and who decided about it.
    #[test]
    fn proofs_are_what_every_packet_says(policy in any_policy(), contract in any_contract()) {
        let packets = packets(&contract);
        let verdicts: Option<Vec<_>> = packets.iter().map(|packet| oracle::verdict(&policy, *packet)).collect();
        prop_assume!(verdicts.is_some());
        let verdicts = verdicts.unwrap();
        let breaking = if contract.access == Access::Allow { Verdict::Denied } else { Verdict::Allowed };
        let count = |wanted| u128::try_from(verdicts.iter().filter(|verdict| **verdict == wanted).count()).unwrap();
        let (broken, open) = (count(breaking), count(Verdict::Undecided));
        let expected = match (broken, open) {
            (0, 0) => ProofVerdict::Proved,
            (0, _) => ProofVerdict::Depends,
            _ => ProofVerdict::Refuted,
        };
        let compiled = policy.compile();
        let proof = compiled.prove(&contract);
        prop_assert_eq!(proof.verdict, expected, "{} {:#?} of {:#?}", contract, proof, policy);
        let second = compiled.second_opinion(&contract);
        prop_assert_eq!(second.verdict, expected, "diagrams: {} {:#?} of {:#?}", contract, second, policy);
        let counts = |proof: &Proof| proof.lost.as_ref().map(|lost| (lost.packets, lost.total));
        prop_assert_eq!(counts(&second), counts(&proof));
        if let Some(packet) = &second.packet {
            let again = compiled.decide(&packet.flow()).verdict;
            prop_assert_eq!(again, if expected == ProofVerdict::Refuted { breaking } else { Verdict::Undecided });
        }
        match expected {
            ProofVerdict::Proved => {
                let certificate = proof.certificate.expect("a certificate");
                prop_assert_eq!(certificate.check(&policy, &contract), Ok(()), "{} {:?} {:?}", contract, certificate, policy);
                prop_assert_eq!(compiled.certify(&contract), certificate);
                prop_assert!(proof.packet.is_none() && proof.lost.is_none() && proof.open.is_empty());
            }
            ProofVerdict::Refuted | ProofVerdict::Depends => {
                let certificate = proof.certificate.expect("a partition");
                prop_assert!(certificate.check(&policy, &contract).is_err());
                let lost = proof.lost.unwrap();
                let affected = if expected == ProofVerdict::Refuted { broken } else { open };
                prop_assert_eq!((lost.packets, lost.total), (affected, u128::try_from(packets.len()).unwrap()));
                let again = compiled.decide(&proof.packet.clone().unwrap().flow());
                let wanted = if expected == ProofVerdict::Refuted { breaking } else { Verdict::Undecided };
                let by = proof.decided_by.map(|by| by.rule);
                prop_assert_eq!(again.verdict, wanted, "{} {:?} {:?}", contract, proof.packet, policy);
                prop_assert!(again.layer == network_policy::Layer::Platform || by == Some(again.rule));
                prop_assert_eq!(expected == ProofVerdict::Depends, !proof.open.is_empty());
            }
        }
        // Single flows are decided as the boxes are.
        for (packet, verdict) in packets.iter().zip(&verdicts).step_by(7) {
            prop_assert_eq!(compiled.decide(&flow(*packet)).verdict, *verdict, "{:?} {:?}", packet, policy);
        }
    }
}

/// A flow between two subnets of the network meets the outbound rules of the one and the inbound rules of the other.
#[test]
fn what_comes_from_a_known_subnet_has_to_be_let_out_of_it() {
    let group = |name: &str, lines: &[&str]| {
        let rules = lines.iter().map(|line| crate::repair::rule(line)).collect();
        NetworkSecurityGroup::new(name, rules).unwrap()
    };
    let closed = ["200 deny outbound * * -> *"];
    let policy = |lines: &[&str]| NetworkPolicy {
        subnet_nsg: Some(group("build", &[])),
        far_subnets: vec![FarSubnet {
            name: "containers".to_owned(),
            prefixes: vec!["10.1.1.0/24".parse().unwrap()],
            nsg: group("containers", lines),
        }],
        context: Context {
            virtual_network: vec!["10.1.0.0/16".parse().unwrap()],
            build_subnet: Some("10.1.0.0/28".parse().unwrap()),
            ..Context::default()
        },
        ..NetworkPolicy::default()
    };
    let contract = Contract::parse("allow inbound tcp 10.1.1.0/24 -> *:22").unwrap();
    let proof = policy(&closed).prove(&contract);
    let by = proof.decided_by.map(|by| (by.resource, by.rule));
    assert_eq!(proof.verdict, ProofVerdict::Refuted);
    assert_eq!(by.unwrap().0, "containers");
    let opened = ["100 allow outbound tcp * -> 10.1.0.0/28:22", closed[0]];
    assert_eq!(policy(&opened).prove(&contract).verdict, ProofVerdict::Proved);
    // Who comes from elsewhere does not meet that group at all.
    let elsewhere = Contract::parse("allow inbound tcp 10.1.2.0/24 -> *:22").unwrap();
    let proof = policy(&closed).prove(&elsewhere);
    assert_eq!(proof.verdict, ProofVerdict::Proved);
    let deciders: Vec<_> =
        proof.certificate.unwrap().boxes.into_iter().flat_map(|part| part.deciders).collect();
    assert!(deciders.iter().all(|by| by.resource == "build"), "{deciders:?}");
    // The repair goes into the group that refuses.
    let repair = policy(&closed).repair(std::slice::from_ref(&contract));
    let told: Vec<_> = repair.rules.iter().map(|new| (new.nsg.as_str(), new.rule.direction)).collect();
    assert_eq!(told, [("containers", Direction::Outbound)]);
    assert_eq!(repair.policy.prove(&contract).verdict, ProofVerdict::Proved);
}
