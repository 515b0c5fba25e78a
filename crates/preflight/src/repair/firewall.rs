//! Names that a firewall policy does not let through yet: a rule collection group of their own.

use arm::{Inventory, Resource, field};
use document::{Kind, Value as Told};
use network_policy::{Address, Endpoint, FirewallPolicy};
use serde_json::json;

use super::deployments::{Deployments, Target};
use super::{Change, is_placed};
use crate::{Place, Subject};

const POLICIES: &str = "Microsoft.Network/firewallPolicies";
const GROUPS: &str = "Microsoft.Network/firewallPolicies/ruleCollectionGroups";
const API_VERSION: &str = "2024-05-01";
/// Priorities of rule collection groups.
const FIRST_PRIORITY: i64 = 100;
const LAST_PRIORITY: i64 = 65000;

pub(super) fn write(changes: &[Change], subject: &Subject<'_>, to: &mut Deployments) -> Result<(), String> {
    for place in [Place::Build, Place::Container] {
        let mut wanted: Vec<Endpoint> = Vec::new();
        for change in changes {
            if let Change::Endpoints(at, endpoints) = change
                && *at == place
            {
                wanted.extend(
                    endpoints.iter().filter(|one| !wanted.contains(one)).cloned().collect::<Vec<_>>(),
                );
            }
        }
        if !wanted.is_empty() {
            group(place, &wanted, subject, to)?;
        }
    }
    Ok(())
}

fn group(
    place: Place,
    wanted: &[Endpoint],
    subject: &Subject<'_>,
    to: &mut Deployments,
) -> Result<(), String> {
    let site = subject.site(place).map_err(|missing| missing.detail)?;
    let inventory = super::inventory(subject)?;
    let policy = site.egress.policy().firewall.as_ref().ok_or("no document describes a firewall")?;
    let own = inventory.of_type(POLICIES).find(|own| own.label() == policy.policy.name());
    let own =
        own.filter(|own| is_placed(&own.id)).ok_or("the firewall has no policy of a known resource group")?;
    if let Some(plain) = wanted.iter().find(|one| one.application.is_none()) {
        return Err(format!(
            "{plain} needs a network rule, which takes names only where the firewall answers DNS"
        ));
    }
    let prefix = site.prefix.ok_or_else(|| format!("the address prefix of {} is not known", place.name()))?;
    let rules = FirewallPolicy::of_allow_list(wanted, &Address::Prefix(prefix));
    let collections = rules.resources()[1]["properties"]["ruleCollections"].clone();
    let (name, taken) = (place.resource_name("aib"), groups(own, inventory)?);
    let priority = free(&taken).ok_or("no priority of a rule collection group is free")?;
    // Two subnets' groups do not share a number.
    let priority = if place == Place::Container { priority + 1 } else { priority };
    if taken.iter().any(|(other, number)| other.eq_ignore_ascii_case(&name) || *number == priority) {
        return Err(format!("the rule collection group {name} is there already"));
    }
    to.add(
        Target::of(&own.id),
        json!({
            "type": GROUPS,
            "apiVersion": API_VERSION,
            "name": format!("{}/{name}", own.id.name()),
            "properties": { "priority": priority, "ruleCollections": collections },
        }),
    );
    Ok(())
}

/// Names and priorities of a policy's groups.
fn groups(policy: &Resource, inventory: &Inventory) -> Result<Vec<(String, i64)>, String> {
    let one = |group: &Resource| match field(&group.value, "priority").map(|found| &found.kind) {
        Some(Kind::Number(number)) => number.as_i64().map(|number| (group.id.name().to_owned(), number)),
        _ => None,
    };
    let all: Option<Vec<_>> = inventory.children(&policy.id, "ruleCollectionGroups").map(one).collect();
    let open = field(&policy.value, "ruleCollectionGroups")
        .is_some_and(|list| Told::unknown_because(list).is_some());
    all.filter(|_| !open)
        .ok_or_else(|| format!("the priorities of all groups of {} are not known", policy.label()))
}

/// The first number that is free, and the one after it.
fn free(taken: &[(String, i64)]) -> Option<i64> {
    let is_free = |number: i64| taken.iter().all(|(_, own)| *own != number);
    (FIRST_PRIORITY..LAST_PRIORITY).find(|&number| is_free(number) && is_free(number + 1))
}
