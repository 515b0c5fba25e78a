//! A small universe, and a deliberately naive reading of Azure's documents in it.
//!
//! Nothing here knows bounds, boxes or diagrams. A packet is walked through the layers with plain truth values; where a
//! set is not known the walk asks for a choice, and is repeated until every choice has been made every way.

mod decide;
mod excess;
mod policy;
mod promise;
mod prove;
mod repair;
mod z3;

use std::net::Ipv4Addr;
use std::sync::LazyLock;

/// First to last, both included.
pub type Span = (u32, u32);

/// `10.1.0.0/16`, the virtual network.
pub const NETWORK: (u32, u8) = (0x0a01_0000, 16);
/// `10.1.0.0/28`, the build subnet.
pub const SUBNET: (u32, u8) = (0x0a01_0000, 28);
/// `10.1.1.0/24`, another subnet.
pub const FAR: (u32, u8) = (0x0a01_0100, 24);
/// `10.9.0.4`, the firewall.
pub const FIREWALL: u32 = 0x0a09_0004;
const PLATFORM: u32 = 0xa83f_8110;
const METADATA: u32 = 0xa9fe_a9fe;

/// Addresses that prefixes are made around.
pub const ADDRESSES: [u32; 13] = [
    0x0a01_0004, // 10.1.0.4
    0x0a01_0006, // 10.1.0.6
    0x0a01_0105, // 10.1.1.5, in the other subnet
    0x0a01_ffff, // 10.1.255.255
    0x0a02_0000, // 10.2.0.0, private and outside
    0x0101_0101, // 1.1.1.1
    0x143c_0001, // 20.60.0.1, in Known and Drift
    0x1496_0009, // 20.150.0.9, perhaps in Drift
    0xac10_0001, // 172.16.0.1
    0xac20_0001, // 172.32.0.1, just outside private space
    0x7f00_0001, // loopback
    PLATFORM,
    METADATA,
];

/// An address term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    Any,
    Network,
    Internet,
    Balancer,
    Prefix(u32, u8),
    /// A tag whose prefixes are known: 20.60.0.0/16.
    Known,
    /// A tag that holds 20.60.0.0/16 and perhaps 20.150.0.0/17.
    Drift,
    /// A tag no one knows.
    Unknown,
}

impl Term {
    pub fn text(self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Network => "VirtualNetwork".to_owned(),
            Self::Internet => "Internet".to_owned(),
            Self::Balancer => "AzureLoadBalancer".to_owned(),
            Self::Prefix(base, length) => format!("{}/{length}", Ipv4Addr::from(base)),
            Self::Known => "Known".to_owned(),
            Self::Drift => "Drift".to_owned(),
            Self::Unknown => "CorpNetPublic".to_owned(),
        }
    }
}

pub fn prefix((base, length): (u32, u8)) -> Span {
    let host = if length == 0 { u32::MAX } else { !(u32::MAX << (32 - length)) };
    (base & !host, base | host)
}

fn holds(spans: &[Span], point: u32) -> bool {
    spans.iter().any(|span| span.0 <= point && point <= span.1)
}

/// What is in none of the spans.
fn complement(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let (mut rest, mut from) = (Vec::new(), 0u64);
    for (first, last) in spans {
        if from < u64::from(first) {
            rest.push((u32::try_from(from).unwrap(), first - 1));
        }
        from = from.max(u64::from(last) + 1);
    }
    if let Ok(from) = u32::try_from(from) {
        rest.push((from, u32::MAX));
    }
    rest
}

/// Public space.
static PUBLIC: LazyLock<Vec<Span>> = LazyLock::new(|| {
    let private = [
        (0x0000_0000, 8),
        (0x0a00_0000, 8),
        (0x6440_0000, 10),
        (0x7f00_0000, 8),
        (0xa9fe_0000, 16),
        (0xac10_0000, 12),
        (0xc0a8_0000, 16),
        (0xe000_0000, 3),
        (PLATFORM, 32),
    ];
    complement(private.map(prefix).to_vec())
});

/// A rule of a group. Ports and protocols as documents write them.
#[derive(Clone, Debug)]
pub struct Rule {
    pub inbound: bool,
    pub allow: bool,
    /// `None` is any; else its number.
    pub protocol: Option<u8>,
    pub source: Vec<Term>,
    pub source_ports: (u16, u16),
    pub destination: Vec<Term>,
    pub ports: (u16, u16),
}

/// A security admin rule: `skips` makes an allow an *always allow*.
#[derive(Clone, Debug)]
pub struct AdminRule {
    pub rule: Rule,
    pub skips: bool,
}

/// Where a user's route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    Internet,
    Nowhere,
    Firewall,
    /// An appliance nobody knows.
    Stranger,
}

