//! A deliberately naive reading of the whole model, packet by packet.
//!
//! It knows no sets and no bounds. What a description leaves open is a coin: each place where one is met has its own,
//! and a packet is asked once for every way in which they could fall.

use std::net::Ipv4Addr;

use ipnet::IpNet;
use network_policy::{
    Access, Address, AdminAction, Direction, FirewallRule, NetworkPolicy, NextHop, Outbound, PortRange,
    Protocol, RouteDestination, RouteSource, RuleProtocol, SecurityRule, ServiceTag, Verdict,
};

#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub direction: Direction,
    pub protocol: Protocol,
    pub source: u32,
    pub source_port: u16,
    pub destination: u32,
    pub port: u16,
}

/// How the coins of one packet fall, in the order in which they are met.
struct Coins {
    sides: u32,
    thrown: u32,
}

impl Coins {
    fn throw(&mut self) -> bool {
        self.thrown += 1;
        self.sides >> (self.thrown - 1) & 1 == 1
    }
}

/// The most coins a packet may meet.
pub const MOST_COINS: u32 = 9;

/// What happens to a packet, whatever the coins say; `None` when they are too many to ask.
pub fn verdict(policy: &NetworkPolicy, packet: Packet) -> Option<Verdict> {
    let mut coins = Coins { sides: 0, thrown: 0 };
    passes(policy, packet, &mut coins);
    let thrown = coins.thrown;
    if thrown > MOST_COINS {
        return None;
    }
    let mut answers =
        (0..1u32 << thrown).map(|sides| passes(policy, packet, &mut Coins { sides, thrown: 0 }));
    let first = answers.next()?;
    Some(match (answers.all(|answer| answer == first), first) {
        (false, _) => Verdict::Undecided,
        (true, true) => Verdict::Allowed,
        (true, false) => Verdict::Denied,
    })
}

/// Everything is asked, whatever it comes to, so that coins keep their order.
fn passes(policy: &NetworkPolicy, packet: Packet, coins: &mut Coins) -> bool {
    let outbound = packet.direction == Direction::Outbound;
    let mut admin: Vec<_> = policy.admin.iter().filter(|rule| rule.direction == packet.direction).collect();
    admin.sort_by_key(|rule| rule.priority);
    let mut decided = None;
    for rule in admin {
        let security = SecurityRule {
            name: String::new(),
            priority: 100,
            direction: rule.direction,
            access: Access::Allow,
            protocol: rule.protocol,
            source: rule.source.clone(),
            source_ports: rule.source_ports.clone(),
            destination: rule.destination.clone(),
            destination_ports: rule.destination_ports.clone(),
        };
        if matches(policy, &security, packet, outbound, coins) && decided.is_none() {
            decided = Some(rule.action);
        }
    }
    let mut groups = true;
    for nsg in [&policy.nic_nsg, &policy.subnet_nsg].into_iter().flatten() {
        groups &= group_allows(policy, nsg.rules(), packet, packet.direction, outbound, coins);
    }
    let groups = match decided {
        Some(AdminAction::Deny) => false,
        Some(AdminAction::AlwaysAllow) => true,
        Some(AdminAction::Allow) | None => groups,
    };
    if !outbound {
        let sends = policy.far_subnets.iter().fold(true, |sends, far| {
            let here = far.prefixes.iter().any(|prefix| holds(prefix, packet.source));
            let allows = group_allows(policy, far.nsg.rules(), packet, Direction::Outbound, false, coins);
            sends && (!here || allows)
        });
        return groups && sends;
    }
    let routed = routed(policy, packet, coins);
    let mut arrives = true;
    for far in &policy.far_subnets {
        let here = far.prefixes.iter().any(|prefix| holds(prefix, packet.destination));
        let allows = group_allows(policy, far.nsg.rules(), packet, Direction::Inbound, true, coins);
        arrives &= !here || allows;
    }
    groups && routed && arrives
}

fn group_allows(
    policy: &NetworkPolicy,
    rules: &[SecurityRule],
    packet: Packet,
    direction: Direction,
    source_is_ours: bool,
    coins: &mut Coins,
) -> bool {
    let mut rules: Vec<_> = rules.iter().filter(|rule| rule.direction == direction).collect();
    rules.sort_by_key(|rule| rule.priority);
    let mut allowed = None;
    for rule in rules {
        if matches(policy, rule, packet, source_is_ours, coins) && allowed.is_none() {
            allowed = Some(rule.access == Access::Allow);
        }
    }
    allowed.unwrap_or(false)
}

