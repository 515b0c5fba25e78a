//! Azure Firewall: DNAT rules, then network rules, then application rules, then a refusal.
//!
//! Source: Azure Firewall rule processing logic. Within each kind, rule collection groups are asked by priority,
//! their collections by priority, rules from the top; every match ends the evaluation. Threat intelligence,
//! intrusion detection and the built-in infrastructure FQDNs are not modelled: what only they would permit is
//! not permitted.

use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{Address, PortRange, RuleProtocol};
use crate::flow::{Application, Flow, Protocol};
use crate::fqdn::FqdnPattern;
use crate::matching::{Access, unique};

/// A firewall: its rules, and the addresses that routes know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// Its rules.
    pub policy: FirewallPolicy,
    /// Its private addresses. Empty when they are not known: a route to an appliance may then lead to it or not.
    pub private_addresses: Vec<IpAddr>,
}

impl From<FirewallPolicy> for Firewall {
    fn from(policy: FirewallPolicy) -> Self {
        Self { policy, private_addresses: Vec::new() }
    }
}

/// A firewall policy, or the rules of a classic firewall: groups in the order they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallPolicy {
    name: String,
    /// Shared by clones.
    groups: Arc<[RuleCollectionGroup]>,
}

/// A rule collection group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCollectionGroup {
    /// Name.
    pub name: String,
    /// 100 to 65000; lower is asked first.
    pub priority: u16,
    /// Its collections, in any order until the policy sorts them.
    pub collections: Vec<RuleCollection>,
}

/// A filter rule collection: rules that share one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCollection {
    /// Name.
    pub name: String,
    /// 100 to 65000; lower is asked first.
    pub priority: u16,
    /// What its rules do with the flows they match.
    pub action: Access,
    /// Rules, top first.
    pub rules: Vec<FirewallRule>,
}

/// A rule of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirewallRule {
    /// Matches addresses, ports and protocols.
    Network(NetworkRule),
    /// Matches HTTP hosts, TLS server names and the names of SQL servers.
    Application(ApplicationRule),
    /// Translates what is sent to the firewall itself, and lets it pass; asked before every other rule. Its
    /// collection's action does not matter.
    Nat(NatRule),
}

/// A DNAT rule. Lists are unions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatRule {
    /// Name.
    pub name: String,
    /// Protocols.
    pub protocols: Vec<RuleProtocol>,
    /// Source addresses.
    pub source: Vec<Address>,
    /// Destination addresses: the firewall's own.
    pub destination: Vec<Address>,
    /// Destination ports.
    pub destination_ports: Vec<PortRange>,
    /// Where it is sent: an address or name, and a port.
    pub translated: String,
}

/// A network rule. Lists are unions; one of `destination` and `destination_names` may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRule {
    /// Name.
    pub name: String,
    /// Protocols.
    pub protocols: Vec<RuleProtocol>,
    /// Source addresses.
    pub source: Vec<Address>,
    /// Destination addresses, service tags included.
    pub destination: Vec<Address>,
    /// Destination names. Two names on one address cannot be told apart by a firewall; here a name matches only
    /// itself.
    pub destination_names: Vec<FqdnPattern>,
    /// Destination ports.
    pub destination_ports: Vec<PortRange>,
}

/// An application rule. Lists are unions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationRule {
    /// Name.
    pub name: String,
    /// Protocols and ports.
    pub protocols: Vec<(Application, u16)>,
    /// Source addresses.
    pub source: Vec<Address>,
    /// Destination addresses; empty means any.
    pub destination: Vec<Address>,
    /// What may be asked for.
    pub targets: Vec<Target>,
}

/// What an application rule permits or refuses to ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Names by pattern.
    Fqdn(FqdnPattern),
    /// A list of names that Microsoft keeps and does not publish: may match any name.
    FqdnTag(String),
    /// A category of web sites: may match any name.
    WebCategory(String),
    /// A URL: its host decides that it cannot match; the path is not known.
    Url {
        /// Host part.
        host: FqdnPattern,
        /// The whole URL as written.
        text: String,
    },
}

impl FirewallPolicy {
    /// A policy of these groups, in any order.
    pub fn new(name: impl Into<String>, mut groups: Vec<RuleCollectionGroup>) -> Self {
        groups.sort_by_key(|group| group.priority);
        for group in &mut groups {
            group.collections.sort_by_key(|collection| collection.priority);
            let rules = group.collections.iter_mut().flat_map(|collection| &mut collection.rules);
            rules.for_each(FirewallRule::normalise);
        }
        Self { name: name.into(), groups: groups.into() }
    }

    /// Puts the groups of `parent` before this policy's own, whatever their priorities.
    #[must_use]
    pub fn with_parent(mut self, parent: &Self) -> Self {
        self.groups = parent.groups.iter().chain(&*self.groups).cloned().collect();
        self
    }

    /// Name or id of the policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Groups in the order they are asked.
    pub fn groups(&self) -> &[RuleCollectionGroup] {
        &self.groups
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = (&FirewallRule, Access)> {
        self.groups
            .iter()
            .flat_map(|group| &group.collections)
            .flat_map(|collection| collection.rules.iter().map(|rule| (rule, collection.action)))
    }
}

/// The application protocol that application rules may look at: never over UDP, so QUIC never matches.
pub(crate) fn speaks(flow: &Flow) -> Option<Application> {
    flow.application.filter(|_| flow.protocol == Protocol::Tcp)
}

impl FirewallRule {
    fn normalise(&mut self) {
        match self {
            Self::Network(rule) => {
                unique(&mut rule.protocols);
                unique(&mut rule.source);
                unique(&mut rule.destination);
                unique(&mut rule.destination_names);
                unique(&mut rule.destination_ports);
            }
            Self::Application(rule) => {
                unique(&mut rule.protocols);
                unique(&mut rule.source);
                unique(&mut rule.destination);
                unique(&mut rule.targets);
            }
            Self::Nat(rule) => {
                unique(&mut rule.protocols);
                unique(&mut rule.source);
                unique(&mut rule.destination);
                unique(&mut rule.destination_ports);
            }
        }
    }

    /// Name.
    pub fn name(&self) -> &str {
        match self {
            Self::Network(rule) => &rule.name,
            Self::Application(rule) => &rule.name,
            Self::Nat(rule) => &rule.name,
        }
    }

    /// Source and destination addresses.
    pub(crate) fn addresses(&self) -> [&[Address]; 2] {
        match self {
            Self::Network(rule) => [&rule.source, &rule.destination],
            Self::Application(rule) => [&rule.source, &rule.destination],
            Self::Nat(rule) => [&rule.source, &rule.destination],
        }
    }

    /// Destination ports the rule looks at.
    pub(crate) fn ports(&self) -> impl Iterator<Item = PortRange> + '_ {
        let (network, application): (&[PortRange], &[_]) = match self {
            Self::Network(rule) => (&rule.destination_ports, &[]),
            Self::Application(rule) => (&[], &rule.protocols),
            Self::Nat(rule) => (&rule.destination_ports, &[]),
        };
        network.iter().copied().chain(application.iter().map(|&(_, port)| PortRange::single(port)))
    }
}
