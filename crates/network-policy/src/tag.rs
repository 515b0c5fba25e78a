//! Service tags: which addresses and names they stand for, as far as that is known.
//!
//! Sources: Azure service tags overview; the exclusions of `Internet` follow what IP flow verify and effective
//! security rules show (private, shared, link-local, loopback and multicast space is not in it).

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::fqdn::FqdnPattern;
use crate::ranges::Ranges;
use crate::space::{self, Bounds};

/// Azure's platform address: DNS, DHCP, wire server and load balancer probes.
pub(crate) const WIRE_SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(168, 63, 129, 16));
/// Azure's instance metadata service.
pub(crate) const METADATA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254));

/// A service tag, compared ignoring case; `INTERNET`, `VIRTUAL_NETWORK` and `AZURE_LOADBALANCER` are old spellings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceTag {
    /// The virtual network's own address space and the platform address.
    VirtualNetwork,
    /// Public address space outside the virtual network.
    Internet,
    /// The source of health probes, 168.63.129.16.
    AzureLoadBalancer,
    /// Any other tag, as written: its prefixes are not known here, so it may match anything.
    Other(String),
}

impl ServiceTag {
    /// Reads a tag; `None` when the text cannot be one (tags are letters, digits and dots, and begin with a
    /// letter).
    pub fn parse(text: &str) -> Option<Self> {
        let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts || !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            return None;
        }
        Some(match text.to_ascii_lowercase().as_str() {
            "virtualnetwork" | "virtual_network" => Self::VirtualNetwork,
            "internet" => Self::Internet,
            "azureloadbalancer" | "azure_loadbalancer" => Self::AzureLoadBalancer,
            _ => Self::Other(text.to_owned()),
        })
    }

    /// Whether it is the tag of that name, ignoring case.
    pub(crate) fn is(&self, name: &str) -> bool {
        match self {
            Self::Other(own) => own.eq_ignore_ascii_case(name),
            _ => false,
        }
    }

    /// Whether both are one tag: names are compared ignoring case.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match other {
            Self::Other(name) => self.is(name),
            _ => self == other,
        }
    }
}

impl fmt::Display for ServiceTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VirtualNetwork => "VirtualNetwork",
            Self::Internet => "Internet",
            Self::AzureLoadBalancer => "AzureLoadBalancer",
            Self::Other(name) => name,
        })
    }
}

/// What is known of service tags beside those that follow from the virtual network: usually Azure's weekly file.
/// A tag that is not in it may hold nothing or everything.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags {
    source: String,
    /// By name in lower case.
    bounds: BTreeMap<String, Bounds<u128>>,
}

impl Tags {
    /// No tags yet; `source` says where they come from (cloud, change number, date), for proofs to name.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), bounds: BTreeMap::new() }
    }

    /// Where they come from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Adds a tag whose prefixes are known.
    pub fn insert(&mut self, name: &str, prefixes: &[IpNet]) {
        self.bounds.insert(name.to_ascii_lowercase(), Bounds::exact(space::prefixes(prefixes)));
    }

    /// Adds a tag that certainly holds `least` and at most `most`, such as what several weekly files agree on.
    pub fn insert_bounds(&mut self, name: &str, least: &[IpNet], most: &[IpNet]) {
        let lo = space::prefixes(least);
        let hi = lo.union(&space::prefixes(most));
        self.bounds.insert(name.to_ascii_lowercase(), Bounds { lo, hi });
    }

    /// Whether a tag is known; case does not matter.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The names of all tags, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.bounds.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Bounds<u128>> {
        self.bounds.get(&name.to_ascii_lowercase())
    }

    /// The tags that certainly hold a point, with their sizes.
    pub(crate) fn holding(&self, point: u128) -> impl Iterator<Item = (&str, u128)> {
        let holders = self.bounds.iter().filter(move |(_, bounds)| bounds.lo.contains(point));
        holders.map(|(name, bounds)| (name.as_str(), bounds.lo.size().unwrap_or(u128::MAX)))
    }

    /// A number that differs, in all likelihood, when a tag does.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, bounds) in &self.bounds {
            (name, bounds.lo.as_slice(), bounds.hi.as_slice()).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Its source: the prefixes are many.
impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tags({:?}, {} tags)", self.source, self.bounds.len())
    }
}

/// Blocks that `Internet` never covers.
const NOT_INTERNET: [(u32, u8); 9] = [
    (0x0000_0000, 8),  // 0.0.0.0/8
    (0x0a00_0000, 8),  // 10.0.0.0/8
    (0x6440_0000, 10), // 100.64.0.0/10
    (0x7f00_0000, 8),  // 127.0.0.0/8
    (0xa9fe_0000, 16), // 169.254.0.0/16
    (0xac10_0000, 12), // 172.16.0.0/12
    (0xc0a8_0000, 16), // 192.168.0.0/16
    (0xe000_0000, 3),  // 224.0.0.0/3
    (0xa83f_8110, 32), // 168.63.129.16, which belongs to VirtualNetwork
];

