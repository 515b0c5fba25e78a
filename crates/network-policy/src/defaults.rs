//! The default policy of a build: the outbound rules Azure Image Builder's guidance asks for, and an allow list.
//!
//! Source: the network tables of the AKS jump box image guidance as completed upstream: TCP 443 and 80 to the
//! Internet, SSH inside the virtual network, whatever else the image needs, then nothing (so that NTP is
//! refused); behind it an egress firewall that lets only named hosts through.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::address::{Address, PortRange, RuleProtocol};
use crate::firewall::{
    ApplicationRule, FirewallPolicy, FirewallRule, NetworkRule, RuleCollection, RuleCollectionGroup, Target,
};
use crate::flow::{Application, Direction, Protocol};
use crate::fqdn::{FqdnPattern, PatternError};
use crate::matching::Access;
use crate::nsg::{NetworkSecurityGroup, SecurityRule};
use crate::policy::{Context, NetworkPolicy, Origin};
use crate::tag::ServiceTag;

/// One entry of an allow list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Host name or pattern such as `*.blob.core.windows.net`.
    pub name: FqdnPattern,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// What is spoken there. `None` is plain TCP, which a firewall permits by network rule.
    pub application: Option<Application>,
}

/// Why a text is not an allow list entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The host part is not a name or pattern.
    #[error(transparent)]
    Name(#[from] PatternError),
    /// An address: connections are permitted by the name they ask for.
    #[error("'{0}' is an address; the allow list holds names")]
    Address(String),
    /// No port, or not a number from 1 to 65535.
    #[error("'{0}' needs a port from 1 to 65535 after its name, such as get.helm.sh:443")]
    Port(String),
    /// Only HTTP and TLS name the host they want, so plain TCP cannot be permitted by pattern.
    #[error("'{0}': a pattern is only possible for HTTP and TLS; write https:// or http:// before it")]
    PlainPattern(String),
}

impl Endpoint {
    /// Reads `host:port`, `https://host[:port]`, `http://host[:port]` or `tcp://host:port`. Without a scheme port
    /// 443 speaks TLS, port 80 HTTP and any other port is plain TCP.
    ///
    /// # Errors
    /// When the host is an address or not a name at all, the port is missing, or a pattern stands before a plain port.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Some(Some(Application::Https)), rest),
            Some(("http", rest)) => (Some(Some(Application::Http)), rest),
            Some(("tcp", rest)) => (Some(None), rest),
            _ => (None, text),
        };
        let (name, port) = match (rest.split_once(':'), scheme) {
            (Some((name, port)), _) => {
                let range = PortRange::parse(port).filter(|range| range.first == range.last);
                (name, range.map_or(0, |range| range.first))
            }
            (None, Some(Some(Application::Https))) => (rest, 443),
            (None, Some(Some(Application::Http))) => (rest, 80),
            (None, Some(Some(Application::Mssql) | None) | None) => (rest, 0),
        };
        if name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
            return Err(EndpointError::Address(text.to_owned()));
        }
        let name = FqdnPattern::parse(name)?;
        let application = scheme.unwrap_or(match port {
            443 => Some(Application::Https),
            80 => Some(Application::Http),
            _ => None,
        });
        if port == 0 {
            return Err(EndpointError::Port(text.to_owned()));
        }
        if application.is_none() && name.is_wildcard() {
            return Err(EndpointError::PlainPattern(text.to_owned()));
        }
        Ok(Self { name, port, application })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.application, self.port) {
            (Some(Application::Https), port) if port != 443 => "https://",
            (Some(Application::Http), port) if port != 80 => "http://",
            (None, 443 | 80) => "tcp://",
            _ => "",
        };
        write!(f, "{scheme}{}:{}", self.name, self.port)
    }
}

/// Where the guidance's examples put the build.
const VIRTUAL_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 241, 0, 0), 24);
const BUILD_SUBNET: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 241, 0, 0), 28);

impl NetworkPolicy {
    /// The policy of a build that was given none: the guidance's outbound table as the subnet's NSG, and a
    /// firewall that permits exactly the allow list. Order and repetition of the list do not matter.
    ///
    /// Ports of the list beside 443 and 80 are the guidance's "as needed" row.
    pub fn default_for(allow: &[Endpoint]) -> Self {
        Self {
            subnet_nsg: Some(NetworkSecurityGroup::of_valid(
                "nsg-imagebuilder".to_owned(),
                outbound_rules(allow),
            )),
            firewall: Some(FirewallPolicy::of_allow_list(allow, &Address::Any).into()),
            context: Context {
                virtual_network: vec![IpNet::V4(VIRTUAL_NETWORK)],
                build_subnet: Some(IpNet::V4(BUILD_SUBNET)),
                ..Context::default()
            },
            origin: Origin::AllowList,
            ..Self::default()
        }
    }
}