/// A network: layers that are absent let everything pass.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub admin: Vec<AdminRule>,
    pub nic: Option<Vec<Rule>>,
    pub subnet: Option<Vec<Rule>>,
    pub far: Option<Vec<Rule>>,
    /// Routes of the subnet's table; the subnet has a NAT gateway.
    pub routes: Option<Vec<((u32, u8), Hop)>>,
    /// Network rules of a firewall at [`FIREWALL`], first asked first.
    pub firewall: Option<Vec<Rule>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub inbound: bool,
    pub protocol: u8,
    pub source: u32,
    pub source_port: u16,
    pub destination: u32,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    /// Exempt from all rules.
    Exempt,
    Denied,
}

/// Choices, made one way after the other.
#[derive(Default)]
struct Choices {
    made: Vec<bool>,
    next: usize,
}

impl Choices {
    fn take(&mut self) -> bool {
        if self.next == self.made.len() {
            self.made.push(false);
        }
        self.next += 1;
        self.made[self.next - 1]
    }

    /// Goes to the next way; false when there is none.
    fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some(last) = self.made.pop() {
            if !last {
                self.made.push(true);
                return true;
            }
        }
        false
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
/// What "any" is documented for.
pub const PROTOCOLS: [u8; 5] = [1, TCP, UDP, 50, 51];

impl World {
    /// Every way in which a packet can end.
    pub fn outcomes(&self, packet: Packet) -> Vec<Outcome> {
        let mut choices = Choices::default();
        let mut found = Vec::new();
        loop {
            let outcome = self.walk(packet, &mut choices);
            if !found.contains(&outcome) {
                found.push(outcome);
            }
            if !choices.advance() {
                return found;
            }
        }
    }

    fn walk(&self, packet: Packet, choices: &mut Choices) -> Outcome {
        if !packet.inbound && exempt(packet) {
            return Outcome::Exempt;
        }
        let mut skips = false;
        if let Some(rule) = self.admin.iter().find(|rule| self.matches(&rule.rule, packet, choices)) {
            match (rule.rule.allow, rule.skips) {
                (false, _) => return Outcome::Denied,
                (true, always) => skips = always,
            }
        }
        let groups = if packet.inbound { [&self.subnet, &self.nic] } else { [&self.nic, &self.subnet] };
        for rules in groups.into_iter().flatten() {
            if !skips && !self.group_allows(rules, packet, choices) {
                return Outcome::Denied;
            }
        }
        let far = prefix(FAR);
        if packet.inbound {
            let sends = match &self.far {
                Some(rules) if holds(&[far], packet.source) => {
                    self.group_allows(rules, Packet { inbound: false, ..packet }, choices)
                }
                _ => true,
            };
            return if sends { Outcome::Allowed } else { Outcome::Denied };
        }
        let arrives = holds(&[far], packet.destination);
        let routed = self.routed(packet, choices);
        let lets_in = |choices: &mut Choices| match &self.far {
            Some(rules) if arrives => self.group_allows(rules, Packet { inbound: true, ..packet }, choices),
            _ => true,
        };
        if routed && lets_in(choices) { Outcome::Allowed } else { Outcome::Denied }
    }

    fn group_allows(&self, rules: &[Rule], packet: Packet, choices: &mut Choices) -> bool {
        let found = rules.iter().find(|rule| self.matches(rule, packet, choices));
        let mut held = |term, address| self.in_term(term, address, choices);
        match found {
            Some(rule) => rule.allow,
            None if held(Term::Network, packet.source) && held(Term::Network, packet.destination) => true,
            None if packet.inbound => packet.source == PLATFORM,
            None => held(Term::Internet, packet.destination),
        }
    }

    /// Whether the routes, and a firewall they lead to, let a packet go.
    fn routed(&self, packet: Packet, choices: &mut Choices) -> bool {
        let Some(routes) = &self.routes else {
            let inside = holds(&[prefix(NETWORK)], packet.destination);
            return inside || self.firewall_allows(packet, choices);
        };
        // Longest prefix first, then the user's before Azure's own.
        let own = [(NETWORK, true), ((0x0a00_0000, 8), false), ((0xac10_0000, 12), false)];
        let own = own.into_iter().chain([((0xc0a8_0000, 16), false), ((0x6440_0000, 10), false)]);
        // With a default route of one's own, what Azure would drop goes there.
        let forced = routes.iter().any(|((_, length), hop)| *length == 0 && *hop != Hop::Internet);
        let own = own.filter(|(_, passes)| *passes || !forced);
        let own = own.map(|(prefix, passes)| (prefix, if passes { Hop::Internet } else { Hop::Nowhere }));
        let all = routes.iter().copied().map(|route| (1, route)).chain(own.map(|route| (0, route)));
        let hits = all.filter(|(_, (range, _))| holds(&[prefix(*range)], packet.destination));
        let best = hits.max_by_key(|(user, ((_, length), _))| (*length, *user));
        match best.map_or(Hop::Internet, |(_, (_, hop))| hop) {
            Hop::Internet => true,
            Hop::Nowhere => false,
            Hop::Stranger => choices.take(),
            Hop::Firewall => self.firewall_allows(packet, choices),
        }
    }

