//! One policy from the resources of all documents.

use document::{Diagnostic, Span};

use super::item::last_segment;
use super::network::Subnet;
use super::resources::{Group, Resources};
use crate::address::Address;
use crate::firewall::{FirewallPolicy, RuleCollectionGroup};
use crate::nsg::NetworkSecurityGroup;
use crate::policy::{Context, NetworkPolicy, Origin};

/// Why documents that are right by themselves do not make a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the build subnet {0} is in none of the documents")]
    NoSubnet(String),
    #[error("there are several subnets ({0}), and which one the build is in is not said")]
    WhichSubnet(String),
    #[error(
        "there are several network security groups ({0}), and which one is the build subnet's is not said"
    )]
    WhichGroup(String),
    #[error("the network security group {0} of the build subnet is in none of the documents")]
    NoGroup(String),
    #[error("there are several firewalls ({0}), and which one the build's traffic meets is not said")]
    WhichFirewall(String),
    #[error("the parent {base} of the firewall policy '{name}' is in none of the documents")]
    NoParent { name: String, base: String },
    #[error("the rule collection group {group} of the firewall policy '{name}' is in none of the documents")]
    NoCollectionGroup { name: String, group: String },
    #[error("the firewall policies ({0}) are parents of each other")]
    Circle(String),
}

impl Fault {
    /// The fault at the place that could say what is missing.
    pub fn diagnostic(&self, span: Span, path: &str) -> Diagnostic {
        let diagnostic = Diagnostic::error("environment", span, self.to_string()).at(path);
        match self {
            Self::WhichSubnet(_) | Self::WhichGroup(_) => diagnostic
                .hinting("set `build_subnet` in an environment file that also names the virtual network"),
            Self::WhichFirewall(_) => diagnostic.hinting("name only the documents of that firewall"),
            Self::NoSubnet(_) | Self::NoGroup(_) | Self::NoParent { .. } | Self::NoCollectionGroup { .. } => {
                diagnostic.hinting("add the document that holds it")
            }
            Self::Circle(_) => diagnostic,
        }
    }
}

/// The policy of a build in `build_subnet`, or in the only subnet there is.
///
/// The short-lived machines of a build have no network security group at their interface.
pub(super) fn policy(build_subnet: Option<&str>, documents: &[Resources]) -> Result<NetworkPolicy, Fault> {
    let subnets: Vec<_> = documents.iter().flat_map(|document| &document.subnets).collect();
    let groups: Vec<_> = documents.iter().flat_map(|document| &document.groups).collect();
    let (subnet, subnet_nsg) = match (build_subnet, subnets.as_slice()) {
        (Some(wanted), _) => {
            let found = subnets.into_iter().find(|subnet| is_subnet(subnet, wanted));
            let subnet = found.ok_or_else(|| Fault::NoSubnet(wanted.to_owned()))?;
            (Some(subnet), attached(subnet, &groups)?)
        }
        (None, [subnet]) => match attached(subnet, &groups)? {
            None => (Some(*subnet), only(&groups)?),
            group => (Some(*subnet), group),
        },
        (None, []) => (None, only(&groups)?),
        (None, [_, _, ..]) => {
            return Err(Fault::WhichSubnet(names(subnets.iter().map(|subnet| subnet.name.as_str()))));
        }
    };
    let context = Context {
        virtual_network: subnet.map(address_space).unwrap_or_default(),
        build_subnet: subnet.and_then(|subnet| {
            let version_4 = subnet.prefixes.iter().find(|prefix| prefix.addr().is_ipv4());
            version_4.or(subnet.prefixes.first()).copied()
        }),
        ..Context::default()
    };
    Ok(NetworkPolicy {
        subnet_nsg,
        firewall: firewall(documents)?.map(Into::into),
        context,
        origin: Origin::Documents,
        ..NetworkPolicy::default()
    })
}

/// A subnet given without its network is at least in its own prefixes.
fn address_space(subnet: &Subnet) -> Vec<ipnet::IpNet> {
    if subnet.network.is_empty() { subnet.prefixes.clone() } else { subnet.network.clone() }
}

/// Whether `wanted`, an id or `network/subnet`, is this subnet.
fn is_subnet(subnet: &Subnet, wanted: &str) -> bool {
    let mut parts = wanted.rsplit('/').filter(|part| !part.eq_ignore_ascii_case("subnets"));
    let (name, network) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match &subnet.id {
        Some(id) if wanted.starts_with('/') => id.eq_ignore_ascii_case(wanted),
        _ => subnet.name.eq_ignore_ascii_case(&format!("{network}/{name}")),
    }
}

fn attached(subnet: &Subnet, groups: &[&Group]) -> Result<Option<NetworkSecurityGroup>, Fault> {
    let Some(wanted) = &subnet.nsg else { return Ok(None) };
    let found = groups.iter().find(|group| refers(wanted, group.id.as_deref(), group.nsg.name()));
    found.map(|group| Some(group.nsg.clone())).ok_or_else(|| Fault::NoGroup(wanted.clone()))
}

