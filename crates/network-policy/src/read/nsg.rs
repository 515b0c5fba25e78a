//! Network security groups and their rules.

use arm::{Resource, ResourceId, field, label};
use document::{Diagnostic, Kind};

use super::item::{Item, Scan, open};
use super::rule::{self, DIRECTIONS, OPEN_PRIORITY};
use crate::address::{Address, PortRange, RuleProtocol};
use crate::matching::Access;
use crate::nsg::{NetworkSecurityGroup, RuleError, RuleFault, SecurityRule, is_priority};

const ACCESSES: [(&str, Access); 2] = [("Allow", Access::Allow), ("Deny", Access::Deny)];

/// Azure's limit for one group.
const MAX_RULES: usize = 1000;

const GROUP: &str = "Microsoft.Network/networkSecurityGroups";
const RULES: &str = "Microsoft.Network/networkSecurityGroups/securityRules";

/// The group that an id means; one that may do anything where no document describes it.
pub(super) fn referred(scan: &mut Scan<'_>, id: &ResourceId) -> Option<NetworkSecurityGroup> {
    if let Some(resource) = scan.inventory.find(id) {
        return group(scan, resource);
    }
    let reason = format!("the network security group {}, which no document describes", label(id));
    Some(unknown(label(id), &reason))
}

/// A group about which nothing is known, because of `reason`.
pub(super) fn unknown(name: String, reason: &str) -> NetworkSecurityGroup {
    NetworkSecurityGroup::of_valid(name, anything(reason))
}

/// A group as its documents describe it; `None` after an error.
pub(super) fn group(scan: &mut Scan<'_>, resource: &Resource) -> Option<NetworkSecurityGroup> {
    let name = resource.label();
    let children: Vec<_> = scan.inventory.children(&resource.id, "securityRules").collect();
    if children.is_empty() && !tells_rules(resource) {
        let reason = format!("the rules of the network security group {name}, which no document tells");
        return Some(unknown(name, &reason));
    }
    if let Some(surplus) = children.get(MAX_RULES) {
        let message = format!("the group '{name}' has {} rules", children.len());
        scan.reader.error("too-large", &surplus.node(), message, "at most 1000 rules, as Azure takes");
        return None;
    }
    let (mut certain, mut places, mut doubtful, mut complete) = (Vec::new(), Vec::new(), Vec::new(), true);
    for child in children {
        let item = Item::of(child);
        let Some((rules, known)) = security_rules(scan, &item) else {
            complete = false;
            priority_of_a_wrong_rule(scan, &item, places.len());
            continue;
        };
        if known && child.doubt.is_none() {
            certain.extend(rules);
            places.push(item);
        } else {
            doubtful.extend(rules.into_iter().map(|rule| match &child.doubt {
                Some(reason) => SecurityRule { source: vec![open(reason.clone())], ..rule },
                None => rule,
            }));
        }
    }
    doubtful.extend(unplaced(scan, resource));
    let errors = match NetworkSecurityGroup::new(&name, certain.clone()) {
        Ok(_) if complete => {
            certain.extend(doubtful);
            return Some(NetworkSecurityGroup::of_valid(name, certain));
        }
        Ok(_) => return None,
        Err(errors) => errors,
    };
    for error in errors {
        let field = match error.fault {
            RuleFault::Priority(_) | RuleFault::SamePriority { .. } => "priority",
            RuleFault::SameName | RuleFault::Nothing(_) => "name",
        };
        let Some(item) = places.get(error.index) else { continue };
        let node = item.get(field).unwrap_or_else(|| item.node.clone());
        scan.reader.report(Diagnostic::error("security-rule", node.span(), error.to_string()).at(&node.path));
    }
    None
}

/// Whether a document that has no rule of a group says that there is none: a list of rules, the default ones that Azure
/// shows beside them, or a template, in which what is absent is not made. A list of resources tells only names.
fn tells_rules(resource: &Resource) -> bool {
    ["securityRules", "defaultSecurityRules", "apiVersion"]
        .iter()
        .any(|name| field(&resource.value, name).is_some())
}

