//! Security admin rules of Azure Virtual Network Manager.
//!
//! Source: REST reference of `networkManagers/securityAdminConfigurations/ruleCollections/rules`. Whether a
//! configuration is deployed is in no resource; one that is in the documents counts as deployed.

use arm::Resource;

use super::item::{Item, Scan, open};
use super::rule;
use super::subnet::Site;
use crate::admin::{AdminAction, AdminRule};

const RULES: &str = "Microsoft.Network/networkManagers/securityAdminConfigurations/ruleCollections/rules";
const MEMBERS: &str = "Microsoft.Network/networkManagers/networkGroups/staticMembers";

const ACTIONS: [(&str, AdminAction); 3] =
    [("Allow", AdminAction::Allow), ("Deny", AdminAction::Deny), ("AlwaysAllow", AdminAction::AlwaysAllow)];

/// The rules that apply to the virtual network, or may.
pub(super) fn rules(scan: &mut Scan<'_>, site: &Site<'_>) -> Vec<AdminRule> {
    let inventory = scan.inventory;
    let mut all = Vec::new();
    for resource in inventory.of_type(RULES) {
        let Some(collection) = resource.id.parent() else { continue };
        let doubt = resource.doubt.clone().or_else(|| {
            let applies =
                inventory.find(&collection).is_some_and(|collection| applies(scan, collection, site));
            let name = collection.name();
            (!applies)
                .then(|| format!("whether the security admin rules of {name} apply to the virtual network"))
        });
        for mut rule in one(scan, &Item::of(resource), &arm::label(&collection)) {
            if let Some(reason) = &doubt {
                rule.source = vec![open(reason.clone())];
            }
            all.push(rule);
        }
    }
    all
}

/// Whether the documents say that the virtual network is in a group the collection applies to.
fn applies(scan: &Scan<'_>, collection: &Resource, site: &Site<'_>) -> bool {
    let Some(network) = site.network else { return false };
    let groups = Item::of(collection).get("appliesToGroups").and_then(|list| list.value.as_array());
    let groups: Vec<_> = groups
        .into_iter()
        .flatten()
        .filter_map(|group| {
            let id = group.as_object()?.find("networkGroupId")?.value.as_str()?;
            Some(id.to_ascii_lowercase())
        })
        .collect();
    scan.inventory.of_type(MEMBERS).any(|member| {
        let of_group =
            member.id.parent().is_some_and(|group| groups.iter().any(|own| **own == **group.key()));
        let is_ours = Item::of(member)
            .text("resourceId")
            .is_some_and(|id| id.eq_ignore_ascii_case(network.id.as_str()));
        of_group && is_ours
    })
}

/// What a rule may be; nothing after an error.
pub(super) fn one(scan: &mut Scan<'_>, item: &Item<'_>, resource: &str) -> Vec<AdminRule> {
    let Some(terms) = rule::read(scan, item, &ACTIONS) else { return Vec::new() };
    let rules = terms.sides().map(|(direction, action)| AdminRule {
        name: terms.name.clone(),
        resource: resource.to_owned(),
        priority: terms.priority,
        direction,
        action,
        protocol: terms.protocol,
        source: terms.source.clone(),
        source_ports: terms.source_ports.clone(),
        destination: terms.destination.clone(),
        destination_ports: terms.destination_ports.clone(),
    });
    rules.collect()
}
