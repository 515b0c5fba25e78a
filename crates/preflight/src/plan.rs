//! The network that a build needs and nothing more: what [`check`](crate::check) asks for, turned into resources.
//!
//! Rules are made of the registered requirements, so that what is rendered and what is checked cannot differ.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use network_policy::{
    Access, Address, Direction, Endpoint, FirewallPolicy, NetworkSecurityGroup, PortRange, Protocol,
    RuleProtocol, SecurityRule,
};

use crate::requirements::subnet::{addresses_taken, usable_of};
use crate::{Check, Cloud, FlowSpec, Os, Party, Place, Requirement, Topology, requirements};

/// Length of the prefixes that subnets get where none is given.
const USUAL_SUBNET: u8 = 28;
/// Azure's smallest subnet.
const SMALLEST_SUBNET: u8 = 29;
/// Priority of the first rule of each direction, and the distance between rules.
const FIRST_PRIORITY: u16 = 100;
const STEP: u16 = 10;
/// Priority of the rule that refuses everything else: the last that there is.
const LAST_PRIORITY: u16 = 4096;

/// Where the network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// The virtual network's addresses.
    pub network: Ipv4Net,
    /// The build subnet's [the first /28 of the network].
    pub build: Option<Ipv4Net>,
    /// The container instance subnet's [the first /28 that is free].
    pub container: Option<Ipv4Net>,
    /// Private address of the firewall that what leaves the build subnet passes; without one it leaves by a NAT gateway.
    pub firewall: Option<Ipv4Addr>,
    /// The cloud it is in, whose services have names of their own.
    pub cloud: Cloud,
}

/// The network of a build.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The virtual network's addresses.
    pub network: Ipv4Net,
    /// The subnets that a build of this shape brings: none, one or two.
    pub subnets: Vec<SubnetPlan>,
    /// Rules of the firewall, where what leaves the build subnet passes one.
    pub firewall: Option<FirewallPolicy>,
}

/// One subnet.
#[derive(Clone, Debug)]
pub struct SubnetPlan {
    /// Whose it is.
    pub place: Place,
    /// Its addresses.
    pub prefix: Ipv4Net,
    /// What may enter and leave it.
    pub group: NetworkSecurityGroup,
    /// How what leaves it gets to the Internet.
    pub egress: Egress,
    /// Whether private link service network policies must be disabled.
    pub private_link: bool,
}

/// How what leaves a subnet gets to the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// By a NAT gateway.
    NatGateway,
    /// By a default route to a firewall.
    Firewall(Ipv4Addr),
}

/// Why there is no such network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A subnet is not inside the virtual network.
    #[error("{} {prefix} is not inside the virtual network {network}", .place.name())]
    Outside {
        /// Which.
        place: Place,
        /// Its addresses.
        prefix: Ipv4Net,
        /// The virtual network's.
        network: Ipv4Net,
    },
    /// The subnets share addresses.
    #[error("the build subnet {build} and the container instance subnet {container} overlap")]
    Overlap {
        /// The build subnet's addresses.
        build: Ipv4Net,
        /// The container instance subnet's.
        container: Ipv4Net,
    },
    /// A subnet holds fewer addresses than a build takes, or is smaller than Azure allows.
    #[error(
        "{} {prefix} is too small: it has {usable} usable addresses (Azure keeps five of each subnet), and a build takes {needed}",
        .place.name()
    )]
    TooSmall {
        /// Which.
        place: Place,
        /// Its addresses.
        prefix: Ipv4Net,
        /// How many can be used.
        usable: u64,
        /// How many a build takes.
        needed: u64,
    },
    /// No addresses are left for a subnet that was given none.
    #[error("the virtual network {network} has no /28 left for {}", .place.name())]
    Full {
        /// For which.
        place: Place,
        /// The virtual network's addresses.
        network: Ipv4Net,
    },
    /// A prefix was given for a subnet that builds of this shape do not bring.
    #[error("a {topology} build brings no subnet {prefix}")]
    NotBrought {
        /// The shape.
        topology: Topology,
        /// The addresses given.
        prefix: Ipv4Net,
    },
    /// The firewall's address is one of a subnet that must pass it.
    #[error("the firewall {firewall} is inside {} {prefix}, whose packets it would never get", .place.name())]
    FirewallInside {
        /// Its address.
        firewall: Ipv4Addr,
        /// Which subnet.
        place: Place,
        /// Its addresses.
        prefix: Ipv4Net,
    },
}

