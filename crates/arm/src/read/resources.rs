//! JSON of resources: one, an array, `{"value": []}`, the output of `az` and PowerShell, effective rules and routes.

use document::{Kind, Value};

use super::{Scope, member, text};
use crate::ResourceId;
use crate::inventory::{Collector, DOUBT, Draft, normal};

/// Resources without id and type are told by a field that only they have.
const SHAPES: [(&str, &str); 9] = [
    ("securityRules", "Microsoft.Network/networkSecurityGroups"),
    ("defaultSecurityRules", "Microsoft.Network/networkSecurityGroups"),
    ("ruleCollections", "Microsoft.Network/firewallPolicies/ruleCollectionGroups"),
    ("basePolicy", "Microsoft.Network/firewallPolicies"),
    ("applicationRuleCollections", "Microsoft.Network/azureFirewalls"),
    ("networkRuleCollections", "Microsoft.Network/azureFirewalls"),
    ("addressSpace", "Microsoft.Network/virtualNetworks"),
    ("routes", "Microsoft.Network/routeTables"),
    ("ipAddresses", "Microsoft.Network/ipGroups"),
];

/// Reads every resource of a document; one that holds none is wrong.
pub(super) fn read(collector: &mut Collector, value: Value, scope: &Scope) {
    let span = value.span;
    let mut found = 0;
    collect(collector, value, scope, &mut found);
    if found == 0 {
        collector.error(
            "no-resource",
            span,
            "the document holds no resource that is read here",
            "Azure resources as JSON: one, an array, `{\"value\": []}`, the output of `az`, an ARM template, a Terraform plan",
        );
    }
}

/// The member of a subnet that the usages of its virtual network make: `{"currentValue": 4, "limit": 11}`.
const SUBNET_SPACE: &str = "subnetSpace";

/// Usages (`az network vnet list-usage`) have the ids of the subnets that they are about.
fn usage(value: Value) -> Value {
    let kind = member(&value, "name").and_then(|name| text(name, "value"));
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case(SUBNET_SPACE)) {
        return value;
    }
    let counts = ["currentValue", "limit"].map(|name| (name, member(&value, name).cloned()));
    let counts = counts.into_iter().filter_map(|(name, count)| Some((name, count?)));
    let span = value.span;
    let about = text(&value, "id").unwrap_or_default();
    let space = Value { span, ..Value::object(counts) };
    Value { span, ..Value::object([("id", Value::from(about)), (SUBNET_SPACE, space)]) }
}

fn collect(collector: &mut Collector, value: Value, scope: &Scope, found: &mut usize) {
    if let Kind::Array(items) = value.kind {
        for item in items {
            collect(collector, item, scope, found);
        }
        return;
    }
    if no_resource(collector, &value) {
        *found += 1;
        return;
    }
    let value = usage(value);
    if let Some(id) = identity(&value, scope) {
        *found += 1;
        let doubt = text(&value, DOUBT).map(str::to_owned);
        collector.add(Draft { id, value, doubt });
        return;
    }
    let Kind::Object(object) = value.kind else { return };
    for member in object {
        if ["value", "resources"].iter().any(|list| list.eq_ignore_ascii_case(&member.key)) {
            collect(collector, member.value, scope, found);
        }
    }
}

/// Keeps an effective group, an effective route or the state of a resource provider; false for anything else.
fn no_resource(collector: &mut Collector, value: &Value) -> bool {
    if member(value, "effectiveSecurityRules").is_some() {
        collector.effective_groups.push(normal(value.clone()));
    } else if member(value, "nextHopType").is_some()
        && member(value, "state").is_some()
        && text(value, "id").is_none()
    {
        collector.effective_routes.push(normal(value.clone()));
    } else if member(value, "registrationState").is_some() && member(value, "namespace").is_some() {
        collector.providers.push(normal(value.clone()));
    } else {
        return false;
    }
    true
}

/// The id of what looks like a resource: its own, else by type and name, else by shape and name.
fn identity(value: &Value, scope: &Scope) -> Option<ResourceId> {
    value.as_object()?;
    let own = text(value, "id").and_then(|id| ResourceId::parse(id).ok());
    if own.as_ref().is_some_and(|id| id.resource_type().is_some()) {
        return own;
    }
    let in_properties = |field| member(value, "properties").and_then(|inner| member(inner, field));
    let shaped = || {
        let shape =
            SHAPES.iter().find(|(field, _)| member(value, field).is_some() || in_properties(field).is_some());
        shape.map(|&(_, kind)| kind)
    };
    let resource_type = text(value, "type").filter(|kind| kind.contains('/')).or_else(shaped)?;
    let name = text(value, "name").unwrap_or("*");
    let scope = Scope {
        resource_group: text(value, "resourceGroup")
            .map(str::to_owned)
            .or_else(|| scope.resource_group.clone()),
        ..scope.clone()
    };
    scope.id(resource_type, name)
}
