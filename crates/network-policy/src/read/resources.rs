//! The network resources of one document.

use std::collections::HashSet;

use document::{Diagnostic, Node, Reader, Value};

use super::firewall;
use super::item::{Item, last_segment};
use super::network::{self, IpGroup, Subnet};
use super::nsg;
use crate::firewall::RuleCollectionGroup;
use crate::nsg::NetworkSecurityGroup;

/// The most network resources that one document may hold.
const MAX_RESOURCES: usize = 10_000;

/// What one document says about a network; [`super::Environment::policy`] puts several together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    pub(super) groups: Vec<Group>,
    pub(super) firewalls: Vec<Firewall>,
    pub(super) collections: Vec<(String, RuleCollectionGroup)>,
    pub(super) subnets: Vec<Subnet>,
    pub(super) ip_groups: Vec<IpGroup>,
}

/// A network security group and its id, when the document has one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub id: Option<String>,
    pub nsg: NetworkSecurityGroup,
}

/// A firewall policy; its groups are in [`Resources::collections`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Firewall {
    pub name: String,
    /// Id of the policy it inherits from.
    pub base: Option<String>,
    /// Ids of the rule collection groups it says it has.
    pub listed: Vec<String>,
}

/// Kinds of resource that are read.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nsg,
    SecurityRule,
    FirewallPolicy,
    RuleCollectionGroup,
    ClassicFirewall,
    VirtualNetwork,
    Subnet,
    IpGroup,
}

const TYPES: [(&str, Kind); 8] = [
    ("microsoft.network/networksecuritygroups", Kind::Nsg),
    ("microsoft.network/networksecuritygroups/securityrules", Kind::SecurityRule),
    ("microsoft.network/firewallpolicies", Kind::FirewallPolicy),
    ("microsoft.network/firewallpolicies/rulecollectiongroups", Kind::RuleCollectionGroup),
    ("microsoft.network/azurefirewalls", Kind::ClassicFirewall),
    ("microsoft.network/virtualnetworks", Kind::VirtualNetwork),
    ("microsoft.network/virtualnetworks/subnets", Kind::Subnet),
    ("microsoft.network/ipgroups", Kind::IpGroup),
];

/// Resources without a type are told by a field that only they have.
const SHAPES: [(&str, Kind); 6] = [
    ("securityRules", Kind::Nsg),
    ("ruleCollections", Kind::RuleCollectionGroup),
    ("applicationRuleCollections", Kind::ClassicFirewall),
    ("networkRuleCollections", Kind::ClassicFirewall),
    ("addressSpace", Kind::VirtualNetwork),
    ("ipAddresses", Kind::IpGroup),
];

/// A resource that is read, and the name of the one it is part of.
struct Found<'a> {
    kind: Kind,
    item: Item<'a>,
    parent: String,
}

impl Resources {
    /// Reads every network resource of a document.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the text; a document without any such resource is wrong too.
    pub fn read(document: &Value) -> Result<Self, Vec<Diagnostic>> {
        let mut reader = Reader::new();
        let mut found = Vec::new();
        collect(&mut reader, &Node::root(document), None, &mut found);
        let mut resources = Self::default();
        if found.len() > MAX_RESOURCES {
            let message = format!("the document holds {} network resources", found.len());
            reader.error("too-large", &Node::root(document), message, &format!("at most {MAX_RESOURCES}"));
            return Err(reader.finish());
        }
        for entry in &found {
            resources.add(&mut reader, entry, &found);
        }
        // Exports repeat a subnet inside its network and beside it.
        let mut seen = HashSet::new();
        resources.subnets.retain(|subnet| seen.insert(subnet.name.to_ascii_lowercase()));
        if found.is_empty() {
            let message = "the document holds no network resource that is read here";
            reader.error(
                "no-resource",
                &Node::root(document),
                message,
                "a network security group, a firewall policy with its rule collection groups, a classic \
                 firewall, an IP group or a virtual network",
            );
        }
        let diagnostics = reader.finish();
        if diagnostics.iter().any(Diagnostic::is_error) { Err(diagnostics) } else { Ok(resources) }
    }

