//! One connection attempt, and what a policy answers to it.

use std::net::IpAddr;

/// Transport protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
    /// Any other IP protocol, by its number.
    Other(u8),
}

/// Direction of a flow, seen from the build machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards the build machine.
    Inbound,
    /// From the build machine.
    Outbound,
}

/// Where a flow goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// An address the client chose, with no name known for it.
    Address(IpAddr),
    /// A name (SNI, Host or DNS history), lower case, no trailing dot; its address is symbolic.
    Name(String),
    /// An address that is asked for by such a name: network rules look at the one, application rules at the other.
    Named(IpAddr, String),
}

impl Destination {
    /// The name, where there is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Address(_) => None,
            Self::Name(name) | Self::Named(_, name) => Some(name),
        }
    }
}

/// One connection attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Direction, seen from the build machine.
    pub direction: Direction,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Where the flow comes from: the build machine for an outbound flow, its peer for an inbound one.
    pub source: IpAddr,
    /// Source port; 0 where the protocol has none.
    pub source_port: u16,
    /// Where the flow goes: the peer for an outbound flow, the build machine for an inbound one.
    pub destination: Destination,
    /// Destination port; 0 where the protocol has none.
    pub port: u16,
    /// What the application layer speaks, when it is known: firewall application rules match only HTTP, TLS and SQL.
    pub application: Option<Application>,
}

/// Application protocol as a firewall's application rule sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Application {
    /// HTTP, matched by Host header.
    Http,
    /// TLS, matched by SNI.
    Https,
    /// What SQL Server and Azure SQL speak, matched by the name that the client asks for.
    Mssql,
}

impl Application {
    /// Whatever a flow may speak; `None` is what no application rule looks at.
    pub(crate) const EVERY: [Option<Self>; 4] =
        [None, Some(Self::Http), Some(Self::Https), Some(Self::Mssql)];

    /// What whoever asks for a host by its name usually speaks: HTTP on port 80, SQL on 1433, else TLS.
    pub fn usual(port: u16) -> Self {
        match port {
            80 => Self::Http,
            1433 => Self::Mssql,
            _ => Self::Https,
        }
    }
}

/// Three-valued answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Every layer lets the flow through.
    Allowed,
    /// A layer refuses it.
    Denied,
    /// The description does not decide it.
    Undecided,
}

/// Which layer decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Security admin rules.
    Admin,
    /// The NSG of the network interface.
    NicNsg,
    /// The NSG of the subnet.
    SubnetNsg,
    /// The routes of the subnet.
    Route,
    /// A firewall's network rules, DNAT rules among them.
    FirewallNetwork,
    /// A firewall's application rules.
    FirewallApplication,
    /// The platform itself: traffic that no rule can permit or that Azure exempts.
    Platform,
}

/// The decision and who took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// The layer that decided.
    pub layer: Layer,
    /// Name or id of the resource (NSG, firewall policy) that decided.
    pub resource: String,
    /// Name of the deciding rule, or a phrase such as "no rule allows it".
    pub rule: String,
}