impl Plan {
    /// The least network that meets every requirement of a build of this shape. `endpoints` are what the image's steps
    /// fetch; `validates` says whether the template has validators, which take an address.
    ///
    /// # Errors
    /// When the prefixes do not fit each other or a build.
    pub fn new(
        topology: Topology,
        os: Os,
        validates: bool,
        endpoints: &[Endpoint],
        prefixes: &Prefixes,
    ) -> Result<Self, PlanError> {
        let Prefixes { network, firewall, cloud, .. } = *prefixes;
        let subnets = allot(topology, validates, prefixes)?;
        let applying: Vec<_> = requirements().filter(|one| one.applies(topology, os)).collect();
        let prefix_of = |place| subnets.iter().find(|(own, _)| *own == place).map(|&(_, prefix)| prefix);
        let reached = |place| -> Vec<Endpoint> {
            let own = if place == Place::Build { endpoints } else { &[] };
            applying
                .iter()
                .flat_map(|one| service_endpoints(one, place, cloud))
                .chain(own.iter().cloned())
                .collect()
        };
        let subnet = |&(place, prefix): &(Place, Ipv4Net)| SubnetPlan {
            place,
            prefix,
            group: group(place, &rules(&applying, place, &reached(place), &prefix_of)),
            egress: match (place, firewall) {
                (Place::Build, Some(address)) => Egress::Firewall(address),
                // Microsoft supports nothing else for container instances.
                (Place::Build, None) | (Place::Container, _) => Egress::NatGateway,
            },
            private_link: topology == Topology::PrivateLink,
        };
        let policy = firewall.and(prefix_of(Place::Build)).map(|prefix| {
            FirewallPolicy::of_allow_list(&reached(Place::Build), &Address::Prefix(IpNet::V4(prefix)))
        });
        Ok(Self { network, subnets: subnets.iter().map(subnet).collect(), firewall: policy })
    }
}

