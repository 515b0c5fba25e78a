//! Where Azure sends what leaves the subnet.
//!
//! Source: "Virtual network traffic routing": the longest prefix wins; among equal ones a user's route, then one
//! learnt from a gateway, then Azure's own. Azure's own routes for the virtual network, its peerings and service
//! endpoints beat even longer prefixes learnt from a gateway.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::tag::ServiceTag;

/// What routes the traffic of the build subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// Name or id of the route table; empty when the subnet has none.
    pub name: String,
    /// The routes of the table and those learnt from gateways, in any order; with `effective`, all there are.
    pub routes: Vec<Route>,
    /// Whether `routes` is Azure's list of effective routes, to which nothing is to be added. Else Azure's own routes
    /// follow from [`crate::Context`].
    pub effective: bool,
    /// Service endpoints of the subnet.
    pub service_endpoints: Vec<ServiceEndpoint>,
    /// How what is routed to the Internet gets a public address.
    pub outbound: Outbound,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Name; what stands in the place of one for routes that have none.
    pub name: String,
    /// Who made it.
    pub source: RouteSource,
    /// Destinations.
    pub destination: RouteDestination,
    /// Where it leads.
    pub next_hop: NextHop,
}

/// Who made a route. The order is Azure's preference among equal prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteSource {
    /// A route of the subnet's route table.
    User,
    /// Learnt from a virtual network gateway.
    Gateway,
    /// Azure's own.
    System,
}

/// Destinations of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteDestination {
    /// A prefix.
    Prefix(IpNet),
    /// The prefixes of a service tag.
    Tag(ServiceTag),
    /// A value that the documents leave open, and why.
    Unknown(String),
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// Within the virtual network.
    VirtualNetwork,
    /// To a peered virtual network.
    Peering,
    /// To the Internet, or to an Azure service over the backbone.
    Internet,
    /// Nowhere: the traffic is dropped.
    None,
    /// To a virtual appliance; `None` when its address is not known.
    Appliance(Option<IpAddr>),
    /// To a virtual network gateway.
    Gateway,
    /// To an Azure service, through a service endpoint.
    ServiceEndpoint,
    /// A value that the documents leave open, and why.
    Unknown(String),
}

/// A service endpoint of the subnet: the service's prefixes are reached directly, past any firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEndpoint {
    /// The service, such as `Microsoft.Storage`.
    pub service: String,
    /// The tag that certainly holds its prefixes, such as `Storage.EastUS2`, when the region is known.
    pub region: Option<String>,
}

/// How traffic to the Internet gets a public address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outbound {
    /// The documents do not say; "default outbound access" depends on when the subnet was made.
    #[default]
    Unknown,
    /// A NAT gateway of the subnet.
    NatGateway,
    /// Default outbound access, which subnets had until private subnets became the default.
    DefaultAccess,
    /// None: the subnet is private and has no NAT gateway.
    Missing,
}