/// A rule that is wrong elsewhere is no rule of the group, and its priority is looked at all the same.
fn priority_of_a_wrong_rule(scan: &mut Scan<'_>, item: &Item<'_>, index: usize) {
    let Some(node) = item.get("priority") else { return };
    let text = match &node.value.kind {
        Kind::Number(number) => Some(number.as_str()),
        _ => node.value.as_str(),
    };
    let priority = text.and_then(|text| text.parse().ok());
    if let Some(priority) = priority.filter(|priority| !is_priority(*priority)) {
        let name = item.text("name").unwrap_or_default().to_owned();
        let error = RuleError { index, name, fault: RuleFault::Priority(priority) };
        scan.reader.report(Diagnostic::error("security-rule", node.span(), error.to_string()).at(&node.path));
    }
}

/// Rules for what may be in the group beyond those that are known to be: a list that is not known, and rules whose
/// group is not known.
fn unplaced(scan: &mut Scan<'_>, resource: &Resource) -> Vec<SecurityRule> {
    let mut reasons: Vec<_> = scan.open_list(&Item::of(resource), "securityRules").into_iter().collect();
    let strays = scan.inventory.orphans(RULES, &resource.id);
    reasons.extend(strays.map(|rule| {
        format!(
            "the security rule at {}, whose group is not known",
            scan.inventory.sources().place(rule.value.span)
        )
    }));
    reasons.iter().flat_map(|reason| anything(reason)).collect()
}

/// Rules that may allow and may deny everything, because of `reason`.
fn anything(reason: &str) -> Vec<SecurityRule> {
    let sides = DIRECTIONS.iter().flat_map(|&(_, direction)| ACCESSES.map(|(_, access)| (direction, access)));
    let rules = sides.map(|(direction, access)| SecurityRule {
        name: "a rule that is not known".to_owned(),
        priority: OPEN_PRIORITY,
        direction,
        access,
        protocol: RuleProtocol::Any,
        source: vec![open(reason.to_owned())],
        source_ports: vec![PortRange::ALL],
        destination: vec![Address::Any],
        destination_ports: vec![PortRange::ALL],
    });
    rules.collect()
}

/// What a rule may be: one rule where it is known, else several of which each may match or not. `None` after an error.
pub(super) fn security_rules(scan: &mut Scan<'_>, item: &Item<'_>) -> Option<(Vec<SecurityRule>, bool)> {
    let terms = rule::read(scan, item, &ACCESSES)?;
    let rules = terms.sides().map(|(direction, access)| SecurityRule {
        name: terms.name.clone(),
        priority: terms.priority,
        direction,
        access,
        protocol: terms.protocol,
        source: terms.source.clone(),
        source_ports: terms.source_ports.clone(),
        destination: terms.destination.clone(),
        destination_ports: terms.destination_ports.clone(),
    });
    Some((rules.collect(), !terms.open))
}

/// The only group there is; an error when there are several.
pub(super) fn only(scan: &mut Scan<'_>) -> Option<NetworkSecurityGroup> {
    let inventory = scan.inventory;
    let groups: Vec<_> = inventory.of_type(GROUP).collect();
    match groups.as_slice() {
        [] => {
            if let Some(rule) = inventory.of_type(RULES).next() {
                let group = rule.id.parent().map_or(String::new(), |group| label(&group));
                let message = format!("the security rule's group {group} is in none of the documents");
                let error = Diagnostic::error("no-resource", rule.value.span, message);
                scan.reader
                    .report(error.hinting("give the group itself, as `az network nsg show` prints it"));
            }
            None
        }
        [only] => group(scan, only),
        several => {
            let names: Vec<_> = several.iter().map(|group| group.label()).collect();
            let message = format!(
                "there are several network security groups ({}), and which one is the build subnet's is not said",
                super::list(&names)
            );
            scan.environment(
                message,
                "set `build_subnet` in an environment file that also names the virtual network",
            );
            None
        }
    }
}