/// The subnets of a shape and their addresses.
fn allot(
    topology: Topology,
    validates: bool,
    prefixes: &Prefixes,
) -> Result<Vec<(Place, Ipv4Net)>, PlanError> {
    let Prefixes { network, build, container, firewall, .. } = *prefixes;
    let brought: &[(Place, Option<Ipv4Net>)] = match topology {
        Topology::Managed => &[],
        Topology::PrivateLink => &[(Place::Build, build)],
        Topology::Isolated => &[(Place::Build, build), (Place::Container, container)],
    };
    let unused = [(Place::Build, build), (Place::Container, container)];
    let mut unused = unused.into_iter().filter(|(place, _)| !brought.iter().any(|(own, _)| own == place));
    if let Some(prefix) = unused.find_map(|(_, prefix)| prefix) {
        return Err(PlanError::NotBrought { topology, prefix });
    }
    // What was given is kept clear of what was not.
    let mut taken: Vec<_> = brought.iter().filter_map(|(_, prefix)| *prefix).collect();
    let mut subnets = Vec::new();
    for &(place, given) in brought {
        let prefix = match given {
            Some(prefix) => prefix,
            None => free(network, &taken).ok_or(PlanError::Full { place, network })?,
        };
        let needed = if place == Place::Build { addresses_taken(topology, validates) } else { 1 };
        let usable = usable_of(prefix);
        if !network.contains(&prefix) {
            return Err(PlanError::Outside { place, prefix, network });
        }
        if usable < needed || prefix.prefix_len() > SMALLEST_SUBNET {
            return Err(PlanError::TooSmall { place, prefix, usable, needed });
        }
        if let Some(firewall) = firewall.filter(|address| prefix.contains(address)) {
            return Err(PlanError::FirewallInside { firewall, place, prefix });
        }
        taken.push(prefix);
        subnets.push((place, prefix));
    }
    match *subnets.as_slice() {
        [(_, build), (_, container)] if overlap(build, container) => {
            Err(PlanError::Overlap { build, container })
        }
        _ => Ok(subnets),
    }
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// The first usual subnet that shares no address with those that are taken.
fn free(network: Ipv4Net, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    let mut all = network.subnets(USUAL_SUBNET).ok()?;
    all.find(|subnet| !taken.iter().any(|other| overlap(*subnet, *other)))
}

/// What a requirement wants to be reachable from a subnet.
fn service_endpoints(
    requirement: &Requirement,
    place: Place,
    cloud: Cloud,
) -> impl Iterator<Item = Endpoint> {
    let texts = match requirement.check {
        Check::Reach(at, texts) if at == place => texts,
        _ => &[],
    };
    texts.iter().filter_map(move |text| Endpoint::parse(&cloud.endpoint(text)).ok())
}

/// The group of a subnet, its rules numbered and followed by the refusal of everything else.
fn group(place: Place, rules: &[SecurityRule]) -> NetworkSecurityGroup {
    let mut numbered = Vec::new();
    for (direction, name) in
        [(Direction::Inbound, "DenyAllInbound"), (Direction::Outbound, "DenyAllOutbound")]
    {
        let own = rules.iter().filter(|rule| rule.direction == direction);
        let priorities = (FIRST_PRIORITY..).step_by(usize::from(STEP));
        numbered
            .extend(own.zip(priorities).map(|(rule, priority)| SecurityRule { priority, ..rule.clone() }));
        numbered.push(SecurityRule {
            access: Access::Deny,
            priority: LAST_PRIORITY,
            protocol: RuleProtocol::Any,
            ..rule(name.to_owned(), direction, Address::Any, Address::Any, vec![PortRange::ALL])
        });
    }
    NetworkSecurityGroup::of_valid(place.resource_name("nsg"), numbered)
}

/// The flows that requirements ask for at a subnet, and the ports of what it must reach beyond them.
fn rules(
    applying: &[&Requirement],
    place: Place,
    reached: &[Endpoint],
    prefix_of: &impl Fn(Place) -> Option<Ipv4Net>,
) -> Vec<SecurityRule> {
    let flows = applying.iter().filter_map(|requirement| match &requirement.check {
        Check::Flow(flow) if flow.at == place => flow_rule(requirement, flow, prefix_of),
        _ => None,
    });
    let mut rules: Vec<_> = flows.collect();
    let internet = Address::parse("Internet").ok();
    let open = |port| {
        rules.iter().any(|rule| {
            rule.destination.first() == internet.as_ref()
                && rule.destination_ports == [PortRange::single(port)]
        })
    };
    let mut ports: Vec<_> =
        reached.iter().map(|endpoint| endpoint.port).filter(|port| !open(*port)).collect();
    ports.sort_unstable();
    ports.dedup();
    if let (false, Some(from), Some(internet)) = (ports.is_empty(), prefix_of(place), internet) {
        let ports = ports.into_iter().map(PortRange::single).collect();
        let from = Address::Prefix(IpNet::V4(from));
        rules.push(rule("AllowEndpointsOutbound".to_owned(), Direction::Outbound, from, internet, ports));
    }
    rules
}

fn flow_rule(
    requirement: &Requirement,
    flow: &FlowSpec,
    prefix_of: &impl Fn(Place) -> Option<Ipv4Net>,
) -> Option<SecurityRule> {
    let address = |party| match party {
        Party::Tag(tag) => Address::parse(tag).ok(),
        Party::Subnet(place) => prefix_of(place).map(|prefix| Address::Prefix(IpNet::V4(prefix))),
    };
    let (from, to) = (address(flow.from)?, address(flow.to)?);
    let name = rule_name(requirement.id, flow.direction);
    Some(rule(name, flow.direction, from, to, vec![PortRange::single(flow.port)]))
}

fn rule(
    name: String,
    direction: Direction,
    source: Address,
    destination: Address,
    destination_ports: Vec<PortRange>,
) -> SecurityRule {
    SecurityRule {
        name,
        priority: FIRST_PRIORITY,
        direction,
        access: Access::Allow,
        protocol: RuleProtocol::Only(Protocol::Tcp),
        source: vec![source],
        source_ports: vec![PortRange::ALL],
        destination: vec![destination],
        destination_ports,
    }
}

/// `AllowSshToBuildVmInbound`, of `nsg.inbound.ssh-to-build-vm`.
fn rule_name(id: &str, direction: Direction) -> String {
    let words = id.rsplit('.').next().unwrap_or(id).split('-');
    let capitalised = words.map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    });
    let direction = match direction {
        Direction::Inbound => "Inbound",
        Direction::Outbound => "Outbound",
    };
    format!("Allow{}{direction}", capitalised.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan leaves out what cannot be read, so nothing registered may be unreadable.
    #[test]
    fn every_registered_flow_and_endpoint_can_be_read() {
        for requirement in requirements() {
            match &requirement.check {
                Check::Reach(_, endpoints) => {
                    assert!(endpoints.iter().all(|text| Endpoint::parse(text).is_ok()), "{}", requirement.id);
                }
                Check::Flow(flow) => {
                    let prefix = |_| Some(Ipv4Net::default());
                    assert!(flow_rule(requirement, flow, &prefix).is_some(), "{}", requirement.id);
                }
                Check::Steps(_) | Check::Ask(_) => {}
            }
        }
    }

    #[test]
    fn subnets_that_were_not_given_keep_clear_of_those_that_were() {
        let parse = |text: &str| text.parse::<Ipv4Net>().expect("a prefix");
        let given = Prefixes {
            network: parse("10.0.0.0/24"),
            build: None,
            container: Some(parse("10.0.0.0/27")),
            firewall: None,
            cloud: Cloud::Public,
        };
        let plan = Plan::new(Topology::Isolated, Os::Linux, false, &[], &given).expect("a plan");
        let prefixes: Vec<_> = plan.subnets.iter().map(|subnet| subnet.prefix).collect();
        assert_eq!(prefixes, [parse("10.0.0.32/28"), parse("10.0.0.0/27")]);
    }
}
