//! The whole policy and its one meaning.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::address::End;
use crate::admin::AdminRule;
use crate::firewall::Firewall;
use crate::flow::{Flow, Layer, Verdict};
use crate::matching::Ruling;
use crate::nsg::NetworkSecurityGroup;
use crate::route::{NextHop, Outbound, Route, RouteTable};
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
    /// Other subnets of the virtual network: a flow to them meets their groups on arrival, one from them before it
    /// leaves. Their routes are not known.
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

impl NetworkPolicy {
    /// The policy as if every route led to the Internet and no firewall stood there: what admin rules and network
    /// security groups decide, with `VirtualNetwork` as wide as the routes make it.
    #[must_use]
    pub fn past_routes(&self) -> Self {
        let routes = self.routes.as_ref().map(|table| RouteTable {
            routes: table
                .routes
                .iter()
                .map(|route| Route { next_hop: NextHop::Internet, ..route.clone() })
                .collect(),
            outbound: Outbound::NatGateway,
            ..table.clone()
        });
        Self { routes, firewall: None, ..self.clone() }
    }

    /// The first port of every run of ports that no rule tells apart.
    pub(crate) fn port_boundaries(&self) -> Vec<u16> {
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
