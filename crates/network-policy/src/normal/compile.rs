//! From the description to its normal form.

use crate::address::{Address, PortRange, RuleProtocol};
use crate::admin::{AdminAction, AdminRule};
use crate::firewall::{ApplicationRule, FirewallPolicy, FirewallRule, NatRule, NetworkRule, Target};
use crate::flow::{Application, Direction, Protocol};
use crate::fqdn::FqdnPattern;
use crate::matching::Access;
use crate::nsg::{NetworkSecurityGroup, SecurityRule};
use crate::policy::{FarSubnet, NetworkPolicy};
use crate::ranges::Ranges;
use crate::space::{self, Bounds};
use crate::tag;

use super::names::Names;
use super::place::{Place, Side, Space};
use super::routes::{self, RouteRule};
use super::{Effect, Layer, RuleId, Stage, Term};

/// A policy as layers.
#[derive(Clone, Debug)]
pub(crate) struct Normal {
    pub space: Space,
    pub names: Names,
    /// What an outbound flow meets, in order; the first is [`Stage::Platform`].
    pub outbound: Vec<Layer>,
    pub inbound: Vec<Layer>,
    pub routes: Vec<RouteRule>,
    /// Whether the firewall looks at what flows ask for.
    pub hears: bool,
    /// Where each rule of the firewall stands: group, collection, rule.
    pub firewall: Vec<(usize, usize, usize)>,
}

impl Normal {
    /// `policy` has its admin rules in order. Names are also told apart by `patterns`.
    pub fn new(policy: &NetworkPolicy, patterns: &[&FqdnPattern]) -> Self {
        let space = Space::new(&policy.context, policy.routes.as_ref());
        let firewall_rules = policy.firewall.iter().flat_map(|firewall| firewall.policy.rules());
        let own = firewall_rules.flat_map(|(rule, _)| self::patterns(rule));
        let names = Names::new(own.chain(patterns.iter().copied()));
        let routes = routes::rules(policy, &space);
        let mut rules = policy.firewall.iter().flat_map(|firewall| firewall.policy.rules());
        let hears = rules.any(|(rule, _)| match rule {
            FirewallRule::Application(_) => true,
            FirewallRule::Network(rule) => !rule.destination_names.is_empty(),
            FirewallRule::Nat(_) => false,
        });
        let compiler = Compiler { space: &space, names: &names, fields: Fields::new(&names) };

        let nsg = |nsg: &Option<NetworkSecurityGroup>, stage, direction| {
            nsg.as_ref().map(|nsg| compiler.nsg(nsg, stage, direction, direction))
        };
        let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
        let mut out = vec![compiler.platform(policy)];
        out.extend(compiler.admin(&policy.admin, outbound));
        out.extend(nsg(&policy.nic_nsg, Stage::NicNsg, outbound));
        out.extend(nsg(&policy.subnet_nsg, Stage::SubnetNsg, outbound));
        if !routes.is_empty() {
            out.push(compiler.routes(&routes));
        }
        let firewall = policy.firewall.as_ref().map(|firewall| compiler.firewall(&firewall.policy));
        let (layer, order) = firewall.unzip();
        out.extend(layer);
        let far = policy.far_subnets.iter().enumerate();
        out.extend(far.clone().map(|(index, subnet)| compiler.far_subnet(index, subnet, outbound)));

        let mut into: Vec<_> =
            far.map(|(index, subnet)| compiler.far_subnet(index, subnet, inbound)).collect();
        into.extend(compiler.admin(&policy.admin, inbound));
        into.extend(nsg(&policy.subnet_nsg, Stage::SubnetNsg, inbound));
        into.extend(nsg(&policy.nic_nsg, Stage::NicNsg, inbound));
        let firewall = order.unwrap_or_default();
        Self { outbound: out, inbound: into, routes, hears, firewall, names, space }
    }

