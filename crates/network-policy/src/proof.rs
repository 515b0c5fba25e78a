//! What a proof says: the answer, the packet that shows it, who decided, and how much is lost.

use std::fmt;
use std::net::IpAddr;

use crate::flow::{Application, Destination, Direction, Flow, Layer, Protocol};
use crate::matching::Match;

/// Whether a contract holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProofVerdict {
    /// For every packet it describes.
    Proved,
    /// Not for the packet that is shown.
    Refuted,
    /// What is described leaves it open.
    Depends,
}

/// The answer to a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The answer.
    pub verdict: ProofVerdict,
    /// A packet that breaks the contract or, when it depends, one that might. `None` when proved, and when it is broken
    /// for addresses of a tag whose prefixes are not known.
    pub packet: Option<Packet>,
    /// Who decided about that packet; when proved, who decided about most packets.
    pub decided_by: Option<Decider>,
    /// The rule that nearly decided otherwise about that packet.
    pub near_miss: Option<NearMiss>,
    /// How many packets break the contract, or might.
    pub lost: Option<Lost>,
    /// What would decide it: empty unless it depends.
    pub open: Vec<String>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// Every packet's decision. `None` when the rules are too entangled to be listed at once;
    /// [`crate::CompiledPolicy::certify`] lists them all the same.
    pub certificate: Option<crate::Certificate>,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Direction, seen from the build subnet.
    pub direction: Direction,
    /// Protocol.
    pub protocol: Protocol,
    /// Source address.
    pub from: IpAddr,
    /// Source port; 0 where the protocol has none.
    pub from_port: u16,
    /// Destination address.
    pub to: IpAddr,
    /// Destination port; 0 where the protocol has none.
    pub to_port: u16,
    /// What it speaks, when a firewall looks at that.
    pub application: Option<Application>,
    /// The name it asks a firewall for.
    pub name: Option<String>,
    /// Whom the address belongs to, when a service tag tells.
    pub owner: Option<String>,
}

/// Who decided.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decider {
    /// The layer.
    pub layer: Layer,
    /// Name or id of the resource; empty for the platform.
    pub resource: String,
    /// Name of the rule or route, or a phrase that stands for it.
    pub rule: String,
    /// Its priority, when it has one.
    pub priority: Option<u16>,
}

/// How many packets of a contract are affected. Where a firewall looks at names, a packet counts once for each kind of
/// request that its rules tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Number of packets; `u128::MAX` when it is larger.
    pub packets: u128,
    /// Number of packets the contract describes; `u128::MAX` when it is larger.
    pub total: u128,
    /// The same for people, in terms of the field that says most.
    pub phrase: String,
}

/// A rule that matched all but a few fields of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The rule.
    pub rule: String,
    /// Its priority, when it has one.
    pub priority: Option<u16>,
    /// Every field, in the order of Azure's portal.
    pub fields: Vec<FieldMatch>,
}

/// One field of a rule beside that of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMatch {
    /// Name of the field, such as `destination port`.
    pub field: &'static str,
    /// Whether the rule matches it; `None` when that is not known.
    pub matches: Option<bool>,
    /// What the rule has.
    pub rule: String,
    /// What the packet has.
    pub packet: String,
}

/// What one layer does with a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerDecision {
    /// Its answer.
    pub verdict: crate::Verdict,
    /// Who decided.
    pub decided_by: Decider,
    /// Where it does not allow the flow: the rule that nearly did.
    pub near_miss: Option<NearMiss>,
}

impl Packet {
    /// The packet as a flow to its address, by its name if it has one.
    pub fn flow(&self) -> Flow {
        Flow {
            direction: self.direction,
            protocol: self.protocol,
            source: self.from,
            source_port: self.from_port,
            destination: match &self.name {
                Some(name) => Destination::Named(self.to, name.clone()),
                None => Destination::Address(self.to),
            },
            port: self.to_port,
            application: self.application,
        }
    }
}

impl FieldMatch {
    pub(crate) fn of(field: &'static str, matches: Match, rule: String, packet: String) -> Self {
        let matches = match matches {
            Match::Yes => Some(true),
            Match::No => Some(false),
            Match::Maybe => None,
        };
        Self { field, matches, rule, packet }
    }
}

/// `tcp 10.241.0.4:50000 -> 20.60.0.1:443`.
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |address: IpAddr, port: u16| match (self.protocol, address) {
            (Protocol::Icmp | Protocol::Other(_), _) => address.to_string(),
            (_, IpAddr::V4(_)) => format!("{address}:{port}"),
            (_, IpAddr::V6(_)) => format!("[{address}]:{port}"),
        };
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp".to_owned(),
            Protocol::Udp => "udp".to_owned(),
            Protocol::Icmp => "icmp".to_owned(),
            Protocol::Other(number) => format!("ip-{number}"),
        };
        write!(f, "{protocol} {} -> {}", end(self.from, self.from_port), end(self.to, self.to_port))
    }
}