fn matches(
    policy: &NetworkPolicy,
    rule: &SecurityRule,
    packet: Packet,
    source_is_ours: bool,
    coins: &mut Coins,
) -> bool {
    let ported = rule.source_ports != [PortRange::ALL] || rule.destination_ports != [PortRange::ALL];
    let has =
        |ranges: &[PortRange], port| ranges.iter().any(|range| range.first <= port && port <= range.last);
    let ports = match packet.protocol {
        Protocol::Tcp | Protocol::Udp => {
            has(&rule.source_ports, packet.source_port) && has(&rule.destination_ports, packet.port)
        }
        // What ports mean for other protocols is not documented.
        _ if ported => coins.throw(),
        _ => true,
    };
    let protocol = rule.protocol == RuleProtocol::Any || rule.protocol == RuleProtocol::Only(packet.protocol);
    let source = covered(policy, &rule.source, packet.source, source_is_ours, coins);
    let destination = covered(policy, &rule.destination, packet.destination, !source_is_ours, coins);
    ports & protocol & source & destination
}

fn covered(policy: &NetworkPolicy, list: &[Address], address: u32, ours: bool, coins: &mut Coins) -> bool {
    list.iter().fold(false, |found, one| found | covers(policy, one, address, ours, coins))
}

fn covers(policy: &NetworkPolicy, one: &Address, address: u32, ours: bool, coins: &mut Coins) -> bool {
    match one {
        Address::Any => true,
        Address::Prefix(prefix) => holds(prefix, address),
        Address::Range(first, last) => *first <= Ipv4Addr::from(address) && Ipv4Addr::from(address) <= *last,
        Address::Tag(ServiceTag::VirtualNetwork) => in_network(policy, address, true),
        Address::Tag(ServiceTag::Internet) => {
            let own = policy.context.virtual_network.iter().any(|prefix| holds(prefix, address));
            let public = !private(address) && !own;
            // Public space that is reached through the virtual network may be both.
            if public && in_network(policy, address, false) { coins.throw() } else { public }
        }
        Address::Tag(ServiceTag::AzureLoadBalancer) => address == 0xa83f_8110,
        Address::ApplicationSecurityGroup(_) if ours => false,
        Address::ApplicationSecurityGroup(_) => in_network(policy, address, true) && coins.throw(),
        Address::Tag(ServiceTag::Other(_)) | Address::IpGroup(_) => coins.throw(),
    }
}

fn in_network(policy: &NetworkPolicy, address: u32, with_default_route: bool) -> bool {
    let context = &policy.context;
    let known = context.virtual_network.iter().chain(&context.peered).chain(&context.gateway);
    let routes =
        policy.routes.iter().flat_map(|table| &table.routes).filter(|r| r.source != RouteSource::System);
    let joined = routes.filter_map(|route| match &route.destination {
        RouteDestination::Prefix(prefix) if with_default_route || prefix.prefix_len() > 0 => Some(prefix),
        _ => None,
    });
    address == 0xa83f_8110 || known.chain(joined).any(|prefix| holds(prefix, address))
}

fn private(address: u32) -> bool {
    let [a, b, ..] = address.to_be_bytes();
    matches!((a, b), (0 | 10 | 127, _) | (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168))
        || a >= 224
        || address == 0xa83f_8110
}

fn holds(prefix: &IpNet, address: u32) -> bool {
    let IpNet::V4(prefix) = prefix else { return false };
    (0..u32::from(prefix.prefix_len())).all(|bit| (prefix.addr().to_bits() ^ address) >> (31 - bit) & 1 == 0)
}

