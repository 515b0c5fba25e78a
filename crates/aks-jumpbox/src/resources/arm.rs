//! ARM resources.

use network_policy::FirewallRule;
use preflight::{CONTAINER_GROUPS, Egress, Place, Plan, SubnetPlan};
use serde_json::{Map, Value, json};

use super::{NAT_GATEWAY, NETWORK, PUBLIC_ADDRESS, Part, ROUTES, has_nat_gateway};

/// The version that all types of the network are written for.
const API_VERSION: &str = "2024-05-01";
const GROUPS: &str = "Microsoft.Network/networkSecurityGroups";
const NAT_GATEWAYS: &str = "Microsoft.Network/natGateways";
const PUBLIC_ADDRESSES: &str = "Microsoft.Network/publicIPAddresses";
const ROUTE_TABLES: &str = "Microsoft.Network/routeTables";
const POLICIES: &str = "Microsoft.Network/firewallPolicies";

/// A template to be deployed to a resource group.
pub fn template(plan: &Plan, part: Part) -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": { "location": { "type": "string", "defaultValue": "[resourceGroup().location]" } },
        "resources": resources(plan, part),
    })
}

/// Its resources, each after those that it refers to.
pub fn resources(plan: &Plan, part: Part) -> Vec<Value> {
    let mut all = Vec::new();
    if part != Part::Firewall {
        all.extend(plan.subnets.iter().map(|subnet| of_region(subnet.group.resource())));
    }
    if part == Part::Network && !plan.subnets.is_empty() {
        if has_nat_gateway(plan) {
            all.extend(nat_gateway());
        }
        all.extend(plan.subnets.iter().filter_map(|subnet| route_table(subnet.egress)));
        let subnets: Vec<_> = plan.subnets.iter().map(subnet).collect();
        all.push(resource(
            "Microsoft.Network/virtualNetworks",
            NETWORK,
            &json!({
                "addressSpace": { "addressPrefixes": [plan.network.to_string()] },
                "subnets": subnets,
            }),
        ));
    }
    if part != Part::Groups {
        all.extend(firewall(plan));
    }
    all.into_iter().map(after_what_it_needs).collect()
}

fn resource(kind: &str, name: &str, properties: &Value) -> Value {
    of_region(json!({ "type": kind, "name": name, "properties": properties }))
}

/// With version and region.
fn of_region(resource: Value) -> Value {
    let mut whole = versioned(resource);
    whole.insert("location".to_owned(), json!("[parameters('location')]"));
    // What follows reads better behind the region than before it.
    for field in ["sku", "properties"] {
        if let Some(value) = whole.shift_remove(field) {
            whole.insert(field.to_owned(), value);
        }
    }
    whole.into()
}

fn versioned(resource: Value) -> Map<String, Value> {
    let Value::Object(fields) = resource else { return Map::new() };
    let mut whole = Map::new();
    for (field, value) in fields {
        let is_type = field == "type";
        whole.insert(field, value);
        if is_type {
            whole.insert("apiVersion".to_owned(), API_VERSION.into());
        }
    }
    whole
}

fn nat_gateway() -> [Value; 2] {
    let standard = |kind: &str, name: &str, properties: Value| {
        let sku = json!({ "name": "Standard" });
        of_region(json!({ "type": kind, "name": name, "sku": sku, "properties": properties }))
    };
    let addresses = [reference(PUBLIC_ADDRESSES, PUBLIC_ADDRESS)];
    [
        standard(PUBLIC_ADDRESSES, PUBLIC_ADDRESS, json!({ "publicIPAllocationMethod": "Static" })),
        standard(NAT_GATEWAYS, NAT_GATEWAY, json!({ "publicIpAddresses": addresses })),
    ]
}

fn route_table(egress: Egress) -> Option<Value> {
    let Egress::Firewall(address) = egress else { return None };
    Some(resource(
        ROUTE_TABLES,
        ROUTES,
        &json!({
            "disableBgpRoutePropagation": true,
            "routes": [{
                "name": "all-to-firewall",
                "properties": {
                    "addressPrefix": "0.0.0.0/0",
                    "nextHopType": "VirtualAppliance",
                    "nextHopIpAddress": address.to_string(),
                },
            }],
        }),
    ))
}

fn subnet(plan: &SubnetPlan) -> Value {
    let mut properties = json!({
        "addressPrefix": plan.prefix.to_string(),
        "defaultOutboundAccess": false,
        "networkSecurityGroup": reference(GROUPS, plan.group.name()),
    });
    match plan.egress {
        Egress::NatGateway => properties["natGateway"] = reference(NAT_GATEWAYS, NAT_GATEWAY),
        Egress::Firewall(_) => properties["routeTable"] = reference(ROUTE_TABLES, ROUTES),
    }
    if plan.private_link {
        properties["privateLinkServiceNetworkPolicies"] = json!("Disabled");
    }
    if plan.place == Place::Container {
        let delegation = json!({ "serviceName": CONTAINER_GROUPS });
        properties["delegations"] = json!([{ "name": "container-groups", "properties": delegation }]);
    }
    json!({ "name": plan.place.resource_name("snet"), "properties": properties })
}

/// The policy and its groups. A firewall that resolves names for network rules must be its clients' DNS proxy.
fn firewall(plan: &Plan) -> Vec<Value> {
    let Some(policy) = &plan.firewall else { return Vec::new() };
    let rules = || policy.groups().iter().flat_map(|group| &group.collections).flat_map(|of| &of.rules);
    let proxy = rules().any(|rule| matches!(rule, FirewallRule::Network(_)));
    let Value::Array(resources) = policy.resources() else { return Vec::new() };
    let with_version = |mut resource: Value| {
        if resource["type"] != POLICIES {
            return versioned(resource).into();
        }
        if proxy {
            resource["properties"] = json!({ "dnsSettings": { "enableProxy": true } });
        }
        of_region(resource)
    };
    resources.into_iter().map(with_version).collect()
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "id": id(kind, name) })
}

/// The expression of a resource's id.
pub fn id(kind: &str, name: &str) -> String {
    format!("[resourceId('{kind}', '{name}')]")
}

/// With `dependsOn`: the resources whose ids it holds, and its parent.
fn after_what_it_needs(mut resource: Value) -> Value {
    let mut needed = Vec::new();
    ids_in(&resource["properties"], &mut needed);
    let half = |field: &str| resource[field].as_str().and_then(|text| text.rsplit_once('/'));
    // Only a child has two names.
    if let (Some((kind, _)), Some((parent, _))) = (half("type"), half("name")) {
        needed.push(id(kind, parent));
    }
    if !needed.is_empty() {
        resource["dependsOn"] = json!(needed);
    }
    resource
}

fn ids_in(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("[resourceId(") && !found.contains(text) => {
            found.push(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| ids_in(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| ids_in(field, found)),
        _ => {}
    }
}
