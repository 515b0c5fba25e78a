//! One entry of a log, whichever log it was.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use network_policy::{Direction, Protocol};

/// What a log says about one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// Seen from the network interface that was logged; a firewall sees neither side as its own.
    pub direction: Option<Direction>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Where the flow came from.
    pub source: IpAddr,
    /// Where it went.
    pub destination: Peer,
    /// Destination port; 0 where the protocol has none.
    pub port: u16,
    /// Whether it was refused.
    pub denied: bool,
    /// What decided: a network security group, a network manager or a firewall policy, as the log names it.
    pub resource: String,
    /// The rule that decided, or a phrase where none did.
    pub rule: String,
}

/// The far end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// An address: all that a flow log knows.
    Address(IpAddr),
    /// A name in lower case, as a firewall's application rules see it.
    Name(String),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}
