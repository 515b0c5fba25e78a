//! The layers of a policy, asked with a whole box at once.

use std::cmp::Reverse;

use ipnet::IpNet;

use crate::address::{Address, PortRange, RuleProtocol};
use crate::admin::AdminAction;
use crate::contract::Contract;
use crate::firewall::{ApplicationRule, FirewallRule, NetworkRule, Target};
use crate::flow::{Direction, Protocol, Verdict};
use crate::matching::Access;
use crate::nsg::{NetworkSecurityGroup, SecurityRule};
use crate::policy::NetworkPolicy;
use crate::route::{NextHop, Outbound, RouteDestination, RouteSource, RouteTable};

use super::requests::{Names, SPOKEN, pattern};
use super::sets::{Set, apart, minus, of, union, within};
use super::world::{self, Between, number};
use super::{Plain, ports};

/// Reads rules for the boxes of one certificate.
pub(super) struct Reader<'a> {
    pub policy: &'a NetworkPolicy,
    pub contract: &'a Contract,
    pub names: &'a Names,
}

/// What is found for a box.
pub(super) struct Found {
    pub verdict: Verdict,
    pub exempt: bool,
}

/// How much of a box a rule matches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Covers {
    Nothing,
    /// Some of it, or nobody knows.
    Perhaps,
    All,
}

/// Whether a box may pass, and whether it may be stopped.
#[derive(Clone, Copy)]
struct Fate {
    passes: bool,
    stops: bool,
}

impl Fate {
    const PASSES: Self = Self { passes: true, stops: false };
    const STOPS: Self = Self { passes: false, stops: true };
    const EITHER: Self = Self { passes: true, stops: true };

    fn of(access: Access) -> Self {
        match access {
            Access::Allow => Self::PASSES,
            Access::Deny => Self::STOPS,
        }
    }

    /// One or the other.
    fn or(self, other: Self) -> Self {
        Self { passes: self.passes || other.passes, stops: self.stops || other.stops }
    }

    /// One after the other.
    fn then(self, other: Self) -> Self {
        Self { passes: self.passes && other.passes, stops: self.stops || other.stops }
    }
}

/// The first rule that covers all decides; those before it that cover something may have.
fn first_match(rules: impl Iterator<Item = (Covers, Fate)>, otherwise: Fate) -> Fate {
    let mut fate: Option<Fate> = None;
    let mut join = |next: Fate| fate = Some(fate.map_or(next, |fate| fate.or(next)));
    for (covers, decision) in rules {
        match covers {
            Covers::Nothing => {}
            Covers::Perhaps => join(decision),
            Covers::All => {
                join(decision);
                return fate.unwrap_or(otherwise);
            }
        }
    }
    join(otherwise);
    fate.unwrap_or(otherwise)
}