fn outbound_rules(allow: &[Endpoint]) -> Vec<SecurityRule> {
    let network = || vec![Address::Tag(ServiceTag::VirtualNetwork)];
    let internet = || vec![Address::Tag(ServiceTag::Internet)];
    let rule = |name: &str, priority, access, source, destination, ports| SecurityRule {
        name: name.to_owned(),
        priority,
        direction: Direction::Outbound,
        access,
        protocol: RuleProtocol::Only(Protocol::Tcp),
        source,
        source_ports: vec![PortRange::ALL],
        destination,
        destination_ports: ports,
    };
    let single = |port| vec![PortRange::single(port)];
    let needed: Vec<PortRange> =
        allow.iter().filter(|e| !matches!(e.port, 443 | 80)).map(|e| PortRange::single(e.port)).collect();

    let mut rules = vec![
        rule("AllowHttpsToInternetOutbound", 100, Access::Allow, network(), internet(), single(443)),
        rule("AllowHttpToInternetOutbound", 110, Access::Allow, network(), internet(), single(80)),
        rule("AllowSshInVirtualNetworkOutbound", 120, Access::Allow, network(), network(), single(22)),
    ];
    if !needed.is_empty() {
        rules.push(rule(
            "AllowAsNeededToInternetOutbound",
            130,
            Access::Allow,
            network(),
            internet(),
            needed,
        ));
    }
    let deny = rule(
        "DenyAllOutbound",
        4000,
        Access::Deny,
        vec![Address::Any],
        vec![Address::Any],
        vec![PortRange::ALL],
    );
    rules.push(SecurityRule { protocol: RuleProtocol::Any, ..deny });
    rules
}

impl FirewallPolicy {
    /// A policy that permits exactly an allow list: one application rule per protocol and port, and one network rule per
    /// plain port.
    pub fn of_allow_list(allow: &[Endpoint], source: &Address) -> Self {
        let mut by_service: BTreeMap<(&str, u16), Vec<FqdnPattern>> = BTreeMap::new();
        for endpoint in allow {
            let service = match endpoint.application {
                Some(Application::Http) => "http",
                Some(Application::Https) => "https",
                Some(Application::Mssql) => "mssql",
                None => "tcp",
            };
            by_service.entry((service, endpoint.port)).or_default().push(endpoint.name.clone());
        }
        let (mut application, mut network) = (Vec::new(), Vec::new());
        for ((service, port), names) in by_service {
            let name = format!("allow-{service}-{port}");
            let source = vec![source.clone()];
            let speaks = match service {
                "http" => Application::Http,
                "https" => Application::Https,
                "mssql" => Application::Mssql,
                _ => {
                    network.push(FirewallRule::Network(NetworkRule {
                        name,
                        protocols: vec![RuleProtocol::Only(Protocol::Tcp)],
                        source,
                        destination: Vec::new(),
                        destination_names: names,
                        destination_ports: vec![PortRange::single(port)],
                    }));
                    continue;
                }
            };
            application.push(FirewallRule::Application(ApplicationRule {
                name,
                protocols: vec![(speaks, port)],
                source,
                destination: Vec::new(),
                targets: names.into_iter().map(Target::Fqdn).collect(),
            }));
        }
        let collection = |name: &str, priority, rules| RuleCollection {
            name: name.to_owned(),
            priority,
            action: Access::Allow,
            rules,
        };
        let mut collections = vec![collection("image-endpoints", 200, application)];
        if !network.is_empty() {
            collections.push(collection("image-plain-endpoints", 100, network));
        }
        let group = RuleCollectionGroup { name: "imagebuilder".to_owned(), priority: 300, collections };
        Self::new("fwp-imagebuilder", vec![group])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_an_allow_list() {
        for (text, application, shown) in [
            ("Get.Example.org:443", Some(Application::Https), "get.example.org:443"),
            ("deb.example.org:80", Some(Application::Http), "deb.example.org:80"),
            ("git.example.org:22", None, "git.example.org:22"),
            ("tcp://git.example.org:443", None, "tcp://git.example.org:443"),
            ("https://*.example.org", Some(Application::Https), "*.example.org:443"),
            ("http://a.example.org:8080", Some(Application::Http), "http://a.example.org:8080"),
            ("https://a.example.org:80", Some(Application::Https), "https://a.example.org:80"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.application, endpoint.to_string().as_str()), (application, shown));
            assert_eq!(Endpoint::parse(shown), Ok(endpoint));
        }
    }

    #[test]
    fn what_an_allow_list_does_not_take() {
        let error = |text: &str| Endpoint::parse(text).unwrap_err();
        for text in [
            "get.example.org",
            "get.example.org:",
            "get.example.org:0",
            "a.example.org:1-2",
            "a.example.org:*",
        ] {
            assert_eq!(error(text), EndpointError::Port(text.to_owned()));
        }
        assert!(matches!(error("*.example.org:22"), EndpointError::PlainPattern(_)));
        assert!(matches!(error("www.example.*:443"), EndpointError::Name(_)));
        assert!(matches!(error("ftp://a.example.org:443"), EndpointError::Name(_) | EndpointError::Port(_)));
        assert!(matches!(error("10.0.0.1:443"), EndpointError::Address(_)));
        assert!(matches!(error("[::1]:443"), EndpointError::Address(_)));
    }
}
