//! Whether a build needs what was denied.
//!
//! Sources: the network tables of the AKS jump box image guidance (outbound and inbound rows, endpoints of the
//! firewall, and what it calls safe to block), as completed upstream. What only follows from them, or from how the
//! base images are known to start, says "assumed" in its reason.

use std::net::{IpAddr, Ipv4Addr};

use network_policy::{Direction, Endpoint, FqdnPattern, Protocol};

use crate::event::Peer;

/// What a denial means to a build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A build needs it.
    Needed(String),
    /// Nothing in the guidance or the recipe says.
    Unclassified,
    /// Known to be harmless.
    Noise(String),
}

impl Class {
    /// The word for it, as in the JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Needed(_) => "needed",
            Self::Unclassified => "unclassified",
            Self::Noise(_) => "noise",
        }
    }

    /// Why, where something says so.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Needed(reason) | Self::Noise(reason) => Some(reason),
            Self::Unclassified => None,
        }
    }
}

/// A name that a build needs, a port, and what for.
pub type NeededBy = (&'static str, u16, &'static str);

/// A name that is safe to block on any port, and why.
pub type Noise = (&'static str, &'static str);

const STORAGE: &str = "Azure Image Builder keeps its logs and the image in a storage account";
const ARM: &str = "the build's machines call Azure Resource Manager";
const SHARE: &str =
    "the build's container mounts a file share (isolated topology; assumed from 'Internet 445')";
const CONTAINER: &str = "the image of the build's container (isolated topology; assumed)";
const LOGIN: &str = "tokens of the build's identity (assumed)";
const ARCHIVE: &str = "the package archive of the base";

/// Names that every build needs, beside those of its own recipe.
pub const NEEDED: [NeededBy; 16] = [
    ("*.blob.core.windows.net", 443, STORAGE),
    ("management.azure.com", 443, ARM),
    ("*.file.core.windows.net", 445, SHARE),
    ("mcr.microsoft.com", 443, CONTAINER),
    ("*.data.mcr.microsoft.com", 443, CONTAINER),
    ("login.microsoftonline.com", 443, LOGIN),
    ("*.debian.org", 80, ARCHIVE),
    ("*.debian.org", 443, ARCHIVE),
    ("azure.archive.ubuntu.com", 80, ARCHIVE),
    ("azure.archive.ubuntu.com", 443, ARCHIVE),
    ("archive.ubuntu.com", 80, ARCHIVE),
    ("archive.ubuntu.com", 443, ARCHIVE),
    ("security.ubuntu.com", 80, ARCHIVE),
    ("security.ubuntu.com", 443, ARCHIVE),
    ("packages.microsoft.com", 80, "packages of the Azure CLI"),
    ("packages.microsoft.com", 443, "packages of the Azure CLI"),
];

/// Names that machines contact while they boot, and a build does not need.
pub const NOISE: [Noise; 8] = [
    ("api.snapcraft.io", "snap looks for updates while the machine boots"),
    ("*.snapcraft.io", "snap looks for updates while the machine boots (assumed from api.snapcraft.io)"),
    (
        "*.snapcraftcontent.com",
        "snap fetches updates while the machine boots (assumed from api.snapcraft.io)",
    ),
    ("entropy.ubuntu.com", "the machine asks for entropy while it boots"),
    ("changelogs.ubuntu.com", "the machine looks for a newer release while it boots"),
    ("motd.ubuntu.com", "news for the login message (assumed)"),
    ("esm.ubuntu.com", "Ubuntu Pro looks for extended support (assumed)"),
    ("contracts.canonical.com", "Ubuntu Pro looks for a subscription (assumed)"),
];

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// 168.63.129.16.
    Platform,
    /// Not of the public Internet.
    Private,
    /// Of the public Internet.
    Public,
    /// Anywhere.
    Any,
}

/// What is known of flows that a log has no name for.
#[derive(Clone, Copy, Debug)]
pub struct AddressRow {
    /// Seen from the build subnet.
    pub direction: Direction,
    /// Its protocols; empty for any.
    pub protocols: &'static [Protocol],
    /// Destination port; none for any.
    pub port: Option<u16>,
    /// The far end.
    pub peer: Place,
    /// Whether a build needs it, or can do without.
    pub needed: bool,
    /// What for, or why not.
    pub why: &'static str,
}

const TCP: &[Protocol] = &[Protocol::Tcp];
const UDP: &[Protocol] = &[Protocol::Udp];
const SSH: &str = "'VirtualNetwork to VirtualNetwork, 22': the build is run on the machine over SSH";
const TIME: &str = "machines ask for the time while they boot; safe to block";
const NTP_PORT: u16 = 123;
const PLATFORM: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));