impl Reader<'_> {
    /// What the destinations are said to be in: names of some services are in the tags of these.
    fn said_to(&self) -> Address {
        let of_name = self.contract.name.as_ref().and_then(crate::tag::of_names);
        of_name.map_or_else(|| self.contract.to.address.clone(), Address::Tag)
    }

    pub fn decide(&self, one: &Plain) -> Found {
        let outbound = self.contract.direction == Direction::Outbound;
        let (exempt, maybe_exempt) = if outbound { self.exempt(one) } else { (false, false) };
        if exempt {
            return Found { verdict: Verdict::Allowed, exempt };
        }
        let mut fate = self.ruled(one).then(self.elsewhere(one));
        if outbound {
            fate = fate.then(self.routed(one));
        }
        fate.passes |= maybe_exempt;
        let verdict = match (fate.passes, fate.stops) {
            (true, false) => Verdict::Allowed,
            (false, _) => Verdict::Denied,
            (true, true) => Verdict::Undecided,
        };
        Found { verdict, exempt }
    }

    /// Whether Azure exempts a box from rules: for certain, or perhaps.
    fn exempt(&self, one: &Plain) -> (bool, bool) {
        let wire = "168.63.129.16".parse().map_or(0, number);
        let metadata = "169.254.169.254".parse().map_or(0, number);
        let traffic: [(u128, &[u128], &[u128]); 4] = [
            (wire, &[6, 17], &[53]),
            (wire, &[17], &[67, 68]),
            (wire, &[6], &[80, 443, 32526]),
            (metadata, &[6], &[80]),
        ];
        let single = |numbers: &[u128]| of(numbers.iter().map(|number| (*number, *number)).collect());
        let covers = traffic.iter().map(|(address, protocols, ports)| {
            let sets = [
                (&one.destination, vec![(*address, *address)]),
                (&one.protocol, single(protocols)),
                (&one.ports, single(ports)),
            ];
            all(sets.map(|(own, set)| covering(own, &Between::exactly(set))))
        });
        let covers = covers.max().unwrap_or(Covers::Nothing);
        let mut rules = [&self.policy.nic_nsg, &self.policy.subnet_nsg]
            .into_iter()
            .flatten()
            .flat_map(NetworkSecurityGroup::rules);
        let named = rules.any(|rule| {
            let tags = ["azureplatformdns", "azureplatformimds"];
            let named = |address: &Address| tags.contains(&address.to_string().to_ascii_lowercase().as_str());
            rule.direction == Direction::Outbound && rule.destination.iter().any(named)
        });
        (covers == Covers::All && !named, covers != Covers::Nothing)
    }

    /// Security admin rules and network security groups.
    fn ruled(&self, one: &Plain) -> Fate {
        let direction = self.contract.direction;
        let mut admin: Vec<_> = self.policy.admin.iter().filter(|rule| rule.direction == direction).collect();
        admin.sort_by_key(|rule| rule.priority);
        let mut groups = Fate::PASSES;
        for nsg in [&self.policy.subnet_nsg, &self.policy.nic_nsg].into_iter().flatten() {
            groups = groups.then(self.group(one, nsg.rules(), direction, direction == Direction::Outbound));
        }
        let asked = admin.into_iter().map(|rule| {
            let ends = (&rule.source[..], &rule.destination[..]);
            let ports = (&rule.source_ports[..], &rule.destination_ports[..]);
            let covers = self.covers(one, rule.protocol, ends, ports, direction == Direction::Outbound);
            let fate = match rule.action {
                AdminAction::Allow => groups,
                AdminAction::AlwaysAllow => Fate::PASSES,
                AdminAction::Deny => Fate::STOPS,
            };
            (covers, fate)
        });
        first_match(asked, groups)
    }

    fn group(&self, one: &Plain, rules: &[SecurityRule], direction: Direction, source_is_ours: bool) -> Fate {
        let mut rules: Vec<_> = rules.iter().filter(|rule| rule.direction == direction).collect();
        rules.sort_by_key(|rule| rule.priority);
        let asked = rules.into_iter().map(|rule| {
            let ends = (&rule.source[..], &rule.destination[..]);
            let ports = (&rule.source_ports[..], &rule.destination_ports[..]);
            (self.covers(one, rule.protocol, ends, ports, source_is_ours), Fate::of(rule.access))
        });
        first_match(asked, Fate::STOPS)
    }

    /// The NSG of the subnet where a box arrives, or where it comes from.
    fn elsewhere(&self, one: &Plain) -> Fate {
        let (peer, rules) = match self.contract.direction {
            Direction::Outbound => (&one.destination, Direction::Inbound),
            Direction::Inbound => (&one.source, Direction::Outbound),
        };
        self.policy.far_subnets.iter().fold(Fate::PASSES, |fate, subnet| {
            let here = covering(peer, &Between::exactly(world::prefixes(&subnet.prefixes)));
            let ours = self.contract.direction == Direction::Outbound;
            let inside = self.group(one, subnet.nsg.rules(), rules, ours);
            fate.then(match here {
                Covers::Nothing => Fate::PASSES,
                Covers::Perhaps => Fate::PASSES.or(inside),
                Covers::All => inside,
            })
        })
    }

    fn covers(
        &self,
        one: &Plain,
        protocol: RuleProtocol,
        (source, destination): (&[Address], &[Address]),
        (source_ports, destination_ports): (&[PortRange], &[PortRange]),
        source_is_ours: bool,
    ) -> Covers {
        let ported = !source_ports.contains(&PortRange::ALL) || !destination_ports.contains(&PortRange::ALL);
        let source =
            world::list(self.policy, source, source_is_ours, &self.contract.from.address, &one.source);
        let destination =
            world::list(self.policy, destination, !source_is_ours, &self.said_to(), &one.destination);
        let numbers = if has_ports(one) || !ported {
            all([
                covering(&one.source_ports, &Between::exactly(ports(source_ports))),
                covering(&one.ports, &Between::exactly(ports(destination_ports))),
            ])
        } else {
            Covers::Perhaps
        };
        all([
            protocol_covers(protocol, &one.protocol),
            numbers,
            covering(&one.source, &source),
            covering(&one.destination, &destination),
        ])
    }

    /// Routes, and the firewall where they lead to it.
    fn routed(&self, one: &Plain) -> Fate {
        let firewall = self.policy.firewall.as_ref().map(|_| self.firewall(one));
        let Some(table) = &self.policy.routes else {
            let Some(firewall) = firewall else { return Fate::PASSES };
            let context = &self.policy.context;
            let inside = context.virtual_network.iter().chain(&context.peered).chain(&context.gateway);
            let mut inside = Between::exactly(world::prefixes(inside));
            inside.most = union(&inside.most, &self.unknown_space());
            return match covering(&one.destination, &inside) {
                Covers::Nothing => firewall,
                Covers::Perhaps => firewall.or(Fate::PASSES),
                Covers::All => Fate::PASSES,
            };
        };
        let routes = self.routes(table).into_iter().map(|(set, hop)| {
            let fate = match hop {
                NextHop::VirtualNetwork | NextHop::Peering | NextHop::ServiceEndpoint => Fate::PASSES,
                NextHop::None => Fate::STOPS,
                NextHop::Internet => match table.outbound {
                    Outbound::NatGateway | Outbound::DefaultAccess => Fate::PASSES,
                    Outbound::Missing => Fate::STOPS,
                    Outbound::Unknown => Fate::EITHER,
                },
                NextHop::Gateway | NextHop::Unknown(_) => Fate::EITHER,
                NextHop::Appliance(address) => {
                    let known = self.policy.firewall.as_ref().map(|firewall| &firewall.private_addresses);
                    let own = address.zip(known).is_some_and(|(address, known)| known.contains(&address));
                    firewall.filter(|_| own).unwrap_or(Fate::EITHER)
                }
            };
            (covering(&one.destination, &set), fate)
        });
        first_match(routes, Fate::STOPS)
    }

    /// Space that may be anywhere.
    fn unknown_space(&self) -> Set {
        let context = &self.policy.context;
        match (context.unknown_connections.is_empty(), context.virtual_network.is_empty()) {
            (false, _) => world::everything(),
            (true, true) => world::private(),
            (true, false) => Set::new(),
        }
    }

    /// Routes by preference. What is known only in part stands first, and decides only where nothing longer can.
    fn routes(&self, table: &RouteTable) -> Vec<(Between, NextHop)> {
        let context = &self.policy.context;
        let mut exact: Vec<(IpNet, u8, NextHop)> = Vec::new();
        for route in &table.routes {
            let rank = match route.source {
                RouteSource::User => 0,
                RouteSource::Gateway => 1,
                RouteSource::System => 2,
            };
            if let RouteDestination::Prefix(prefix) = &route.destination {
                exact.push((*prefix, rank, route.next_hop.clone()));
            }
        }
        if !table.effective {
            let own = context.virtual_network.iter().map(|prefix| (*prefix, 2, NextHop::VirtualNetwork));
            exact.extend(own.chain(context.peered.iter().map(|prefix| (*prefix, 2, NextHop::Peering))));
            exact.extend(context.gateway.iter().map(|prefix| (*prefix, 1, NextHop::Gateway)));
            let dropped = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];
            // Another default route takes their place.
            let taken = exact.iter().any(|(prefix, rank, hop)| {
                *rank < 2 && prefix.to_string() == "0.0.0.0/0" && *hop != NextHop::Internet
            });
            let dropped = dropped.iter().filter(|_| !taken);
            let dropped: Vec<_> =
                dropped.filter_map(|text| Some((text.parse().ok()?, 2, NextHop::None))).collect();
            let rest = ["0.0.0.0/0", "::/0"]
                .iter()
                .filter_map(|text| Some((text.parse().ok()?, 2, NextHop::Internet)));
            exact.extend(dropped.into_iter().chain(rest));
        }
        exact.sort_by_key(|(prefix, rank, _)| (Reverse(prefix.prefix_len()), *rank));
        let longer: Vec<_> =
            exact.iter().map(|(prefix, ..)| *prefix).filter(|prefix| prefix.prefix_len() > 8).collect();
        let longer = world::prefixes(&longer);
        let mut routes = Vec::new();
        if !table.effective {
            routes.push((Between::at_most(self.unknown_space()), NextHop::VirtualNetwork));
            for endpoint in &table.service_endpoints {
                let sure = endpoint
                    .region
                    .as_ref()
                    .map(|tag| world::tag(self.policy, &crate::ServiceTag::Other(tag.clone()), false).least);
                let least = minus(&sure.unwrap_or_default(), &longer);
                // Which tag the service has does not matter for what is certain.
                routes.push((Between { least, most: world::everything() }, NextHop::ServiceEndpoint));
            }
        }
        let mut taken = Set::new();
        for route in &table.routes {
            let set = match &route.destination {
                RouteDestination::Prefix(_) => continue,
                RouteDestination::Tag(tag) => world::tag(self.policy, tag, false),
                RouteDestination::Unknown(_) => Between::at_most(world::everything()),
            };
            let least = minus(&minus(&set.least, &longer), &taken);
            taken = union(&taken, &set.most);
            routes.push((Between { least, most: set.most }, route.next_hop.clone()));
        }
        let own: Vec<_> = exact
            .iter()
            .filter(|(_, rank, hop)| *rank == 2 && matches!(hop, NextHop::VirtualNetwork | NextHop::Peering))
            .map(|(prefix, ..)| *prefix)
            .collect();
        let own = world::prefixes(&own);
        for (prefix, rank, hop) in exact {
            let set = world::prefixes([&prefix]);
            let set = if rank == 1 { minus(&set, &own) } else { set };
            routes.push((Between::exactly(set), hop));
        }
        routes
    }

    /// DNAT rules, network rules, application rules, each in the policy's order.
    fn firewall(&self, one: &Plain) -> Fate {
        let rules = || self.policy.firewall.iter().flat_map(|firewall| firewall.policy.rules());
        let nat = rules().filter_map(|(rule, _)| match rule {
            FirewallRule::Nat(rule) => {
                let network = NetworkRule {
                    name: String::new(),
                    protocols: rule.protocols.clone(),
                    source: rule.source.clone(),
                    destination: rule.destination.clone(),
                    destination_names: Vec::new(),
                    destination_ports: rule.destination_ports.clone(),
                };
                Some((self.network_rule(one, &network), Fate::PASSES))
            }
            _ => None,
        });
        let network = rules().filter_map(|(rule, access)| match rule {
            FirewallRule::Network(rule) => Some((self.network_rule(one, rule), Fate::of(access))),
            _ => None,
        });
        let application = rules().filter_map(|(rule, access)| match rule {
            FirewallRule::Application(rule) => Some((self.application_rule(one, rule), Fate::of(access))),
            _ => None,
        });
        first_match(nat.chain(network).chain(application), Fate::STOPS)
    }

    fn network_rule(&self, one: &Plain, rule: &NetworkRule) -> Covers {
        let every_port = rule.destination_ports.contains(&PortRange::ALL);
        let by_protocol = rule.protocols.iter().map(|protocol| match (protocol, has_ports(one)) {
            (RuleProtocol::Any, false) if !every_port => Covers::Nothing,
            (_, false) if !every_port => protocol_covers(*protocol, &one.protocol).min(Covers::Perhaps),
            _ => protocol_covers(*protocol, &one.protocol),
        });
        let protocol = by_protocol.max().unwrap_or(Covers::Nothing);
        let ports = if has_ports(one) {
            covering(&one.ports, &Between::exactly(ports(&rule.destination_ports)))
        } else {
            Covers::All
        };
        let given = (&self.contract.from.address, &self.said_to());
        let source = world::list(self.policy, &rule.source, true, given.0, &one.source);
        let addresses = world::list(self.policy, &rule.destination, false, given.1, &one.destination);
        let least = self.names.fitting(&rule.destination_names, &SPOKEN);
        let most = if least.is_empty() { Set::new() } else { union(&least, &self.names.nameless()) };
        let destination =
            covering(&one.destination, &addresses).max(covering(&one.requests, &Between { least, most }));
        all([protocol, ports, covering(&one.source, &source), destination])
    }

    fn application_rule(&self, one: &Plain, rule: &ApplicationRule) -> Covers {
        let exact =
            rule.targets.iter().filter(|target| matches!(target, Target::Fqdn(_))).filter_map(pattern);
        let exact: Vec<_> = exact.collect();
        let paths: Vec<_> = rule
            .targets
            .iter()
            .filter(|target| matches!(target, Target::Url { .. }))
            .filter_map(pattern)
            .collect();
        let lists =
            rule.targets.iter().any(|target| matches!(target, Target::FqdnTag(_) | Target::WebCategory(_)));
        let asked = rule.protocols.iter().map(|&(application, port)| {
            let spoken = [Some(application)];
            let least = self.names.fitting(exact.iter().copied(), &spoken);
            let mut most = union(&least, &self.names.fitting(paths.iter().copied(), &spoken));
            if lists {
                most = self.names.any_name(Some(application));
            }
            let port = covering(&one.ports, &Between::exactly(vec![(port.into(), port.into())]));
            all([covering(&one.requests, &Between { least, most }), port])
        });
        let given = (&self.contract.from.address, &self.said_to());
        let source = world::list(self.policy, &rule.source, true, given.0, &one.source);
        let destination = match rule.destination.as_slice() {
            [] => Covers::All,
            list => {
                covering(&one.destination, &world::list(self.policy, list, false, given.1, &one.destination))
            }
        };
        all([
            asked.max().unwrap_or(Covers::Nothing),
            protocol_covers(RuleProtocol::Only(Protocol::Tcp), &one.protocol),
            covering(&one.source, &source),
            destination,
        ])
    }
}

fn all<const N: usize>(covers: [Covers; N]) -> Covers {
    covers.into_iter().min().unwrap_or(Covers::All)
}

fn covering(own: &Set, set: &Between) -> Covers {
    if within(own, &set.least) {
        Covers::All
    } else if apart(own, &set.most) {
        Covers::Nothing
    } else {
        Covers::Perhaps
    }
}

fn has_ports(one: &Plain) -> bool {
    within(&one.protocol, &vec![(6, 6), (17, 17)])
}

fn protocol_covers(protocol: RuleProtocol, own: &Set) -> Covers {
    let set = match protocol {
        RuleProtocol::Any => {
            Between { least: vec![(1, 1), (6, 6), (17, 17), (50, 51)], most: vec![(0, 255)] }
        }
        RuleProtocol::Only(Protocol::Tcp) => Between::exactly(vec![(6, 6)]),
        RuleProtocol::Only(Protocol::Udp) => Between::exactly(vec![(17, 17)]),
        RuleProtocol::Only(Protocol::Icmp) => Between::exactly(vec![(1, 1)]),
        RuleProtocol::Only(Protocol::Other(number)) => Between::exactly(vec![(number.into(), number.into())]),
    };
    covering(own, &set)
}