    /// Leaves out what is not in these layers; what the platform exempts stays.
    pub fn keep(&mut self, layers: &[crate::Layer]) {
        let kept = |layer: &Layer| match layer.stage {
            Stage::Platform => true,
            Stage::Admin => layers.contains(&crate::Layer::Admin),
            Stage::NicNsg => layers.contains(&crate::Layer::NicNsg),
            Stage::SubnetNsg | Stage::FarSubnet(_) => layers.contains(&crate::Layer::SubnetNsg),
            Stage::Route => layers.contains(&crate::Layer::Route),
            Stage::Firewall => layers.contains(&crate::Layer::FirewallNetwork),
        };
        self.outbound.retain(kept);
        self.inbound.retain(kept);
    }

    pub fn layers(&self, direction: Direction) -> &[Layer] {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }
}

/// Number of a protocol.
pub(crate) fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
        Protocol::Icmp => 1,
        Protocol::Other(number) => number,
    }
}

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// The protocols that "any" is documented for: ICMP, TCP, UDP, ESP and AH.
pub(crate) fn documented_protocols() -> Ranges<u8> {
    Ranges::union_of([1, TCP, UDP, 50, 51].map(|number| (number, number)).to_vec())
}

/// Protocols with ports.
pub(crate) fn with_ports() -> Ranges<u8> {
    Ranges::union_of(vec![(TCP, TCP), (UDP, UDP)])
}

/// Sets that most rules share.
struct Fields {
    any_protocol: Bounds<u8>,
    with_ports: Ranges<u8>,
    portless: Bounds<u8>,
    tcp: Ranges<u8>,
    udp: Ranges<u8>,
    all_ports: Ranges<u16>,
    speech: Bounds<u32>,
}

impl Fields {
    fn new(names: &Names) -> Self {
        let with_ports = with_ports();
        Self {
            any_protocol: Bounds { lo: documented_protocols(), hi: Ranges::all() },
            portless: Bounds::at_most(Ranges::all().difference(&with_ports)),
            with_ports,
            tcp: Ranges::single(TCP),
            udp: Ranges::single(UDP),
            all_ports: Ranges::all(),
            speech: Bounds::exact(names.everything()),
        }
    }

    fn ports(&self, ports: &[PortRange]) -> Ranges<u16> {
        if ports.contains(&PortRange::ALL) {
            return self.all_ports.clone();
        }
        Ranges::union_of(ports.iter().map(|range| (range.first, range.last)).collect())
    }

    /// The protocols of a rule, split into those its ports count for and those they do not exist for. What a rule with
    /// ports means for the latter is not documented, so it may match them.
    fn protocols(&self, protocol: RuleProtocol, ported: bool) -> [Option<(Bounds<u8>, bool)>; 2] {
        let only = |set: &Ranges<u8>| Bounds::exact(set.clone());
        match protocol {
            RuleProtocol::Any if ported => {
                [Some((only(&self.with_ports), true)), Some((self.portless.clone(), false))]
            }
            RuleProtocol::Any => [Some((self.any_protocol.clone(), true)), None],
            RuleProtocol::Only(Protocol::Tcp) => [Some((only(&self.tcp), true)), None],
            RuleProtocol::Only(Protocol::Udp) => [Some((only(&self.udp), true)), None],
            RuleProtocol::Only(other) => {
                let set = Ranges::single(protocol_number(other));
                let bounds = if ported { Bounds::at_most(set) } else { Bounds::exact(set) };
                [Some((bounds, !ported)), None]
            }
        }
    }
}

/// Turns rules into terms.
struct Compiler<'a> {
    space: &'a Space,
    names: &'a Names,
    fields: Fields,
}

/// The fields that security rules and security admin rules share.
struct Match5<'a> {
    protocol: RuleProtocol,
    source: Place,
    source_ports: &'a [PortRange],
    destination: Place,
    ports: &'a [PortRange],
}

