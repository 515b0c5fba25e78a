//! Network security groups and their rules.

use document::{Diagnostic, Reader};

use super::item::Item;
use crate::address::{Address, PortRange, RuleProtocol};
use crate::flow::{Direction, Protocol};
use crate::matching::Access;
use crate::nsg::{NetworkSecurityGroup, RuleFault, SecurityRule};

const PROTOCOLS: [(&str, RuleProtocol); 8] = [
    ("*", RuleProtocol::Any),
    ("Any", RuleProtocol::Any),
    ("All", RuleProtocol::Any),
    ("Tcp", RuleProtocol::Only(Protocol::Tcp)),
    ("Udp", RuleProtocol::Only(Protocol::Udp)),
    ("Icmp", RuleProtocol::Only(Protocol::Icmp)),
    ("Esp", RuleProtocol::Only(Protocol::Other(50))),
    ("Ah", RuleProtocol::Only(Protocol::Other(51))),
];

/// Azure's limit for one group.
const MAX_RULES: usize = 1000;

/// A group from its own rules and those that stand as resources of their own, which win when names are equal.
pub(super) fn group(
    reader: &mut Reader,
    name: &str,
    own: &[Item<'_>],
    children: &[Item<'_>],
) -> Option<NetworkSecurityGroup> {
    let child_names: Vec<_> = children.iter().map(Item::label).collect();
    let replaced = |item: &&Item<'_>| child_names.iter().any(|name| name.eq_ignore_ascii_case(&item.label()));
    let items: Vec<_> = own.iter().filter(|item| !replaced(item)).chain(children).collect();
    if let Some(surplus) = items.get(MAX_RULES) {
        let message = format!("the group '{name}' has {} rules", items.len());
        reader.error("too-large", &surplus.node, message, "at most 1000 rules, as Azure takes");
        return None;
    }
    let (mut rules, mut places) = (Vec::new(), Vec::new());
    for item in &items {
        if let Some(rule) = security_rule(reader, item) {
            rules.push(rule);
            places.push(*item);
        }
    }
    let complete = rules.len() == items.len();
    let errors = match NetworkSecurityGroup::new(name, rules) {
        Ok(group) => return complete.then_some(group),
        Err(errors) => errors,
    };
    for error in errors {
        let field = match error.fault {
            RuleFault::Priority(_) | RuleFault::SamePriority { .. } => "priority",
            RuleFault::SameName | RuleFault::Nothing(_) => "name",
        };
        let Some(item) = places.get(error.index) else { continue };
        let node = item.get(field).unwrap_or_else(|| item.node.clone());
        reader.report(Diagnostic::error("security-rule", node.span(), error.to_string()).at(&node.path));
    }
    None
}

fn security_rule(reader: &mut Reader, item: &Item<'_>) -> Option<SecurityRule> {
    let name = item.name(reader);
    let priority = item.priority(reader);
    let directions = [("Inbound", Direction::Inbound), ("Outbound", Direction::Outbound)];
    let direction = item.word(reader, "direction", &directions);
    let access = item.word(reader, "access", &[("Allow", Access::Allow), ("Deny", Access::Deny)]);
    let protocol = item.word(reader, "protocol", &PROTOCOLS);
    let source = addresses(reader, item, "source");
    let source_ports = ports(reader, item, "source");
    let destination = addresses(reader, item, "destination");
    let destination_ports = ports(reader, item, "destination");
    Some(SecurityRule {
        name: name?,
        priority: priority?,
        direction: direction?,
        access: access?,
        protocol: protocol?,
        source: source?,
        source_ports: source_ports?,
        destination: destination?,
        destination_ports: destination_ports?,
    })
}

fn addresses(reader: &mut Reader, item: &Item<'_>, side: &str) -> Option<Vec<Address>> {
    let singular = format!("{side}AddressPrefix");
    let fields = [singular.clone(), format!("{singular}es")];
    let literal = item.union(reader, &[&fields[0], &fields[1]], |text| match Address::parse(text) {
        Ok(Address::Range(..)) => Err(format!("'{text}': a security rule takes CIDR prefixes, not ranges")),
        other => other.map_err(|error| error.to_string()),
    });
    let groups: Vec<_> = item
        .items(reader, &format!("{side}ApplicationSecurityGroups"))
        .iter()
        .map(|group| Address::ApplicationSecurityGroup(group.text("id").unwrap_or("unnamed").to_owned()))
        .collect();
    let mut union = literal?;
    union.extend(groups);
    if union.is_empty() {
        item.nothing(reader, &format!("{side} address"), &singular);
        return None;
    }
    Some(union)
}

fn ports(reader: &mut Reader, item: &Item<'_>, side: &str) -> Option<Vec<PortRange>> {
    let singular = format!("{side}PortRange");
    let union = item.union(reader, &[&singular, &format!("{singular}s")], port_range)?;
    if union.is_empty() {
        item.nothing(reader, &format!("{side} port"), &singular);
        return None;
    }
    Some(union)
}

pub(super) fn port_range(text: &str) -> Result<PortRange, String> {
    PortRange::parse(text)
        .ok_or_else(|| format!("'{text}' is not '*', a port or a range from a lower to a higher port"))
}
