//! Worlds of the small universe as policies, and random ones.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use network_policy::{
    Access, Address, AdminAction, AdminRule, Context, Destination, Direction, FarSubnet, Firewall,
    FirewallPolicy, FirewallRule, Flow, NetworkPolicy, NetworkRule, NetworkSecurityGroup, NextHop, Outbound,
    PortRange, Protocol, Route, RouteDestination, RouteSource, RouteTable, RuleCollection,
    RuleCollectionGroup, RuleProtocol, SecurityRule, Tags,
};
use proptest::prelude::*;

use crate::world::{self, ADDRESSES, Hop, Packet, Rule, Term, World};

pub fn net((base, length): (u32, u8)) -> IpNet {
    Ipv4Net::new(base.into(), length).unwrap().trunc().into()
}

pub fn protocol(number: u8) -> Protocol {
    match number {
        1 => Protocol::Icmp,
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        other => Protocol::Other(other),
    }
}

fn addresses(terms: &[Term]) -> Vec<Address> {
    terms.iter().map(|term| Address::parse(&term.text()).unwrap()).collect()
}

fn ports((first, last): (u16, u16)) -> Vec<PortRange> {
    vec![PortRange { first, last }]
}

fn direction(inbound: bool) -> Direction {
    if inbound { Direction::Inbound } else { Direction::Outbound }
}

fn access(allow: bool) -> Access {
    if allow { Access::Allow } else { Access::Deny }
}

fn rule_protocol(rule: &Rule) -> RuleProtocol {
    rule.protocol.map_or(RuleProtocol::Any, |number| RuleProtocol::Only(protocol(number)))
}

/// Priorities leave room between rules; listed backwards, so that they alone give the order.
pub fn group(name: &str, rules: &[Rule]) -> NetworkSecurityGroup {
    let rules = rules.iter().zip((110..).step_by(10)).map(|(rule, priority)| SecurityRule {
        name: format!("{name}-{priority}"),
        priority,
        direction: direction(rule.inbound),
        access: access(rule.allow),
        protocol: rule_protocol(rule),
        source: addresses(&rule.source),
        source_ports: ports(rule.source_ports),
        destination: addresses(&rule.destination),
        destination_ports: ports(rule.ports),
    });
    let mut rules: Vec<_> = rules.collect();
    rules.reverse();
    NetworkSecurityGroup::new(name, rules).unwrap()
}

fn firewall(rules: &[Rule]) -> Firewall {
    let collection = |(index, rule): (usize, &Rule)| RuleCollection {
        name: format!("collection-{index}"),
        priority: 100 + u16::try_from(index).unwrap(),
        action: access(rule.allow),
        rules: vec![FirewallRule::Network(NetworkRule {
            name: format!("firewall-{index}"),
            protocols: vec![rule_protocol(rule)],
            source: addresses(&rule.source),
            destination: addresses(&rule.destination),
            destination_names: Vec::new(),
            destination_ports: ports(rule.ports),
        })],
    };
    let mut collections: Vec<_> = rules.iter().enumerate().map(collection).collect();
    collections.reverse();
    let group = RuleCollectionGroup { name: "group".to_owned(), priority: 200, collections };
    Firewall {
        policy: FirewallPolicy::new("firewall", vec![group]),
        private_addresses: vec![Ipv4Addr::from(world::FIREWALL).into()],
    }
}

fn routes(routes: &[((u32, u8), Hop)]) -> RouteTable {
    let route = |(prefix, hop): &((u32, u8), Hop)| Route {
        name: format!("to-{}", net(*prefix)),
        source: RouteSource::User,
        destination: RouteDestination::Prefix(net(*prefix)),
        next_hop: match hop {
            Hop::Internet => NextHop::Internet,
            Hop::Nowhere => NextHop::None,
            Hop::Firewall => NextHop::Appliance(Some(Ipv4Addr::from(world::FIREWALL).into())),
            Hop::Stranger => NextHop::Appliance(Some(Ipv4Addr::new(10, 9, 0, 9).into())),
        },
    };
    RouteTable {
        name: "routes".to_owned(),
        routes: routes.iter().map(route).collect(),
        outbound: Outbound::NatGateway,
        ..RouteTable::default()
    }
}

fn admin(rule: &world::AdminRule, priority: u16) -> AdminRule {
    AdminRule {
        name: format!("admin-{priority}"),
        resource: "manager".to_owned(),
        priority,
        direction: direction(rule.rule.inbound),
        action: match (rule.rule.allow, rule.skips) {
            (false, _) => AdminAction::Deny,
            (true, false) => AdminAction::Allow,
            (true, true) => AdminAction::AlwaysAllow,
        },
        protocol: rule_protocol(&rule.rule),
        source: addresses(&rule.rule.source),
        source_ports: ports(rule.rule.source_ports),
        destination: addresses(&rule.rule.destination),
        destination_ports: ports(rule.rule.ports),
    }
}

pub fn context() -> Context {
    let mut tags = Tags::new("the small universe");
    tags.insert("Known", &[net((0x143c_0000, 16))]);
    tags.insert_bounds("Drift", &[net((0x143c_0000, 16))], &[net((0x1496_0000, 17))]);
    Context {
        virtual_network: vec![net(world::NETWORK)],
        build_subnet: Some(net(world::SUBNET)),
        tags: Arc::new(tags),
        ..Context::default()
    }
}