/// Flows by address; the first row that matches counts.
pub const ADDRESSES: [AddressRow; 11] = {
    const fn row(
        direction: Direction,
        protocols: &'static [Protocol],
        port: Option<u16>,
        peer: Place,
        why: &'static str,
    ) -> AddressRow {
        AddressRow { direction, protocols, port, peer, needed: true, why }
    }
    use Direction::{Inbound, Outbound};
    use Place::{Any, Platform, Private, Public};
    let time = row(Outbound, UDP, Some(NTP_PORT), Any, TIME);
    let scan = row(Inbound, &[], None, Public, "nothing of a build is reached from the Internet");
    [
        row(Outbound, &[], None, Platform, "Azure's platform: names, addresses and the state of the machine"),
        AddressRow { needed: false, ..time },
        row(
            Outbound,
            TCP,
            Some(443),
            Public,
            "'VirtualNetwork to Internet, 443'; the log does not say to which name",
        ),
        row(Outbound, TCP, Some(80), Public, "package archives; the log does not say which"),
        row(Outbound, TCP, Some(445), Public, SHARE),
        row(Outbound, TCP, Some(22), Private, SSH),
        row(
            Outbound,
            &[Protocol::Tcp, Protocol::Udp],
            Some(53),
            Private,
            "a name server of the virtual network's own: without it no name resolves (assumed)",
        ),
        row(
            Inbound,
            TCP,
            Some(60_001),
            Platform,
            "'AzureLoadBalancer to VirtualNetwork, 60001': health probe of the build's proxy",
        ),
        row(
            Inbound,
            TCP,
            Some(60_001),
            Private,
            "'VirtualNetwork to VirtualNetwork, 60001': private link to the build's proxy",
        ),
        row(Inbound, TCP, Some(22), Private, SSH),
        AddressRow { needed: false, ..scan },
    ]
};

impl Place {
    fn holds(self, address: IpAddr) -> bool {
        match self {
            Self::Platform => address == PLATFORM,
            Self::Private => !is_public(address),
            Self::Public => is_public(address) && address != PLATFORM,
            Self::Any => true,
        }
    }
}

impl AddressRow {
    fn matches(&self, direction: Direction, protocol: Protocol, peer: IpAddr, port: u16) -> bool {
        self.direction == direction
            && (self.protocols.is_empty() || self.protocols.contains(&protocol))
            && self.port.is_none_or(|own| own == port)
            && self.peer.holds(peer)
    }
}

/// Tells what was denied apart.
#[derive(Clone, Debug)]
pub(crate) struct Classifier {
    own: Vec<Endpoint>,
    needed: Vec<(FqdnPattern, u16, &'static str)>,
    noise: Vec<(FqdnPattern, &'static str)>,
}

impl Classifier {
    /// `own`: what the build's recipe contacts beyond the guidance.
    pub fn new(own: Vec<Endpoint>) -> Self {
        let needed =
            NEEDED.iter().filter_map(|&(name, port, why)| Some((FqdnPattern::parse(name).ok()?, port, why)));
        let noise = NOISE.iter().filter_map(|&(name, why)| Some((FqdnPattern::parse(name).ok()?, why)));
        Self { own, needed: needed.collect(), noise: noise.collect() }
    }

    /// `peer` is the far end: where an outbound flow went, or where an inbound one came from.
    pub fn class(&self, direction: Direction, protocol: Protocol, peer: &Peer, port: u16) -> Class {
        let class = match peer {
            Peer::Name(name) => self.named(protocol, name, port),
            Peer::Address(address) => ADDRESSES
                .iter()
                .find(|row| row.matches(direction, protocol, *address, port))
                .map(|row| (row.needed, row.why)),
        };
        match class {
            Some((true, why)) => Class::Needed(why.to_owned()),
            Some((false, why)) => Class::Noise(why.to_owned()),
            None => Class::Unclassified,
        }
    }

    fn named(&self, protocol: Protocol, name: &str, port: u16) -> Option<(bool, &'static str)> {
        if protocol == Protocol::Udp && port == NTP_PORT {
            return Some((false, TIME));
        }
        let own = self.own.iter().any(|endpoint| endpoint.port == port && endpoint.name.matches(name));
        if own && protocol == Protocol::Tcp {
            return Some((true, "the build's own configuration asks for it"));
        }
        let needed = self.needed.iter().find(|(pattern, own, _)| *own == port && pattern.matches(name));
        let needed = needed.filter(|_| protocol == Protocol::Tcp).map(|&(_, _, why)| (true, why));
        needed.or_else(|| {
            self.noise.iter().find(|(pattern, _)| pattern.matches(name)).map(|&(_, why)| (false, why))
        })
    }
}

/// Whether an address is of the public Internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            let not_unicast = v4.octets()[0] == 0 || v4.octets()[0] >= 224;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared || not_unicast)
        }
        IpAddr::V6(v6) => v6.segments()[0] >> 13 == 1,
    }
}