    fn add(&mut self, reader: &mut Reader, entry: &Found<'_>, all: &[Found<'_>]) {
        let item = &entry.item;
        let label = item.label();
        match entry.kind {
            Kind::Nsg => {
                let own = item.items(reader, "securityRules");
                let children: Vec<_> = all
                    .iter()
                    .filter(|other| {
                        other.kind == Kind::SecurityRule && other.parent.eq_ignore_ascii_case(&label)
                    })
                    .map(|other| other.item.clone())
                    .collect();
                let id = item.text("id").map(str::to_owned);
                let group = nsg::group(reader, &label, &own, &children);
                self.groups.extend(group.map(|nsg| Group { id, nsg }));
            }
            Kind::SecurityRule => {
                let has_group = |other: &Found<'_>| {
                    other.kind == Kind::Nsg && other.item.label().eq_ignore_ascii_case(&entry.parent)
                };
                if !all.iter().any(has_group) {
                    reader.error(
                        "no-resource",
                        &item.node,
                        format!("the security rule's group '{}' is not in the document", entry.parent),
                        "the network security group beside its rules",
                    );
                }
            }
            Kind::FirewallPolicy => {
                let base = item.get("basePolicy").map(Item::new).and_then(|base| base.text("id"));
                let groups = item.items(reader, "ruleCollectionGroups");
                let listed = groups.iter().filter_map(|group| group.text("id")).map(str::to_owned).collect();
                self.firewalls.push(Firewall { name: label, base: base.map(str::to_owned), listed });
            }
            Kind::RuleCollectionGroup => {
                let group = firewall::group(reader, item);
                self.collections.extend(group.map(|group| (entry.parent.clone(), group)));
            }
            Kind::ClassicFirewall => {
                // A firewall that has a policy has no rules of its own.
                if item.get("firewallPolicy").is_none() {
                    let group = firewall::classic(reader, item, &label);
                    self.collections.push((label.clone(), group));
                    self.firewalls.push(Firewall { name: label, base: None, listed: Vec::new() });
                }
            }
            Kind::VirtualNetwork => self.subnets.extend(network::virtual_network(reader, item)),
            Kind::Subnet => {
                let subnet = network::subnet(reader, item, &entry.parent);
                let around = all.iter().find(|other| {
                    other.kind == Kind::VirtualNetwork
                        && other.item.label().eq_ignore_ascii_case(&entry.parent)
                });
                let network = around.map(|network| network::address_space(&network.item));
                self.subnets.push(Subnet { network: network.unwrap_or_default(), ..subnet });
            }
            Kind::IpGroup => self.ip_groups.extend(network::ip_group(reader, item)),
        }
    }
}

/// Finds resources in lists, templates, nested templates and as children of each other.
fn collect<'a>(
    reader: &mut Reader,
    node: &Node<'a>,
    parent: Option<(&str, &str)>,
    found: &mut Vec<Found<'a>>,
) {
    if let Some(items) = node.value.as_array() {
        for (index, value) in items.iter().enumerate() {
            collect(reader, &node.item(index, value), parent, found);
        }
        return;
    }
    let item = Item::new(node.clone());
    if node.value.as_object().is_none() {
        return;
    }
    if item.get("effectiveSecurityRules").is_some() {
        reader.error(
            "no-resource",
            node,
            "effective security rules are not read here",
            "the network security group itself, as `az network nsg show` prints it",
        );
        return;
    }
    let short = item.text("type").unwrap_or_default().to_ascii_lowercase();
    let full = match parent {
        Some((parent, _)) if !short.is_empty() && !short.contains('/') => format!("{parent}/{short}"),
        _ => short,
    };
    let by_type = TYPES.iter().find(|(name, _)| *name == full).map(|&(_, kind)| kind);
    let by_shape = || SHAPES.iter().find(|(field, _)| item.get(field).is_some()).map(|&(_, kind)| kind);
    let kind = by_type.or_else(|| if full.is_empty() { by_shape() } else { None });
    if let Some(kind) = kind {
        if conditional(reader, &item) {
            return;
        }
        found.push(Found { kind, item: item.clone(), parent: parent_name(&item, parent) });
    }
    let label = item.label();
    let nested = [("resources", Some((full.as_str(), label.as_str()))), ("value", None)];
    for (field, parent) in nested {
        if let Some(node) = item.get(field) {
            children(reader, &node, parent, found);
        }
    }
    if full == "microsoft.resources/deployments"
        && let Some(template) = item.get("template")
    {
        collect(reader, &template, None, found);
    }
}

/// Resources of a template are a list or, by symbolic name, an object.
fn children<'a>(
    reader: &mut Reader,
    node: &Node<'a>,
    parent: Option<(&str, &str)>,
    found: &mut Vec<Found<'a>>,
) {
    match node.value.as_object() {
        Some(object) => object.iter().for_each(|member| collect(reader, &node.member(member), parent, found)),
        None => collect(reader, node, parent, found),
    }
}

/// A literal `condition` of false means that there is no such resource; anything that would have to be evaluated
/// is an error, because whether or how often the resource exists is not known.
fn conditional(reader: &mut Reader, item: &Item<'_>) -> bool {
    let object = item.node.value.as_object();
    let own = |name| object.and_then(|object| object.get(name));
    if own("condition").is_some_and(|condition| {
        *condition == Value { kind: document::Kind::Bool(false), ..condition.clone() }
    }) {
        return true;
    }
    let decided =
        own("condition").is_none_or(|condition| matches!(condition.kind, document::Kind::Bool(true)));
    if !decided || own("copy").is_some() {
        super::item::unevaluated(reader, &item.node);
        return true;
    }
    false
}

/// The name before the last one: from `parent/child`, from an id, or from the resource around it.
fn parent_name(item: &Item<'_>, around: Option<(&str, &str)>) -> String {
    let before_last = |text: &str, skip: usize| text.rsplit('/').nth(skip).map(str::to_owned);
    let from_name = item.text("name").and_then(|name| before_last(name, 1));
    let from_id = || item.text("id").and_then(|id| before_last(id, 2));
    from_name
        .or_else(from_id)
        .or_else(|| around.map(|(_, name)| last_segment(name).to_owned()))
        .unwrap_or_default()
}
