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

const NEEDED: [NeededBy; 18] = [
    ("*.blob.core.windows.net", 443, STORAGE),
    ("management.azure.com", 443, ARM),
    ("*.file.core.windows.net", 445, SHARE),
    ("mcr.microsoft.com", 443, CONTAINER),
    ("*.data.mcr.microsoft.com", 443, CONTAINER),
    ("login.microsoftonline.com", 443, LOGIN),
    ("deb.debian.org", 80, ARCHIVE),
    ("deb.debian.org", 443, ARCHIVE),
    ("security.debian.org", 80, ARCHIVE),
    ("security.debian.org", 443, ARCHIVE),
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
    ("entropy.ubuntu.com", "the machine asks for entropy while it boots; it has its own"),
    ("changelogs.ubuntu.com", "the machine looks for a newer release while it boots"),
    ("motd.ubuntu.com", "news for the login message (assumed)"),
    ("esm.ubuntu.com", "Ubuntu Pro looks for extended support (assumed)"),
    ("contracts.canonical.com", "Ubuntu Pro looks for a subscription (assumed)"),
];

/// The names that every build needs, beside those of its own recipe.
pub fn needed_names() -> &'static [NeededBy] {
    &NEEDED
}

/// Port of the proxy machine of a build with private link.
const PROXY_PORT: u16 = 60_001;
const NTP_PORT: u16 = 123;
const PLATFORM: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));

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
        let class = match (peer, direction) {
            (Peer::Name(name), _) => self.named(protocol, name, port),
            (Peer::Address(address), Direction::Outbound) => outbound(protocol, *address, port),
            (Peer::Address(address), Direction::Inbound) => inbound(protocol, *address, port),
        };
        match class {
            Some((true, why)) => Class::Needed(why.to_owned()),
            Some((false, why)) => Class::Noise(why.to_owned()),
            None => Class::Unclassified,
        }
    }

    fn named(&self, protocol: Protocol, name: &str, port: u16) -> Option<(bool, &'static str)> {
        if protocol == Protocol::Udp && port == NTP_PORT {
            return Some(NTP);
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

const NTP: (bool, &str) = (false, "time from the Internet; the platform keeps the clock of a machine");

fn outbound(protocol: Protocol, peer: IpAddr, port: u16) -> Option<(bool, &'static str)> {
    let public = is_public(peer);
    match (protocol, port) {
        _ if peer == PLATFORM => {
            Some((true, "Azure's platform: names, addresses and the state of the machine"))
        }
        (Protocol::Udp, NTP_PORT) => Some(NTP),
        (Protocol::Tcp, 443) if public => Some((
            true,
            "'VirtualNetwork to Internet, 443' of the guidance; this log does not say to which name",
        )),
        (Protocol::Tcp, 80) if public => Some((
            true,
            "'VirtualNetwork to Internet, 80' for package archives; this log does not say to which name",
        )),
        (Protocol::Tcp, 445) if public => Some((true, SHARE)),
        (Protocol::Tcp, 22) if !public => Some((true, SSH)),
        (Protocol::Tcp | Protocol::Udp, 53) if !public => {
            Some((true, "a name server of the virtual network's own: without it no name resolves"))
        }
        _ => None,
    }
}

const SSH: &str = "'VirtualNetwork to VirtualNetwork, 22': the build is run on the machine over SSH";

fn inbound(protocol: Protocol, peer: IpAddr, port: u16) -> Option<(bool, &'static str)> {
    let public = is_public(peer);
    match (protocol, port) {
        (Protocol::Tcp, PROXY_PORT) if peer == PLATFORM => Some((
            true,
            "'AzureLoadBalancer to VirtualNetwork, 60001': the health probe of the build's proxy",
        )),
        (Protocol::Tcp, PROXY_PORT) if !public => {
            Some((true, "'VirtualNetwork to VirtualNetwork, 60001': private link to the build's proxy"))
        }
        (Protocol::Tcp, 22) if !public => Some((true, SSH)),
        _ if public && peer != PLATFORM => Some((false, "nothing of a build is reached from the Internet")),
        _ => None,
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
