//! The whole policy and its one meaning.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::address::End;
use crate::admin::AdminRule;
use crate::firewall::Firewall;
use crate::flow::{Application, Decision, Destination, Direction, Flow, Layer, Protocol, Verdict};
use crate::matching::{Match, Ruling};
use crate::nsg::NetworkSecurityGroup;
use crate::route::RouteTable;
use crate::tag::{self, Tags};

/// What a decision names when nothing permits a flow.
pub const NO_RULE: &str = "no rule allows it";

/// Network rules of an environment: what an outbound or inbound flow of the build machine meets.
///
/// A layer that is absent lets everything through, as in Azure. Where routes are known, they lead to the firewall or
/// past it; where they are not, a firewall that is present is the next hop of every flow that leaves the virtual
/// network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Security admin rules, in any order.
    pub admin: Vec<AdminRule>,
    /// NSG of the subnet.
    pub subnet_nsg: Option<NetworkSecurityGroup>,
    /// NSG of the network interface.
    pub nic_nsg: Option<NetworkSecurityGroup>,
    /// Routes of the build subnet; `None` when nothing is known of them.
    pub routes: Option<RouteTable>,
    /// Egress firewall.
    pub firewall: Option<Firewall>,
    /// Other subnets of the virtual network, whose groups a flow to them meets on arrival.
    pub far_subnets: Vec<FarSubnet>,
    /// Addresses the rules are about.
    pub context: Context,
    /// Where the policy can be changed.
    pub origin: Origin,
}

/// A subnet that a flow can end in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarSubnet {
    /// Name or id.
    pub name: String,
    /// Its prefixes.
    pub prefixes: Vec<IpNet>,
    /// Its NSG.
    pub nsg: NetworkSecurityGroup,
}

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Documents of an environment.
    #[default]
    Documents,
    /// The allow list of `jumpbox.toml`.
    AllowList,
}

/// Addresses of the virtual network and of the build machine's place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Address space that the `VirtualNetwork` tag stands for, beside the platform address. Empty means that it
    /// is not known: private addresses may be in it.
    pub virtual_network: Vec<IpNet>,
    /// Subnet of the build machine. `None` means that it is not known: a rule about an explicit source prefix may
    /// or may not be about the build machine.
    pub build_subnet: Option<IpNet>,
    /// Address space of peered virtual networks.
    pub peered: Vec<IpNet>,
    /// Prefixes behind virtual network gateways.
    pub gateway: Vec<IpNet>,
    /// Peerings and gateways whose address space is not known, by name: `VirtualNetwork` may hold anything then.
    pub unknown_connections: Vec<String>,
    /// DNS servers that the virtual network uses instead of Azure's.
    pub dns_servers: Vec<IpAddr>,
    /// What is known of service tags.
    pub tags: Arc<Tags>,
}

impl Context {
    /// Whether the virtual network holds an address.
    pub(crate) fn holds(&self, address: IpAddr) -> Match {
        if self.virtual_network.is_empty() {
            return Match::from_bool(tag::is_private(&address.into())).min(Match::Maybe);
        }
        Match::from_bool(self.virtual_network.iter().any(|prefix| prefix.contains(&address)))
    }

    /// Whether nothing of a prefix is in the `Internet` tag.
    pub(crate) fn excludes_from_internet(&self, prefix: &IpNet) -> bool {
        tag::is_private(prefix) || self.virtual_network.iter().any(|own| own.contains(prefix))
    }
}

impl NetworkPolicy {
    /// Decides one flow, in Azure's order: outbound NSG of the interface, NSG of the subnet, firewall network
    /// rules, firewall application rules; inbound subnet before interface.
    ///
    /// The layer named is the one that refuses or leaves the flow undecided, else the last one that allowed it.
    /// A later refusal settles an earlier undecided layer: the flow does not pass either way.
    pub fn decide(&self, flow: &Flow) -> Decision {
        self.rule_on(flow).to_decision()
    }

    /// Whether a name is worth resolving: the best verdict of any TCP flow to it, on any port, plain, HTTP or
    /// TLS, from an ephemeral source port. [`Verdict::Denied`] means that no such flow could pass, so that a
    /// resolver answers that the name does not exist; the decision is then the one for TLS on port 443.
    pub fn may_resolve(&self, name: &str) -> Decision {
        let mut flow = Flow {
            direction: Direction::Outbound,
            protocol: Protocol::Tcp,
            source: self.build_machine(),
            source_port: 50_000,
            destination: Destination::Name(name.to_owned()),
            port: 443,
            application: Some(Application::Https),
        };
        let mut best = self.rule_on(&flow).to_decision();
        for port in self.port_boundaries() {
            for application in [Some(Application::Https), Some(Application::Http), None] {
                if best.verdict == Verdict::Allowed {
                    return best;
                }
                (flow.port, flow.application) = (port, application);
                let ruling = self.rule_on(&flow);
                if ruling.verdict == Verdict::Allowed
                    || (ruling.verdict == Verdict::Undecided && best.verdict == Verdict::Denied)
                {
                    best = ruling.to_decision();
                }
            }
        }
        best
    }

