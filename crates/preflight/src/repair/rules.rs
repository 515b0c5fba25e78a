//! Security rules: the fewest for all flows together.

use arm::{Inventory, Resource, ResourceId, field};
use document::{Kind, Value as Told};
use network_policy::{Contract, NewRule, Renumbered, Repair as Found};
use serde_json::{Map, Value, json};

use super::deployments::{Deployments, Target};
use super::{Change, is_placed, literal};
use crate::{Place, Subject};

const RULES: &str = "Microsoft.Network/networkSecurityGroups/securityRules";
const API_VERSION: &str = "2024-05-01";

/// Properties of a security rule that hold one value or several.
const SIDES: [(&str, &str); 4] = [
    ("sourceAddressPrefixes", "sourceAddressPrefix"),
    ("destinationAddressPrefixes", "destinationAddressPrefix"),
    ("sourcePortRanges", "sourcePortRange"),
    ("destinationPortRanges", "destinationPortRange"),
];
const PLAIN: [&str; 5] = ["description", "protocol", "access", "direction", "priority"];
const GROUPS: [&str; 2] = ["sourceApplicationSecurityGroups", "destinationApplicationSecurityGroups"];
const NOT_WRITTEN: [&str; 8] =
    ["id", "name", "type", "etag", "resourceGroup", "apiVersion", "dependsOn", "provisioningState"];

/// What lets the flows of some changes through at each subnet.
pub(crate) fn found(changes: &[Change], subject: &Subject<'_>) -> Vec<Found> {
    let of = |place: Place| {
        let contracts: Vec<Contract> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Flow(at, contract) if *at == place => Some(contract.clone()),
                _ => None,
            })
            .collect();
        let site = subject.network.as_ref()?.site(place)?;
        (!contracts.is_empty()).then(|| site.past_routes().repair(&contracts))
    };
    [Place::Build, Place::Container].into_iter().filter_map(of).collect()
}

pub(super) fn write(changes: &[Change], subject: &Subject<'_>, to: &mut Deployments) -> Result<(), String> {
    let inventory = super::inventory(subject)?;
    for found in found(changes, subject) {
        if let Some(beyond) = found.beyond.first() {
            return Err(format!("no security rule repairs {}", beyond.contract));
        }
        let mut moved = found.renumbered.clone();
        moved.sort_by_key(|rule| std::cmp::Reverse(rule.to));
        for rule in &moved {
            renumbered(rule, inventory, to)?;
        }
        for rule in &found.rules {
            let (target, name) = place(&rule.nsg, &rule.rule.name)?;
            to.add(target, resource(&name, &properties(rule)));
        }
    }
    Ok(())
}

/// Where a rule of a group goes, and its name there.
fn place(nsg: &str, rule: &str) -> Result<(Target, String), String> {
    let id = ResourceId::parse(nsg).ok().filter(is_placed);
    let id = id.ok_or_else(|| format!("no document tells the resource group of {nsg}"))?;
    Ok((Target::of(&id), format!("{}/{rule}", id.name())))
}

fn resource(name: &str, properties: &Value) -> Value {
    json!({ "type": RULES, "apiVersion": API_VERSION, "name": name, "properties": properties })
}

fn properties(rule: &NewRule) -> Value {
    let mut entry: Value = serde_json::from_str(&rule.to_arm_json()).unwrap_or_default();
    entry["properties"].take()
}

/// A rule that is there, at another priority.
fn renumbered(moved: &Renumbered, inventory: &Inventory, to: &mut Deployments) -> Result<(), String> {
    let (target, name) = place(&moved.nsg, &moved.rule)?;
    let id = ResourceId::parse(&moved.nsg).map_err(|error| error.to_string())?;
    let old = inventory.find(&id.child("securityRules", &moved.rule));
    let old = old.ok_or_else(|| format!("no document describes the rule {}", moved.rule))?;
    let mut properties = whole(old)?;
    properties.insert("priority".to_owned(), json!(moved.to));
    to.add(target, resource(&name, &Value::Object(properties)));
    Ok(())
}

/// All that a document tells of a rule.
fn whole(rule: &Resource) -> Result<Map<String, Value>, String> {
    let lost = |name: &str| format!("`{name}` of {} could be lost: it is not known whole", rule.label());
    let mut properties = Map::new();
    for member in rule.value.as_object().into_iter().flatten() {
        let is = |own: &&str| own.eq_ignore_ascii_case(&member.key);
        if NOT_WRITTEN.iter().any(is) {
            continue;
        }
        let (name, value) = if let Some(&(plural, singular)) = SIDES.iter().find(|(plural, _)| is(plural)) {
            match texts(&member.value).ok_or_else(|| lost(plural))?.as_slice() {
                [only] => (singular, json!(only)),
                several => (plural, json!(several)),
            }
        } else if let Some(name) = PLAIN.into_iter().find(|own| is(own)) {
            (name, scalar(&member.value).ok_or_else(|| lost(name))?)
        } else if let Some(name) = GROUPS.into_iter().find(|own| is(own)) {
            (name, ids(&member.value).ok_or_else(|| lost(name))?)
        } else {
            return Err(lost(&member.key));
        };
        properties.insert(name.to_owned(), value);
    }
    Ok(properties)
}

fn texts(value: &Told) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(literal)).collect()
}

fn ids(value: &Told) -> Option<Value> {
    value.as_array()?.iter().map(|item| Some(json!({ "id": field(item, "id")?.as_str()? }))).collect()
}

fn scalar(value: &Told) -> Option<Value> {
    match &value.kind {
        Kind::String(text) => Some(json!(literal(text))),
        Kind::Number(number) => number.as_i64().map(Value::from),
        _ => None,
    }
}
