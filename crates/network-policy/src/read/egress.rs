//! Which firewall the build's traffic meets, and its rules.

use std::net::IpAddr;

use arm::{Resource, ResourceId, label};
use document::{Diagnostic, Span};

use super::firewall;
use super::item::{Field, Item, Scan};
use crate::firewall::{Firewall, FirewallPolicy, RuleCollectionGroup};
use crate::route::{NextHop, RouteTable};

const FIREWALLS: &str = "Microsoft.Network/azureFirewalls";
const POLICIES: &str = "Microsoft.Network/firewallPolicies";
const GROUPS: &str = "Microsoft.Network/firewallPolicies/ruleCollectionGroups";

/// The firewall that routes lead to, else the only one there is.
pub(super) fn firewall(scan: &mut Scan<'_>, routes: Option<&RouteTable>) -> Option<Firewall> {
    let inventory = scan.inventory;
    let firewalls: Vec<_> = inventory.of_type(FIREWALLS).collect();
    let addresses: Vec<Vec<IpAddr>> =
        firewalls.iter().map(|firewall| private_addresses(scan, firewall)).collect();
    let hops = || routes.into_iter().flat_map(|table| &table.routes);
    let is_hop = |own: &[IpAddr]| {
        hops().any(|route| matches!(route.next_hop, NextHop::Appliance(Some(hop)) if own.contains(&hop)))
    };
    let chosen = match firewalls.len() {
        0 | 1 => firewalls.first().map(|_| 0),
        _ => addresses.iter().position(|own| is_hop(own)),
    };
    match (chosen, firewalls.is_empty()) {
        (Some(index), _) => {
            let private_addresses = addresses[index].clone();
            policy_of(scan, firewalls[index]).map(|policy| Firewall { policy, private_addresses })
        }
        (None, true) => only_policy(scan).map(Into::into),
        // Routes that lead to none of them, or to one whose address is not known.
        (None, false) if routes.is_some() => None,
        (None, false) => {
            let names: Vec<_> = firewalls.iter().map(|firewall| firewall.label()).collect();
            several(scan, &names);
            None
        }
    }
}

fn several(scan: &mut Scan<'_>, names: &[String]) {
    let names = super::list(names);
    let message =
        format!("there are several firewalls ({names}), and which one the build's traffic meets is not said");
    scan.environment(
        message,
        "name only the documents of that firewall, or also those of the build subnet's routes",
    );
}

/// The private addresses of a firewall that are known.
fn private_addresses(scan: &mut Scan<'_>, firewall: &Resource) -> Vec<IpAddr> {
    let item = Item::of(firewall);
    let mut places = scan.items(&item, "ipConfigurations").known;
    places.extend(item.inner("hubIPAddresses"));
    let mut all = Vec::new();
    for place in places {
        let addresses = scan.union(&place, &["privateIPAddress"], |text| {
            text.parse::<IpAddr>().map_err(|_| format!("'{text}' is not an IP address"))
        });
        all.extend(addresses.map_or(Vec::new(), |addresses| addresses.known));
    }
    all
}

/// The rules of a firewall: those of its policy, else its own.
fn policy_of(scan: &mut Scan<'_>, firewall: &Resource) -> Option<FirewallPolicy> {
    match scan.reference(&Item::of(firewall), "firewallPolicy") {
        Some(Field::Known(id)) => referred(scan, &id, &mut Vec::new()),
        Some(Field::Open(reason)) => {
            Some(FirewallPolicy::new(firewall.label(), vec![firewall::unknown(&reason)]))
        }
        None => classic(scan, firewall),
    }
}

/// What a classic firewall's own collections behave like: one group.
fn classic(scan: &mut Scan<'_>, resource: &Resource) -> Option<FirewallPolicy> {
    let inventory = scan.inventory;
    let kinds: [(&str, ReadCollection); 3] = [
        ("natRuleCollections", firewall::classic_nat),
        ("networkRuleCollections", firewall::classic_network),
        ("applicationRuleCollections", firewall::classic_application),
    ];
    let (mut groups, mut collections, mut complete) = (Vec::new(), Vec::new(), true);
    for (kind, read) in kinds {
        if let Some(reason) = scan.open_list(&Item::of(resource), kind) {
            groups.push(firewall::unknown(&reason));
        }
        for child in inventory.children(&resource.id, kind) {
            match (read(scan, &Item::of(child)), &child.doubt) {
                (Some(Ok(_)), Some(reason)) => groups.push(firewall::unknown(reason)),
                (Some(Err(reason)), _) => groups.push(firewall::unknown(&reason)),
                (Some(Ok(collection)), None) => collections.push(collection),
                (None, _) => complete = false,
            }
        }
    }
    groups.push(RuleCollectionGroup { name: resource.label(), priority: 100, collections });
    complete.then(|| FirewallPolicy::new(resource.label(), groups))
}