    fn firewall_allows(&self, packet: Packet, choices: &mut Choices) -> bool {
        let Some(rules) = &self.firewall else { return self.routes.is_none() || choices.take() };
        // "Any" with ports is TCP and UDP here.
        let portless = packet.protocol != TCP && packet.protocol != UDP;
        let silent = |rule: &Rule| portless && rule.protocol.is_none() && rule.ports != (0, u16::MAX);
        let mut rules = rules.iter().filter(|rule| !silent(rule));
        rules.find(|rule| self.matches(rule, packet, choices)).is_some_and(|rule| rule.allow)
    }

    fn matches(&self, rule: &Rule, packet: Packet, choices: &mut Choices) -> bool {
        let portless = packet.protocol != TCP && packet.protocol != UDP;
        let within = |(first, last): (u16, u16), port| first <= port && port <= last;
        let ported = rule.ports != (0, u16::MAX) || rule.source_ports != (0, u16::MAX);
        let ports =
            portless || (within(rule.ports, packet.port) && within(rule.source_ports, packet.source_port));
        let protocol = rule.protocol.is_none_or(|own| own == packet.protocol);
        if rule.inbound != packet.inbound || !ports || !protocol {
            return false;
        }
        let mut some = |terms: &[Term], address| {
            let truths: Vec<_> = terms.iter().map(|term| self.truth(*term, address)).collect();
            truths.contains(&Some(true)) || (truths.contains(&None) && choices.take())
        };
        let hit = some(&rule.source, packet.source) && some(&rule.destination, packet.destination);
        // What ports mean for protocols without them is not documented.
        hit && (!(portless && ported) || choices.take())
    }

    fn in_term(&self, term: Term, address: u32, choices: &mut Choices) -> bool {
        self.truth(term, address).unwrap_or_else(|| choices.take())
    }

    /// Whether a term holds an address; `None` when nobody knows.
    fn truth(&self, term: Term, address: u32) -> Option<bool> {
        match term {
            Term::Any => Some(true),
            Term::Prefix(base, length) => Some(holds(&[prefix((base, length))], address)),
            Term::Internet if !holds(&PUBLIC, address) => Some(false),
            Term::Internet => (!holds(&self.routed_elsewhere(), address)).then_some(true),
            other => {
                let (least, most) = self.bounds(other);
                let sure = holds(&least, address);
                (sure == holds(&most, address)).then_some(sure)
            }
        }
    }

    /// Where routes lead, but for default routes.
    fn routed_elsewhere(&self) -> Vec<Span> {
        let routes = self.routes.iter().flatten().filter(|((_, length), _)| *length > 0);
        routes.map(|(range, _)| prefix(*range)).collect()
    }

    /// What a term certainly holds, and what it may hold at most.
    pub fn bounds(&self, term: Term) -> (Vec<Span>, Vec<Span>) {
        let exact = |spans: Vec<Span>| (spans.clone(), spans);
        match term {
            Term::Any => exact(vec![(0, u32::MAX)]),
            Term::Prefix(base, length) => exact(vec![prefix((base, length))]),
            Term::Balancer => exact(vec![(PLATFORM, PLATFORM)]),
            Term::Known => exact(vec![prefix((0x143c_0000, 16))]),
            Term::Unknown => (Vec::new(), vec![(0, u32::MAX)]),
            Term::Drift => {
                let least = vec![prefix((0x143c_0000, 16))];
                (least.clone(), [least, vec![prefix((0x1496_0000, 17))]].concat())
            }
            // The prefixes of the subnet's own routes belong to it, a default route makes it everything.
            Term::Network => {
                let routed = self.routes.iter().flatten().map(|(range, _)| prefix(*range));
                exact([prefix(NETWORK), (PLATFORM, PLATFORM)].into_iter().chain(routed).collect())
            }
            // Whether it keeps what routes lead elsewhere is not documented; a default route takes nothing.
            Term::Internet => {
                (complement([complement(PUBLIC.clone()), self.routed_elsewhere()].concat()), PUBLIC.clone())
            }
        }
    }

    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let groups = [&self.nic, &self.subnet, &self.far, &self.firewall];
        let admin = self.admin.iter().map(|rule| &rule.rule);
        groups.into_iter().flatten().flatten().chain(admin)
    }
}

/// DNS, DHCP, the wire server and metadata, which Azure exempts from rules.
fn exempt(packet: Packet) -> bool {
    matches!(
        (packet.destination, packet.protocol, packet.port),
        (PLATFORM, TCP | UDP, 53)
            | (PLATFORM, UDP, 67 | 68)
            | (PLATFORM, TCP, 80 | 443 | 32526)
            | (METADATA, TCP, 80)
    )
}