impl Compiler<'_> {
    fn rule(&self, terms: &mut Vec<Term>, rule: RuleId, effect: Effect, fields: &Match5<'_>) {
        let source_ports = self.fields.ports(fields.source_ports);
        let ports = self.fields.ports(fields.ports);
        let ported = !source_ports.is_all() || !ports.is_all();
        for (protocol, counts) in self.fields.protocols(fields.protocol, ported).into_iter().flatten() {
            let all = &self.fields.all_ports;
            terms.push(Term {
                rule,
                effect,
                protocol,
                source_ports: if counts { &source_ports } else { all }.clone(),
                ports: if counts { &ports } else { all }.clone(),
                source: fields.source.clone(),
                destination: fields.destination.clone(),
                speech: self.fields.speech.clone(),
            });
        }
    }

    /// Both ends' addresses; the build machine is the source of outbound flows and the destination of inbound ones.
    fn ends(&self, direction: Direction, source: &[Address], destination: &[Address]) -> (Place, Place) {
        let (from, to) = match direction {
            Direction::Outbound => (Side::Local, Side::Peer),
            Direction::Inbound => (Side::Peer, Side::Local),
        };
        (self.space.place(source, from), self.space.place(destination, to))
    }

    fn security_rule(&self, terms: &mut Vec<Term>, id: RuleId, rule: &SecurityRule, ends: (Place, Place)) {
        let fields = Match5 {
            protocol: rule.protocol,
            source: ends.0,
            source_ports: &rule.source_ports,
            destination: ends.1,
            ports: &rule.destination_ports,
        };
        self.rule(terms, id, effect(rule.access), &fields);
    }

    /// The rules of one direction about flows that have `flows` as theirs, seen from the build machine.
    fn nsg(&self, nsg: &NetworkSecurityGroup, stage: Stage, rules: Direction, flows: Direction) -> Layer {
        let mut terms = Vec::with_capacity(nsg.rules().len());
        for (id, rule) in numbered(nsg.rules()).filter(|(_, rule)| rule.direction == rules) {
            let ends = self.ends(flows, &rule.source, &rule.destination);
            self.security_rule(&mut terms, id, rule, ends);
        }
        Layer::new(stage, terms, Effect::Deny)
    }

    /// The other end's group: what arrives there meets its inbound rules, what comes from there its outbound ones.
    fn far_subnet(&self, index: usize, subnet: &FarSubnet, flows: Direction) -> Layer {
        let own = space::prefixes(&subnet.prefixes);
        let stage = Stage::FarSubnet(index);
        let rules = match flows {
            Direction::Outbound => Direction::Inbound,
            Direction::Inbound => Direction::Outbound,
        };
        let mut terms = self.nsg(&subnet.nsg, stage.clone(), rules, flows).terms;
        for term in &mut terms {
            let there = match flows {
                Direction::Outbound => &mut term.destination,
                Direction::Inbound => &mut term.source,
            };
            *there = self.space.described(there.bounds.intersection(&own), Vec::new());
        }
        Layer::new(stage, terms, Effect::Allow)
    }

    fn admin(&self, rules: &[AdminRule], direction: Direction) -> Option<Layer> {
        let mut terms = Vec::new();
        for (id, rule) in numbered(rules).filter(|(_, rule)| rule.direction == direction) {
            let (source, destination) = self.ends(direction, &rule.source, &rule.destination);
            let effect = match rule.action {
                AdminAction::Allow => Effect::Allow,
                AdminAction::Deny => Effect::Deny,
                AdminAction::AlwaysAllow => Effect::Skip,
            };
            let fields = Match5 {
                protocol: rule.protocol,
                source,
                source_ports: &rule.source_ports,
                destination,
                ports: &rule.destination_ports,
            };
            self.rule(&mut terms, id, effect, &fields);
        }
        (!terms.is_empty()).then_some(Layer::new(Stage::Admin, terms, Effect::Allow))
    }

    /// DNS, DHCP, metadata and the wire server, which Azure exempts from security rules unless one names them by their
    /// own tags.
    fn platform(&self, policy: &NetworkPolicy) -> Layer {
        let groups = policy.nic_nsg.iter().chain(&policy.subnet_nsg).flat_map(NetworkSecurityGroup::rules);
        let mut named = groups.filter(|rule| rule.direction == Direction::Outbound);
        let sure = !named.any(|rule| {
            rule.destination.iter().any(|address| {
                matches!(address, Address::Tag(tag) if tag::platform_address(&tag.to_string()).is_some())
            })
        });
        let exempt = |rule, protocols: &[u8], ports: &[u16], address| {
            let set = Ranges::single(space::point(address));
            let bounds = if sure { Bounds::exact(set) } else { Bounds::at_most(set) };
            Term {
                rule,
                effect: Effect::Skip,
                protocol: Bounds::exact(Ranges::union_of(protocols.iter().map(|p| (*p, *p)).collect())),
                source_ports: self.fields.all_ports.clone(),
                ports: Ranges::union_of(ports.iter().map(|port| (*port, *port)).collect()),
                source: self.space.anywhere(),
                destination: self.space.described(bounds, Vec::new()),
                speech: self.fields.speech.clone(),
            }
        };
        let terms = vec![
            exempt(0, &[TCP, UDP], &[53], tag::WIRE_SERVER),
            exempt(1, &[UDP], &[67, 68], tag::WIRE_SERVER),
            exempt(2, &[TCP], &[80, 443, 32526], tag::WIRE_SERVER),
            exempt(3, &[TCP], &[80], tag::METADATA),
        ];
        Layer::new(Stage::Platform, terms, Effect::Allow)
    }

    fn routes(&self, rules: &[RouteRule]) -> Layer {
        let terms = numbered(rules).map(|(id, rule)| Term {
            rule: id,
            effect: rule.effect,
            protocol: Bounds::all(),
            source_ports: self.fields.all_ports.clone(),
            ports: self.fields.all_ports.clone(),
            source: self.space.anywhere(),
            destination: self.space.described(rule.destination.clone(), Vec::new()),
            speech: self.fields.speech.clone(),
        });
        Layer::new(Stage::Route, terms.collect(), Effect::Deny)
    }

    /// DNAT rules, then network rules, then application rules; their order otherwise is the policy's.
    fn firewall(&self, policy: &FirewallPolicy) -> (Layer, Vec<(usize, usize, usize)>) {
        let (mut order, mut rules) = (Vec::new(), Vec::new());
        for (g, group) in policy.groups().iter().enumerate() {
            for (c, collection) in group.collections.iter().enumerate() {
                for (r, rule) in collection.rules.iter().enumerate() {
                    rules.push((rule, effect(collection.action)));
                    order.push((g, c, r));
                }
            }
        }
        let (mut nat, mut network, mut application) = (Vec::new(), Vec::new(), Vec::new());
        for (id, (rule, effect)) in numbered(&rules) {
            match rule {
                FirewallRule::Nat(rule) => self.nat_rule(&mut nat, id, rule),
                FirewallRule::Network(rule) => self.network_rule(&mut network, id, *effect, rule),
                FirewallRule::Application(rule) => self.application_rule(&mut application, id, *effect, rule),
            }
        }
        let terms = nat.into_iter().chain(network).chain(application).collect();
        (Layer::new(Stage::Firewall, terms, Effect::Deny), order)
    }

    fn nat_rule(&self, terms: &mut Vec<Term>, id: RuleId, rule: &NatRule) {
        for &protocol in &rule.protocols {
            let (source, destination) = self.ends(Direction::Outbound, &rule.source, &rule.destination);
            self.firewall_protocol(terms, id, Effect::Allow, protocol, &rule.destination_ports, |term| {
                term.source = source.clone();
                term.destination = destination.clone();
            });
        }
    }

    fn network_rule(&self, terms: &mut Vec<Term>, id: RuleId, effect: Effect, rule: &NetworkRule) {
        let (source, destination) = self.ends(Direction::Outbound, &rule.source, &rule.destination);
        let patterns: Vec<_> = rule.destination_names.iter().collect();
        let named = self.names.matching(&patterns, &Application::EVERY);
        // A flow without a name may go to an address behind one of the names.
        let named = Bounds { hi: named.union(&self.names.nameless()), lo: named };
        for &protocol in &rule.protocols {
            if !rule.destination.is_empty() {
                self.firewall_protocol(terms, id, effect, protocol, &rule.destination_ports, |term| {
                    term.source = source.clone();
                    term.destination = destination.clone();
                });
            }
            if !patterns.is_empty() {
                self.firewall_protocol(terms, id, effect, protocol, &rule.destination_ports, |term| {
                    term.source = source.clone();
                    term.speech = named.clone();
                });
            }
        }
    }

    /// "Any" with explicit ports means TCP and UDP.
    fn firewall_protocol(
        &self,
        terms: &mut Vec<Term>,
        rule: RuleId,
        effect: Effect,
        protocol: RuleProtocol,
        ports: &[PortRange],
        finish: impl Fn(&mut Term),
    ) {
        let ports = self.fields.ports(ports);
        let products = match protocol {
            RuleProtocol::Any if !ports.is_all() => {
                [Some((Bounds::exact(self.fields.with_ports.clone()), true)), None]
            }
            _ => self.fields.protocols(protocol, !ports.is_all()),
        };
        for (protocol, counts) in products.into_iter().flatten() {
            let mut term = Term {
                rule,
                effect,
                protocol,
                source_ports: self.fields.all_ports.clone(),
                ports: if counts { &ports } else { &self.fields.all_ports }.clone(),
                source: self.space.anywhere(),
                destination: self.space.anywhere(),
                speech: self.fields.speech.clone(),
            };
            finish(&mut term);
            terms.push(term);
        }
    }

    /// Only flows that name their host match.
    fn application_rule(&self, terms: &mut Vec<Term>, id: RuleId, effect: Effect, rule: &ApplicationRule) {
        let source = self.space.place(&rule.source, Side::Local);
        let destination = match rule.destination.as_slice() {
            [] => self.space.anywhere(),
            given => self.space.place(given, Side::Peer),
        };
        let everything = FqdnPattern::everything();
        let (mut sure, mut possible) = (Vec::new(), Vec::new());
        for target in &rule.targets {
            match target {
                Target::Fqdn(pattern) => sure.push(pattern),
                Target::Url { host, .. } => possible.push(host),
                Target::FqdnTag(_) | Target::WebCategory(_) => possible.push(&everything),
            }
        }
        for &(application, port) in &rule.protocols {
            let lo = self.names.matching(&sure, &[Some(application)]);
            let hi = if possible.is_empty() {
                lo.clone()
            } else {
                lo.union(&self.names.matching(&possible, &[Some(application)]))
            };
            terms.push(Term {
                rule: id,
                effect,
                protocol: Bounds::exact(self.fields.tcp.clone()),
                source_ports: self.fields.all_ports.clone(),
                ports: Ranges::single(port),
                source: source.clone(),
                destination: destination.clone(),
                speech: Bounds { lo, hi },
            });
        }
    }
}

fn effect(access: Access) -> Effect {
    match access {
        Access::Allow => Effect::Allow,
        Access::Deny => Effect::Deny,
    }
}

fn numbered<T>(rules: &[T]) -> impl Iterator<Item = (RuleId, &T)> {
    (0..).zip(rules)
}

fn patterns(rule: &FirewallRule) -> impl Iterator<Item = &FqdnPattern> {
    let (names, targets): (&[FqdnPattern], &[Target]) = match rule {
        FirewallRule::Network(rule) => (&rule.destination_names, &[]),
        FirewallRule::Application(rule) => (&[], &rule.targets),
        FirewallRule::Nat(_) => (&[], &[]),
    };
    names.iter().chain(targets.iter().filter_map(|target| match target {
        Target::Fqdn(pattern) | Target::Url { host: pattern, .. } => Some(pattern),
        Target::FqdnTag(_) | Target::WebCategory(_) => None,
    }))
}