/// Version 4 space that is never public.
pub(crate) fn not_internet() -> Ranges<u128> {
    let blocks = NOT_INTERNET.iter().filter_map(|&(base, length)| Ipv4Net::new(base.into(), length).ok());
    space::prefixes(&blocks.map(IpNet::V4).collect::<Vec<_>>())
}

/// Version 6 space that is handed out as global unicast, `2000::/3`.
pub(crate) fn public_version_6() -> Ranges<u128> {
    Ranges::range(1 << 125, (1 << 126) - 1)
}

/// The single address of a tag of the platform.
pub(crate) fn platform_address(tag: &str) -> Option<IpAddr> {
    let tags = [("AzurePlatformDNS", WIRE_SERVER), ("AzurePlatformIMDS", METADATA)];
    tags.iter().find(|(own, _)| own.eq_ignore_ascii_case(tag)).map(|(_, address)| *address)
}

/// Suffixes (or whole names) of Azure services, and the tag that holds their addresses.
const NAMES: [(&str, &str); 19] = [
    (".blob.core.windows.net", "Storage"),
    (".file.core.windows.net", "Storage"),
    (".queue.core.windows.net", "Storage"),
    (".table.core.windows.net", "Storage"),
    (".dfs.core.windows.net", "Storage"),
    (".web.core.windows.net", "Storage"),
    (".vault.azure.net", "AzureKeyVault"),
    (".azurecr.io", "AzureContainerRegistry"),
    ("management.azure.com", "AzureResourceManager"),
    ("mcr.microsoft.com", "MicrosoftContainerRegistry"),
    ("login.microsoftonline.com", "AzureActiveDirectory"),
    // Azure Government and China.
    (".blob.core.usgovcloudapi.net", "Storage"),
    (".file.core.usgovcloudapi.net", "Storage"),
    ("management.usgovcloudapi.net", "AzureResourceManager"),
    ("login.microsoftonline.us", "AzureActiveDirectory"),
    (".blob.core.chinacloudapi.cn", "Storage"),
    (".file.core.chinacloudapi.cn", "Storage"),
    ("management.chinacloudapi.cn", "AzureResourceManager"),
    ("login.chinacloudapi.cn", "AzureActiveDirectory"),
];

/// The tag that holds the addresses behind a public name, as far as it is known.
pub(crate) fn of_name(name: &str) -> Option<&'static str> {
    let owns = |known: &str| if known.starts_with('.') { name.ends_with(known) } else { name == known };
    NAMES.iter().find(|(known, _)| owns(known)).map(|(_, tag)| *tag)
}

/// The tag that holds the addresses behind every name that fits a pattern, as far as it is known.
pub(crate) fn of_names(pattern: &FqdnPattern) -> Option<ServiceTag> {
    let suffix = |known: &str| known.starts_with('.') && pattern.rest().ends_with(known);
    let owns = |known: &str| suffix(known) || (!pattern.is_wildcard() && pattern.rest() == known);
    NAMES.iter().find(|(known, _)| owns(known)).map(|(_, tag)| ServiceTag::Other((*tag).to_owned()))
}

/// Tags that have one of their own for each region, or for a part of the service: `Storage.EastUS2`.
const WITH_REGIONS: [&str; 51] = [
    "ActionGroup",
    "ApiManagement",
    "AppService",
    "AppServiceManagement",
    "AzureActiveDirectory",
    "AzureArcInfrastructure",
    "AzureAttestation",
    "AzureBackup",
    "AzureBotService",
    "AzureCloud",
    "AzureCognitiveSearch",
    "AzureConnectors",
    "AzureContainerRegistry",
    "AzureCosmosDB",
    "AzureDataExplorerManagement",
    "AzureDataLake",
    "AzureDevOps",
    "AzureDevSpaces",
    "AzureDigitalTwins",
    "AzureEventGrid",
    "AzureFrontDoor",
    "AzureIoTHub",
    "AzureKeyVault",
    "AzureMachineLearning",
    "AzureMonitor",
    "AzureOpenDatasets",
    "AzurePortal",
    "AzureResourceManager",
    "AzureSecurityCenter",
    "AzureSignalR",
    "AzureUpdateDelivery",
    "BatchNodeManagement",
    "DataFactory",
    "Dynamics365ForMarketingEmail",
    "EventHub",
    "GatewayManager",
    "HDInsight",
    "LogicApps",
    "MicrosoftCloudAppSecurity",
    "MicrosoftContainerRegistry",
    "PowerBI",
    "PowerPlatformInfra",
    "PowerPlatformPlex",
    "PowerQueryOnline",
    "SCCservice",
    "ServiceBus",
    "ServiceFabric",
    "Sql",
    "Storage",
    "StorageSyncService",
    "WindowsVirtualDesktop",
];

/// Whether a tag, ignoring case, has others that begin with it and a dot.
pub(crate) fn has_regions(name: &str) -> bool {
    WITH_REGIONS.iter().any(|tag| tag.eq_ignore_ascii_case(name))
}