/// Whether the routes, and the firewall where they lead to it, let a packet through.
fn routed(policy: &NetworkPolicy, packet: Packet, coins: &mut Coins) -> bool {
    let firewall = policy.firewall.as_ref().map(|firewall| {
        let mut allowed = None;
        for (rule, access) in in_order(policy) {
            let FirewallRule::Network(rule) = rule else { continue };
            let security = SecurityRule {
                name: String::new(),
                priority: 100,
                direction: Direction::Outbound,
                access,
                protocol: rule.protocols[0],
                source: rule.source.clone(),
                source_ports: vec![PortRange::ALL],
                destination: rule.destination.clone(),
                destination_ports: rule.destination_ports.clone(),
            };
            // "Any" with ports is TCP and UDP there.
            let portless = !matches!(packet.protocol, Protocol::Tcp | Protocol::Udp);
            let any = rule.protocols[0] == RuleProtocol::Any && rule.destination_ports != [PortRange::ALL];
            if portless && any {
                continue;
            }
            if matches(policy, &security, packet, true, coins) && allowed.is_none() {
                allowed = Some(access == Access::Allow);
            }
        }
        (firewall, allowed.unwrap_or(false))
    });
    let context = &policy.context;
    let inside = |prefixes: &[IpNet]| prefixes.iter().any(|prefix| holds(prefix, packet.destination));
    let Some(table) = &policy.routes else {
        let within = inside(&context.virtual_network) || inside(&context.peered) || inside(&context.gateway);
        return within || firewall.is_none_or(|(_, allowed)| allowed);
    };
    let mut best: Option<(u8, u8, Hop)> = None;
    let mut offer = |length: u8, rank: u8, hop: Hop| {
        if best.as_ref().is_none_or(|(l, r, _)| length > *l || (length == *l && rank < *r)) {
            best = Some((length, rank, hop));
        }
    };
    for route in &table.routes {
        let RouteDestination::Prefix(prefix) = &route.destination else { continue };
        if !holds(prefix, packet.destination) {
            continue;
        }
        let hop = match &route.next_hop {
            NextHop::None => Hop::Nowhere,
            NextHop::Internet => Hop::Internet,
            NextHop::VirtualNetwork | NextHop::Peering | NextHop::ServiceEndpoint => Hop::Inside,
            NextHop::Appliance(Some(address))
                if firewall
                    .as_ref()
                    .is_some_and(|(firewall, _)| firewall.private_addresses.contains(address)) =>
            {
                Hop::Firewall
            }
            NextHop::Appliance(_) | NextHop::Gateway | NextHop::Unknown(_) => Hop::Unknown,
        };
        offer(prefix.prefix_len(), 0, hop);
    }
    for prefix in context.virtual_network.iter().chain(&context.peered) {
        if holds(prefix, packet.destination) {
            offer(prefix.prefix_len(), 2, Hop::Inside);
        }
    }
    // With a default route of one's own, what Azure would drop goes there.
    let forced = table.routes.iter().any(|route| {
        let RouteDestination::Prefix(prefix) = &route.destination else { return false };
        prefix.prefix_len() == 0 && route.next_hop != NextHop::Internet
    });
    for (text, hop) in [
        ("0.0.0.0/0", Hop::Internet),
        ("10.0.0.0/8", Hop::Nowhere),
        ("172.16.0.0/12", Hop::Nowhere),
        ("192.168.0.0/16", Hop::Nowhere),
        ("100.64.0.0/10", Hop::Nowhere),
    ] {
        let prefix: IpNet = text.parse().unwrap();
        let there = prefix.prefix_len() == 0 || !forced;
        if there && holds(&prefix, packet.destination) {
            offer(prefix.prefix_len(), 3, hop);
        }
    }
    match best.map(|(_, _, hop)| hop) {
        Some(Hop::Inside) => true,
        Some(Hop::Internet) => match table.outbound {
            Outbound::NatGateway | Outbound::DefaultAccess => true,
            Outbound::Missing => false,
            Outbound::Unknown => coins.throw(),
        },
        Some(Hop::Firewall) => firewall.is_some_and(|(_, allowed)| allowed),
        Some(Hop::Unknown) => coins.throw(),
        Some(Hop::Nowhere) | None => false,
    }
}

#[derive(Clone, Copy)]
enum Hop {
    Inside,
    Internet,
    Firewall,
    Unknown,
    Nowhere,
}

/// The rules of the firewall in the order in which they are asked.
fn in_order(policy: &NetworkPolicy) -> Vec<(FirewallRule, Access)> {
    let groups = policy.firewall.iter().flat_map(|firewall| firewall.policy.groups());
    let mut all: Vec<_> = groups
        .flat_map(|group| group.collections.iter().map(move |collection| (group.priority, collection)))
        .collect();
    all.sort_by_key(|(priority, collection)| (*priority, collection.priority));
    all.iter()
        .flat_map(|(_, collection)| collection.rules.iter().map(|rule| (rule.clone(), collection.action)))
        .collect()
}