/// The policy of a world.
pub fn of(world: &World) -> NetworkPolicy {
    let far = world.far.as_ref().map(|rules| FarSubnet {
        name: "far".to_owned(),
        prefixes: vec![net(world::FAR)],
        nsg: group("far", rules),
    });
    NetworkPolicy {
        admin: (1..).zip(&world.admin).map(|(priority, rule)| admin(rule, priority)).collect(),
        nic_nsg: world.nic.as_ref().map(|rules| group("nic", rules)),
        subnet_nsg: world.subnet.as_ref().map(|rules| group("subnet", rules)),
        far_subnets: far.into_iter().collect(),
        routes: world.routes.as_ref().map(|list| routes(list)),
        firewall: world.firewall.as_ref().map(|rules| firewall(rules)),
        context: context(),
        ..NetworkPolicy::default()
    }
}

/// The flow of a packet.
pub fn flow(packet: Packet) -> Flow {
    let address = |point: u32| -> IpAddr { Ipv4Addr::from(point).into() };
    Flow {
        direction: direction(packet.inbound),
        protocol: protocol(packet.protocol),
        source: address(packet.source),
        source_port: packet.source_port,
        destination: Destination::Address(address(packet.destination)),
        port: packet.port,
        application: None,
    }
}

fn literal() -> impl Strategy<Value = Term> {
    (prop::sample::select(&ADDRESSES[..]), prop::sample::select(vec![0u8, 1, 8, 12, 16, 24, 31, 32]))
        .prop_map(|(address, length)| Term::Prefix(world::prefix((address, length)).0, length))
}

/// Terms whose prefixes are known.
pub fn exact_term() -> impl Strategy<Value = Term> {
    prop_oneof![
        2 => Just(Term::Any),
        2 => Just(Term::Network),
        2 => Just(Term::Internet),
        1 => Just(Term::Balancer),
        1 => Just(Term::Known),
        5 => literal(),
    ]
}

pub fn term() -> impl Strategy<Value = Term> {
    prop_oneof![9 => exact_term(), 1 => Just(Term::Drift), 1 => Just(Term::Unknown)]
}

pub fn port_range() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![
        3 => Just((0, u16::MAX)),
        2 => prop::sample::select(vec![(443, 443), (80, 80), (80, 443), (22, 22), (53, 53), (1024, u16::MAX)]),
    ]
}

pub fn rule_of(term: &BoxedStrategy<Term>) -> impl Strategy<Value = Rule> + use<> {
    let terms = || prop::collection::vec(term.clone(), 1..3);
    let protocol = prop_oneof![3 => Just(None), 3 => Just(Some(6)), 1 => Just(Some(17)), 1 => Just(Some(1))];
    (
        prop::bool::weighted(0.3),
        any::<bool>(),
        protocol,
        terms(),
        terms(),
        port_range(),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(inbound, allow, protocol, source, destination, ports, ephemeral)| Rule {
            inbound,
            allow,
            protocol,
            source,
            source_ports: if ephemeral { (50_000, u16::MAX) } else { (0, u16::MAX) },
            destination,
            ports: if protocol == Some(1) { (0, u16::MAX) } else { ports },
        })
}

fn route() -> impl Strategy<Value = ((u32, u8), Hop)> {
    let prefix = (prop::sample::select(&ADDRESSES[..]), prop::sample::select(vec![0u8, 8, 16, 24, 32]));
    let hop = prop_oneof![
        2 => Just(Hop::Firewall),
        2 => Just(Hop::Nowhere),
        1 => Just(Hop::Internet),
        1 => Just(Hop::Stranger)
    ];
    (prefix, hop).prop_map(|((address, length), hop)| ((world::prefix((address, length)).0, length), hop))
}

/// Two groups and nothing else.
pub fn groups(term: &BoxedStrategy<Term>) -> impl Strategy<Value = World> + use<> {
    let rules = |most| prop::collection::vec(rule_of(term), 0..most);
    (rules(6), prop::option::of(rules(4))).prop_map(|(subnet, nic)| World {
        subnet: Some(subnet),
        nic,
        ..World::default()
    })
}

/// Every layer there is, each of them often absent.
pub fn world(term: &BoxedStrategy<Term>) -> impl Strategy<Value = World> + use<> {
    let rules = |most| prop::option::of(prop::collection::vec(rule_of(term), 0..most));
    let admin = (rule_of(term), any::<bool>()).prop_map(|(rule, skips)| world::AdminRule { rule, skips });
    let table = prop::option::of(prop::collection::vec(route(), 0..4));
    (rules(4), rules(4), rules(3), rules(4), prop::collection::vec(admin, 0..3), table).prop_map(
        |(subnet, nic, far, firewall, admin, routes)| World {
            admin,
            subnet,
            nic,
            far,
            firewall: firewall.map(outbound_only),
            routes: routes.map(distinct),
        },
    )
}

/// A firewall's rules have no direction and no source ports.
fn outbound_only(mut rules: Vec<Rule>) -> Vec<Rule> {
    for rule in &mut rules {
        rule.inbound = false;
        rule.source_ports = (0, u16::MAX);
    }
    rules
}

fn distinct(mut routes: Vec<((u32, u8), Hop)>) -> Vec<((u32, u8), Hop)> {
    routes.sort_by_key(|route| route.0);
    routes.dedup_by_key(|route| route.0);
    routes
}