/// The policy that an id means, below its ancestors. `below` are the policies that led to it.
fn referred(scan: &mut Scan<'_>, id: &ResourceId, below: &mut Vec<String>) -> Option<FirewallPolicy> {
    let name = label(id);
    let Some(resource) = scan.inventory.find(id) else {
        let message = format!("the firewall policy {name} is in none of the documents");
        scan.warn(Span::default(), message.clone(), "add the document that holds it");
        return Some(FirewallPolicy::new(name, vec![firewall::unknown(&message)]));
    };
    policy(scan, resource, below)
}

fn policy(scan: &mut Scan<'_>, resource: &Resource, below: &mut Vec<String>) -> Option<FirewallPolicy> {
    let item = Item::of(resource);
    let groups = groups(scan, &resource.id, &item)?;
    let own = FirewallPolicy::new(resource.label(), groups);
    below.push(resource.label());
    match scan.reference(&item, "basePolicy") {
        None => Some(own),
        Some(Field::Open(reason)) => {
            Some(own.with_parent(&FirewallPolicy::new("its parent", vec![firewall::unknown(&reason)])))
        }
        Some(Field::Known(base))
            if scan.inventory.find(&base).is_some_and(|base| below.contains(&base.label())) =>
        {
            let message = format!("the firewall policies ({}) are parents of each other", super::list(below));
            let place = item.get("basePolicy").map_or(Span::default(), |node| node.span());
            scan.reader.report(Diagnostic::error("environment", place, message).at(&item.node.path));
            None
        }
        Some(Field::Known(base)) => Some(own.with_parent(&referred(scan, &base, below)?)),
    }
}

/// The rule collection groups of a policy, whether its document is there or not.
fn groups(scan: &mut Scan<'_>, policy: &ResourceId, item: &Item<'_>) -> Option<Vec<RuleCollectionGroup>> {
    let inventory = scan.inventory;
    let (mut groups, mut complete) = (Vec::new(), true);
    if let Some(reason) = scan.open_list(item, "ruleCollectionGroups") {
        groups.push(firewall::unknown(&reason));
    }
    for child in inventory.children(policy, "ruleCollectionGroups") {
        let item = Item::of(child);
        if item.get("ruleCollections").is_none() && item.get("priority").is_none() {
            let message = format!("the rule collection group {} is in none of the documents", child.label());
            scan.warn(child.value.span, message.clone(), "add the document that holds it");
            groups.push(firewall::unknown(&message));
            continue;
        }
        match (firewall::group(scan, &item), &child.doubt) {
            (Some(Ok(_)), Some(reason)) => groups.push(firewall::unknown(reason)),
            (Some(Err(reason)), _) => groups.push(firewall::unknown(&reason)),
            (Some(Ok(group)), None) => groups.push(group),
            (None, _) => complete = false,
        }
    }
    for stray in inventory.orphans(GROUPS, policy) {
        let place = inventory.sources().place(stray.value.span);
        groups.push(firewall::unknown(&format!(
            "the rule collection group at {place}, whose policy is not known"
        )));
    }
    complete.then_some(groups)
}

type ReadCollection = fn(&mut Scan<'_>, &Item<'_>) -> firewall::Entry<crate::firewall::RuleCollection>;

/// The only policy that is no other's parent, where no firewall says which it has.
fn only_policy(scan: &mut Scan<'_>) -> Option<FirewallPolicy> {
    let inventory = scan.inventory;
    let mut ids: Vec<ResourceId> = inventory.of_type(POLICIES).map(|policy| policy.id.clone()).collect();
    // A group alone stands for its policy.
    ids.extend(inventory.of_type(GROUPS).filter_map(|group| group.id.parent()));
    ids.sort();
    ids.dedup();
    let mut parents = Vec::new();
    for policy in inventory.of_type(POLICIES) {
        if let Some(Field::Known(base)) = scan.reference(&Item::of(policy), "basePolicy") {
            parents.push(inventory.find(&base).map_or(base, |base| base.id.clone()));
        }
    }
    let leaves: Vec<_> = ids.iter().filter(|id| !parents.contains(id)).collect();
    match leaves.as_slice() {
        [] if ids.is_empty() => None,
        // Every policy is some other's parent: reading any of them tells.
        [] => policy(scan, inventory.find(&ids[0])?, &mut Vec::new()),
        [leaf] => {
            if let Some(resource) = inventory.find(leaf) {
                return policy(scan, resource, &mut Vec::new());
            }
            let nothing = document::Value::object::<&str>([]);
            let groups = groups(scan, leaf, &Item::new(document::Node::root(&nothing)))?;
            Some(FirewallPolicy::new(label(leaf), groups))
        }
        several => {
            let names: Vec<_> = several.iter().map(|id| label(id)).collect();
            self::several(scan, &names);
            None
        }
    }
}