    /// The address a build machine has under this policy: the first that Azure hands out in the build subnet
    /// (its first four are reserved), else 10.0.0.4.
    pub fn build_machine(&self) -> IpAddr {
        let address = match self.context.build_subnet {
            Some(IpNet::V4(subnet)) => subnet.hosts().nth(3),
            Some(IpNet::V6(_)) | None => None,
        };
        address.unwrap_or(Ipv4Addr::new(10, 0, 0, 4)).into()
    }

    /// The layers a flow meets, in order.
    pub(crate) fn rulings(&self, flow: &Flow) -> [Option<Ruling<'_>>; 3] {
        let context = &self.context;
        let nic = self.nic_nsg.as_ref().map(|nsg| nsg.decide(flow, Layer::NicNsg, context));
        let subnet = self.subnet_nsg.as_ref().map(|nsg| nsg.decide(flow, Layer::SubnetNsg, context));
        match flow.direction {
            Direction::Outbound => [nic, subnet, self.firewall_ruling(flow)],
            Direction::Inbound => [subnet, nic, None],
        }
    }

    /// Traffic inside the virtual network does not pass the firewall.
    fn firewall_ruling(&self, flow: &Flow) -> Option<Ruling<'_>> {
        let firewall = self.firewall.as_ref()?;
        let stays = match End::of(flow).1 {
            End::Peer(address) | End::Local(address) => self.context.holds(address),
            End::Name(_) => Match::No,
        };
        let ruling = firewall.policy.decide(flow, &self.context);
        match stays {
            Match::Yes => None,
            Match::Maybe if ruling.verdict == Verdict::Denied => {
                Some(Ruling { verdict: Verdict::Undecided, ..ruling })
            }
            Match::Maybe | Match::No => Some(ruling),
        }
    }

    fn rule_on(&self, flow: &Flow) -> Ruling<'_> {
        if let Some(refusal) = platform_refusal(flow) {
            return refusal;
        }
        let mut decided = Ruling {
            verdict: Verdict::Allowed,
            layer: Layer::Platform,
            resource: "",
            rule: "no network security group or firewall stands in the way",
        };
        for ruling in self.rulings(flow).into_iter().flatten() {
            match (ruling.verdict, decided.verdict) {
                (Verdict::Denied, _) => return ruling,
                (_, Verdict::Undecided) => {}
                _ => decided = ruling,
            }
        }
        decided
    }

    /// The first port of every run of ports that no rule tells apart.
    fn port_boundaries(&self) -> Vec<u16> {
        let security = [&self.nic_nsg, &self.subnet_nsg]
            .into_iter()
            .flatten()
            .flat_map(NetworkSecurityGroup::rules)
            .flat_map(|rule| rule.destination_ports.iter().copied());
        let firewall = self
            .firewall
            .iter()
            .flat_map(|firewall| firewall.policy.rules())
            .flat_map(|(rule, _)| rule.ports());
        let mut ports: Vec<u16> = security
            .chain(firewall)
            .flat_map(|range| [range.first, range.last.saturating_add(1)])
            .chain([1])
            .filter(|port| *port != 0)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// What no rule can permit in a local build: the platform's own addresses, which answer only inside Azure, and
/// addresses in disguise.
pub(crate) fn platform_refusal(flow: &Flow) -> Option<Ruling<'static>> {
    let rule = match End::of(flow) {
        (End::Local(_), End::Peer(tag::WIRE_SERVER)) => {
            "the platform's wire server does not exist in a local build"
        }
        (End::Local(_), End::Peer(tag::METADATA)) => {
            "the platform's metadata service does not exist in a local build"
        }
        (End::Local(_), End::Name(name)) if ends_in_number(name) => {
            "a number is an address to some resolvers, not a name"
        }
        _ => return None,
    };
    Some(Ruling { verdict: Verdict::Denied, layer: Layer::Platform, resource: "local build", rule })
}

/// Whether resolvers may take a name for an IPv4 address in an old spelling, such as `2822734096` or `0x7f.1`
/// (URL Standard, "ends in a number checker").
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    digits(last, 10) || hexadecimal.is_some_and(|rest| rest.is_empty() || digits(rest, 16))
}

#[cfg(test)]
mod tests;