/// Whether an id means a resource: by id where the document has one, else by name; ignoring case.
fn refers(wanted: &str, id: Option<&str>, name: &str) -> bool {
    match id {
        Some(id) => id.eq_ignore_ascii_case(wanted),
        None => last_segment(wanted).eq_ignore_ascii_case(name),
    }
}

fn only(groups: &[&Group]) -> Result<Option<NetworkSecurityGroup>, Fault> {
    match groups {
        [] => Ok(None),
        [group] => Ok(Some(group.nsg.clone())),
        several => Err(Fault::WhichGroup(names(several.iter().map(|group| group.nsg.name())))),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// A policy by name, the id of its parent, and the ids of the groups it says it has.
struct Named<'a> {
    name: &'a str,
    base: Option<&'a str>,
    listed: &'a [String],
}

/// The only firewall policy that is no other's parent, below its ancestors.
fn firewall(documents: &[Resources]) -> Result<Option<FirewallPolicy>, Fault> {
    let mut policies: Vec<Named<'_>> = documents
        .iter()
        .flat_map(|document| &document.firewalls)
        .map(|firewall| Named {
            name: &firewall.name,
            base: firewall.base.as_deref(),
            listed: &firewall.listed,
        })
        .collect();
    // A group alone stands for its policy.
    for (name, _) in documents.iter().flat_map(|document| &document.collections) {
        if !policies.iter().any(|policy| policy.name.eq_ignore_ascii_case(name)) {
            policies.push(Named { name, base: None, listed: &[] });
        }
    }
    let is_parent = |name: &str| {
        let bases = policies.iter().filter_map(|policy| policy.base);
        bases.map(last_segment).any(|base| base.eq_ignore_ascii_case(name))
    };
    let leaves: Vec<_> = policies.iter().filter(|policy| !is_parent(policy.name)).collect();
    let all = || names(policies.iter().map(|policy| policy.name));
    let leaf = match leaves.as_slice() {
        [] if policies.is_empty() => return Ok(None),
        [] => return Err(Fault::Circle(all())),
        [leaf] => *leaf,
        several => return Err(Fault::WhichFirewall(names(several.iter().map(|policy| policy.name)))),
    };
    let mut firewall = built(leaf, documents)?;
    let (mut child, mut steps) = (leaf, 0);
    while let Some(base) = child.base {
        let named = |policy: &&Named<'_>| policy.name.eq_ignore_ascii_case(last_segment(base));
        let missing = || Fault::NoParent { name: child.name.to_owned(), base: base.to_owned() };
        let parent = policies.iter().find(named).ok_or_else(missing)?;
        steps += 1;
        if steps > policies.len() {
            return Err(Fault::Circle(all()));
        }
        firewall = firewall.with_parent(&built(parent, documents)?);
        child = parent;
    }
    Ok(Some(firewall))
}

fn built(policy: &Named<'_>, documents: &[Resources]) -> Result<FirewallPolicy, Fault> {
    let groups = collections(policy.name, documents);
    let given = |id: &&String| groups.iter().any(|group| group.name.eq_ignore_ascii_case(last_segment(id)));
    match policy.listed.iter().find(|id| !given(id)) {
        Some(id) => Err(Fault::NoCollectionGroup { name: policy.name.to_owned(), group: id.clone() }),
        None => Ok(FirewallPolicy::new(policy.name, groups)),
    }
}

fn collections(policy: &str, documents: &[Resources]) -> Vec<RuleCollectionGroup> {
    let all = documents.iter().flat_map(|document| &document.collections);
    let mut own: Vec<_> =
        all.filter(|(name, _)| name.eq_ignore_ascii_case(policy)).map(|(_, group)| group.clone()).collect();
    let rules = own.iter_mut().flat_map(|group| &mut group.collections).flat_map(|group| &mut group.rules);
    for list in rules.flat_map(crate::firewall::FirewallRule::addresses_mut) {
        *list = list.drain(..).flat_map(|address| resolved(address, documents)).collect();
    }
    own
}

/// The addresses of an IP group that is in the documents; any other address is itself.
fn resolved(address: Address, documents: &[Resources]) -> Vec<Address> {
    let Address::IpGroup(wanted) = &address else { return vec![address] };
    let mut groups = documents.iter().flat_map(|document| &document.ip_groups);
    let found = groups.find(|group| {
        let id = group.id.starts_with('/').then_some(group.id.as_str());
        refers(wanted, id, &group.id)
    });
    // An empty list would mean "any" to an application rule, so an empty group stays a group.
    let known = found.filter(|group| !group.addresses.is_empty());
    known.map_or_else(|| vec![address.clone()], |group| group.addresses.clone())
}
