//! Addresses, ports and protocols as rules write them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::flow::{Destination, Direction, Flow, Protocol};
use crate::tag::ServiceTag;

/// One source or destination of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// `*`: both address families.
    Any,
    /// An address or CIDR prefix.
    Prefix(IpNet),
    /// First to last address, both included; only firewalls take these.
    Range(IpAddr, IpAddr),
    /// A service tag.
    Tag(ServiceTag),
    /// An application security group, by its id. The short-lived machines of a build belong to none.
    ApplicationSecurityGroup(String),
    /// An IP group whose addresses are not known, by its id.
    IpGroup(String),
}

/// Why a text is not an address of a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither `*`, an address, a prefix, a range nor a service tag.
    #[error("'{0}' is not '*', an IP address, a CIDR prefix or a service tag")]
    Unreadable(String),
    /// The prefix has bits set to the right of its mask.
    #[error("'{given}' has host bits set; the network is {network}")]
    HostBits {
        /// What was written.
        given: String,
        /// The prefix without host bits.
        network: IpNet,
    },
    /// The range ends before it starts, or its ends are of two families.
    #[error("'{0}' is not a range from a lower to a higher address")]
    Reversed(String),
}

impl Address {
    /// Reads `*`, `Any`, an address, a CIDR prefix, a range `a-b` or a service tag.
    ///
    /// # Errors
    /// When the text is none of these; the error says which correction is meant.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text == "*" || text.eq_ignore_ascii_case("any") {
            return Ok(Self::Any);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Prefix(address.into()));
        }
        if let Ok(prefix) = text.parse::<IpNet>() {
            let network = prefix.trunc();
            return if network == prefix {
                Ok(Self::Prefix(prefix))
            } else {
                Err(AddressError::HostBits { given: text.to_owned(), network })
            };
        }
        if let Some((first, last)) = text.split_once('-')
            && let (Ok(first), Ok(last)) = (first.trim().parse::<IpAddr>(), last.trim().parse::<IpAddr>())
        {
            return if first <= last && first.is_ipv4() == last.is_ipv4() {
                Ok(Self::Range(first, last))
            } else {
                Err(AddressError::Reversed(text.to_owned()))
            };
        }
        ServiceTag::parse(text).map(Self::Tag).ok_or_else(|| AddressError::Unreadable(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Prefix(prefix) if prefix.prefix_len() == prefix.max_prefix_len() => {
                write!(f, "{}", prefix.addr())
            }
            Self::Prefix(prefix) => write!(f, "{prefix}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::ApplicationSecurityGroup(id) | Self::IpGroup(id) => f.write_str(id),
        }
    }
}

/// One end of a flow, as far as it is known.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    /// The build machine itself.
    Local(IpAddr),
    /// A peer with a concrete address.
    Peer(IpAddr),
    /// A peer known by a public name; its address is symbolic.
    Name(&'a str),
}

impl<'a> End<'a> {
    /// Source and destination of a flow; the build machine is one of them.
    pub(crate) fn of(flow: &'a Flow) -> (Self, Self) {
        let source = flow.source.to_canonical();
        let destination = match &flow.destination {
            Destination::Address(address) | Destination::Named(address, _) => Ok(address.to_canonical()),
            Destination::Name(name) => literal_address(name).ok_or(Self::Name(name)),
        };
        match flow.direction {
            Direction::Outbound => (Self::Local(source), destination.map_or_else(|name| name, Self::Peer)),
            Direction::Inbound => (Self::Peer(source), destination.map_or_else(|name| name, Self::Local)),
        }
    }
}

/// The address that a client wrote where a name belongs, such as `Host: 10.0.0.4` or `Host: [::1]`.
fn literal_address(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// Whether a client wrote an address where a name belongs.
pub(crate) fn is_literal(name: &str) -> bool {
    literal_address(name).is_some()
}

/// First to last port, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port; never below `first`.
    pub last: u16,
}

impl PortRange {
    /// Every port, written `*`.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// Exactly one port.
    pub const fn single(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Reads `*`, `80` or `1024-65535`; `None` for anything else, a reversed range included.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "*" || text.eq_ignore_ascii_case("any") {
            return Some(Self::ALL);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: number(first)?, last: number(last)? };
        (range.first <= range.last).then_some(range)
    }
}

/// Decimal digits only: `u16::from_str` would also take a sign.
fn number(text: &str) -> Option<u16> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("*"),
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

/// Protocol of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleProtocol {
    /// `*` or `Any`.
    Any,
    /// One protocol.
    Only(Protocol),
}

impl RuleProtocol {
    /// Reads `*`, `Any`, `All`, `Tcp`, `Udp`, `Icmp`, `Esp` or `Ah`, ignoring case.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "*" | "any" | "all" => Self::Any,
            "tcp" => Self::Only(Protocol::Tcp),
            "udp" => Self::Only(Protocol::Udp),
            "icmp" => Self::Only(Protocol::Icmp),
            "esp" => Self::Only(Protocol::Other(50)),
            "ah" => Self::Only(Protocol::Other(51)),
            _ => return None,
        })
    }
}

impl fmt::Display for RuleProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Only(Protocol::Tcp) => f.write_str("Tcp"),
            Self::Only(Protocol::Udp) => f.write_str("Udp"),
            Self::Only(Protocol::Icmp) => f.write_str("Icmp"),
            Self::Only(Protocol::Other(50)) => f.write_str("Esp"),
            Self::Only(Protocol::Other(51)) => f.write_str("Ah"),
            Self::Only(Protocol::Other(number)) => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_azure_writes_them() {
        for (text, shown) in [
            ("*", "*"),
            ("Any", "*"),
            ("10.0.0.4", "10.0.0.4"),
            ("10.0.0.4/32", "10.0.0.4"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.4-10.0.0.9", "10.0.0.4-10.0.0.9"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("INTERNET", "Internet"),
            ("VIRTUAL_NETWORK", "VirtualNetwork"),
            ("azure_loadbalancer", "AzureLoadBalancer"),
            ("Storage.EastUS2", "Storage.EastUS2"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn addresses_that_mean_nothing_are_refused() {
        assert_eq!(
            Address::parse("10.0.0.5/24").unwrap_err().to_string(),
            "'10.0.0.5/24' has host bits set; the network is 10.0.0.0/24"
        );
        assert!(matches!(Address::parse("10.0.0.9-10.0.0.4"), Err(AddressError::Reversed(_))));
        for text in ["", "10.0.0", "10.0.0.256", "10.0.0.0/33", "1.2.3.4:80", "a b", "-", "10.0.0.1-::1"] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(PortRange::parse("0-65535"), Some(PortRange::ALL));
        assert_eq!(PortRange::parse("80"), Some(PortRange::single(80)));
        assert_eq!(PortRange::parse("3389-3389"), Some(PortRange::single(3389)));
        for text in ["", "-", "90-80", "65536", "+80", "80-", "-80", "80,81", "http"] {
            assert_eq!(PortRange::parse(text), None, "{text:?}");
        }
    }
}
