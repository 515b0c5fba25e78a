//! Networks: what Azure's network provider refuses, and what it fills in.

use std::net::{IpAddr, Ipv4Addr};

use http::StatusCode;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::generic;
use crate::interfaces::CONFIGURATIONS;
use crate::path::Address;
use crate::store::{ALL, Row};
use crate::transport::Response;
use crate::types::{Edit, Removal};

/// An IPv4 prefix as first and last address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub first: u32,
    pub last: u32,
}

impl Prefix {
    fn parse(text: &str, owner: &str) -> Result<Self, ArmError> {
        let invalid = || {
            let message = format!(
                "Address prefix {text} of {owner} is not formatted correctly: an address of the network and its length, such as 10.0.0.0/24."
            );
            ArmError::bad("InvalidAddressPrefixFormat", message)
        };
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        let length: u32 = length.parse().ok().filter(|length| *length <= 32).ok_or_else(invalid)?;
        let host = u32::MAX.checked_shr(length).unwrap_or(0);
        let first = u32::from(address);
        if first & host != 0 {
            let message = format!("The address prefix {text} of {owner} has bits set for hosts.");
            return Err(ArmError::bad("InvalidCIDRNotation", message));
        }
        Ok(Self { first, last: first | host })
    }

    /// How many addresses it has.
    fn size(self) -> u64 {
        u64::from(self.last - self.first) + 1
    }

    fn holds(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The prefixes of a subnet or network, IPv4 only; those of IPv6 are kept and not looked at.
pub(crate) fn prefixes(texts: &[&Value], owner: &str) -> Result<Vec<Prefix>, ArmError> {
    let texts = texts.iter().filter_map(|text| text.as_str()).filter(|text| !text.contains(':'));
    texts.map(|text| Prefix::parse(text, owner)).collect()
}

pub(crate) fn subnet_prefixes(properties: &Value) -> Vec<&Value> {
    let many = properties["addressPrefixes"].as_array().map(|all| all.iter().collect()).unwrap_or_default();
    if properties["addressPrefix"].is_string() { vec![&properties["addressPrefix"]] } else { many }
}

pub(crate) fn virtual_network(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    let name = edit.name().to_owned();
    let space =
        edit.new["properties"]["addressSpace"]["addressPrefixes"].as_array().cloned().unwrap_or_default();
    if space.is_empty() {
        let message = format!("The virtual network {name} needs properties.addressSpace.addressPrefixes.");
        return Err(ArmError::bad("InvalidRequestFormat", message));
    }
    let space = prefixes(&space.iter().collect::<Vec<_>>(), &name)?;
    for (index, one) in space.iter().enumerate() {
        if space[..index].iter().any(|other| other.meets(*one)) {
            let message = format!("The address prefixes of the virtual network {name} overlap.");
            return Err(ArmError::bad("NetcfgInvalidVirtualNetworkAddressPrefixes", message));
        }
    }
    edit.keep(&["resourceGuid", CREATED_WITH]);
    if edit.old.is_none() {
        edit.new["properties"][CREATED_WITH] = edit.writer.api_version.into();
    }
    complete(edit);
    Ok(())
}

/// Which version of the interface made a network: it decides whether its subnets are private. Clients do not see it.
const CREATED_WITH: &str = "createdWith";

/// From this version on, subnets have no default way out unless they say so (azure-networking.md 0.8).
const PRIVATE_SINCE: &str = "2025-07-01";

pub(crate) fn show_virtual_network(_: &str, body: &mut Value) {
    if let Some(properties) = body["properties"].as_object_mut() {
        properties.shift_remove(CREATED_WITH);
    }
}

/// What every network resource is told to have.
pub(crate) fn complete(edit: &mut Edit<'_>) {
    edit.new["properties"]["provisioningState"] = "Succeeded".into();
    if edit.new["properties"]["resourceGuid"].is_null() {
        edit.new["properties"]["resourceGuid"] = uuid::Uuid::new_v4().to_string().into();
    }
}

/// What a subnet can be joined to: its field, and the type.
const JOINED: [(&str, &str); 3] = [
    ("networkSecurityGroup", "Microsoft.Network/networkSecurityGroups"),
    ("routeTable", "Microsoft.Network/routeTables"),
    ("natGateway", "Microsoft.Network/natGateways"),
];

pub(crate) fn subnet(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    let name = edit.name().to_owned();
    let parent = parent(edit.id);
    let own = prefixes(&subnet_prefixes(&edit.new["properties"]), &name)?;
    let network = Row::find(edit.transaction, &parent.to_ascii_lowercase())?;
    let network = network.map(|row| row.body).unwrap_or_default();
    let space =
        network["properties"]["addressSpace"]["addressPrefixes"].as_array().cloned().unwrap_or_default();
    let space = prefixes(&space.iter().collect::<Vec<_>>(), &parent)?;
    if own.is_empty() {
        let message = format!("The subnet {name} needs properties.addressPrefix.");
        return Err(ArmError::bad("InvalidRequestFormat", message));
    }
    if let Some(outside) = own.iter().find(|own| !space.iter().any(|space| space.holds(**own))) {
        let message = format!(
            "Subnet '{name}' is not valid because its IP address range is outside the IP address range of virtual network \
             '{}' ({}).",
            parent.rsplit('/').next().unwrap_or_default(),
            Ipv4Addr::from(outside.first)
        );
        return Err(ArmError::bad("NetcfgSubnetRangeOutsideVnet", message));
    }
    let siblings =
        Row::of_type(edit.transaction, "microsoft.network/virtualnetworks/subnets", &parent, None, ALL)?;
    for sibling in siblings.rows.iter().filter(|row| !row.key.eq_ignore_ascii_case(edit.id)) {
        let other = prefixes(&subnet_prefixes(&sibling.body["properties"]), "a subnet")?;
        if own.iter().any(|own| other.iter().any(|other| other.meets(*own))) {
            let other = sibling.body["name"].as_str().unwrap_or_default();
            let message = format!(
                "Subnet '{name}' is not valid because its IP address range overlaps with that of an existing subnet '{other}'."
            );
            return Err(ArmError::bad("NetcfgSubnetRangesOverlap", message));
        }
    }
    join(edit)?;
    edit.keep(&[CONFIGURATIONS]);
    let properties = &mut edit.new["properties"];
    properties["provisioningState"] = "Succeeded".into();
    // Azure's defaults, which clients show and requirements read.
    for (field, default) in
        [("privateEndpointNetworkPolicies", "Disabled"), ("privateLinkServiceNetworkPolicies", "Enabled")]
    {
        if properties[field].is_null() {
            properties[field] = default.into();
        }
    }
    if properties["defaultOutboundAccess"].is_null() {
        let made = network["properties"][CREATED_WITH].as_str().unwrap_or_default();
        let before = edit.old.map(|old| old.body["properties"]["defaultOutboundAccess"].clone());
        properties["defaultOutboundAccess"] = before.unwrap_or_else(|| (made < PRIVATE_SINCE).into());
    }
    if properties["delegations"].is_null() {
        properties["delegations"] = json!([]);
    }
    Ok(())
}

/// How many addresses of each prefix Azure keeps for itself: the first four and the last.
pub(crate) const RESERVED: u64 = 5;

/// The usage of every subnet, as `virtualNetworks/usages` tells it.
pub(crate) fn usages(call: &mut Call<'_>) -> Answer {
    let address = call.path.address().ok_or_else(|| ArmError::internal("no address"))?;
    let network = Address { rest: None, ..address };
    let values = call.azure.store.read(|connection| {
        let network = generic::find(connection, &network)?;
        let kind = "microsoft.network/virtualnetworks/subnets";
        let subnets = Row::of_type(connection, kind, &network.key, None, ALL)?.rows;
        subnets.iter().map(|subnet| usage(connection, subnet)).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(Response::json(StatusCode::OK, &json!({ "value": values })))
}

fn usage(connection: &Connection, subnet: &Row) -> Result<Value, ArmError> {
    let own = prefixes(&subnet_prefixes(&subnet.body["properties"]), "a subnet")?;
    let limit: u64 = own.iter().map(|prefix| prefix.size().saturating_sub(RESERVED)).sum();
    let mut taken = 0;
    for user in Row::users(connection, &subnet.key)? {
        let user = Row::find(connection, &user)?.map(|row| row.body).unwrap_or_default();
        let configurations = user["properties"]["ipConfigurations"].as_array();
        let here = |one: &&Value| {
            one["properties"]["subnet"]["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(&subnet.key))
        };
        taken += configurations.into_iter().flatten().filter(here).count();
    }
    Ok(json!({
        "currentValue": taken, "id": subnet.body["id"], "limit": limit, "unit": "Count",
        "name": { "localizedValue": "Subnet size and usage", "value": "SubnetSpace" },
    }))
}

/// What a subnet names has to exist, and whoever writes the subnet has to be allowed to join it.
fn join(edit: &Edit<'_>) -> Result<(), ArmError> {
    for (field, resource_type) in JOINED {
        let Some(id) = edit.new["properties"][field]["id"].as_str() else { continue };
        let found = Row::find(edit.transaction, &id.to_ascii_lowercase())?;
        if found.is_none_or(|row| row.body["type"] != resource_type) {
            let message = format!(
                "Resource {id} referenced by resource {} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.",
                edit.id
            );
            return Err(ArmError::bad("InvalidResourceReference", message));
        }
        let before = edit.old.and_then(|old| old.body["properties"][field]["id"].as_str());
        if before.is_some_and(|before| before.eq_ignore_ascii_case(id)) {
            continue;
        }
        let action = format!("{resource_type}/join/action");
        let own = ("Microsoft.Network/virtualNetworks/subnets/write", edit.id);
        edit.azure.require_linked(edit.writer.caller, own, (&action, id))?;
    }
    Ok(())
}

fn parent(id: &str) -> String {
    let mut parts: Vec<&str> = id.split('/').collect();
    parts.truncate(parts.len().saturating_sub(2));
    parts.join("/")
}

/// Network resources that name this one and do not go with it.
fn users(removal: &Removal<'_>) -> Result<Vec<String>, ArmError> {
    let inside = |key: &str, outer: &str| key == outer || key.starts_with(&format!("{outer}/"));
    let mut users = Row::users(removal.transaction, &removal.row.key)?;
    users.retain(|key| !inside(key, removal.going) && !inside(key, &removal.row.key));
    Ok(users)
}

fn in_use(removal: &Removal<'_>, code: &str, what: &str) -> Result<(), ArmError> {
    let users = users(removal)?;
    let Some(first) = users.first() else { return Ok(()) };
    let name = removal.row.body["name"].as_str().unwrap_or_default();
    let message = format!(
        "{what} {name} is in use by {first} and cannot be deleted. In order to delete it, delete all the resources that use it."
    );
    Err(ArmError::bad(code, message))
}

pub(crate) fn remove_virtual_network(removal: &Removal<'_>) -> Result<(), ArmError> {
    in_use(removal, "InUseVirtualNetworkCannotBeDeleted", "Virtual network")
}

pub(crate) fn remove_subnet(removal: &Removal<'_>) -> Result<(), ArmError> {
    in_use(removal, "InUseSubnetCannotBeDeleted", "Subnet")
}

/// A group, route table or gateway that subnets are joined to.
pub(crate) fn remove_joined(removal: &Removal<'_>) -> Result<(), ArmError> {
    let resource_type = removal.row.body["type"].as_str().unwrap_or_default();
    let code = match resource_type {
        "Microsoft.Network/networkSecurityGroups" => "InUseNetworkSecurityGroupCannotBeDeleted",
        "Microsoft.Network/routeTables" => "InUseRouteTableCannotBeDeleted",
        _ => "InUseNatGatewayCannotBeDeleted",
    };
    in_use(removal, code, resource_type.rsplit('/').next().unwrap_or_default())
}

pub(crate) fn group(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    edit.keep(&["resourceGuid"]);
    complete(edit);
    edit.new["properties"][DEFAULTS] = true.into();
    Ok(())
}

/// The field of the rules behind every group. Kept is only that they are there, which also tells that a group without rules
/// of its own has none.
const DEFAULTS: &str = "defaultSecurityRules";

pub(crate) fn show_group(_: &str, body: &mut Value) {
    body["properties"][DEFAULTS] = default_rules(body["id"].as_str().unwrap_or_default());
}

/// Name, priority, direction, access, source and destination of the rules behind every group, as Azure shows them.
const DEFAULT_RULES: [(&str, u16, &str, &str, &str, &str); 6] = [
    ("AllowVnetInBound", 65000, "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "Allow", "AzureLoadBalancer", "*"),
    ("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*"),
    ("AllowVnetOutBound", 65000, "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", 65001, "Outbound", "Allow", "*", "Internet"),
    ("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*"),
];

pub(crate) fn default_rules(group: &str) -> Value {
    let rule = |(name, priority, direction, access, source, destination)| {
        json!({
            "id": format!("{group}/defaultSecurityRules/{name}"),
            "name": name,
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded", "protocol": "*", "access": access, "priority": priority,
                "direction": direction, "sourcePortRange": "*", "destinationPortRange": "*",
                "sourceAddressPrefix": source, "destinationAddressPrefix": destination,
                "sourcePortRanges": [], "destinationPortRanges": [],
                "sourceAddressPrefixes": [], "destinationAddressPrefixes": [],
            },
        })
    };
    DEFAULT_RULES.map(rule).to_vec().into()
}

pub(crate) fn rule(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    let name = edit.name().to_owned();
    let properties = &edit.new["properties"];
    let wrong = |message: String| Err(ArmError::bad("SecurityRuleInvalid", message));
    let Some(priority) = properties["priority"].as_i64().filter(|priority| (100..=4096).contains(priority))
    else {
        return wrong(format!("Security rule {name} needs a priority of 100 to 4096."));
    };
    for (field, allowed) in [("direction", ["Inbound", "Outbound"]), ("access", ["Allow", "Deny"])] {
        let fits = |text: &str| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(text));
        if !properties[field].as_str().is_some_and(fits) {
            return wrong(format!("Security rule {name} needs '{field}': {} or {}.", allowed[0], allowed[1]));
        }
    }
    if properties["protocol"].as_str().is_none() {
        return wrong(format!("Security rule {name} needs a protocol."));
    }
    let direction = properties["direction"].as_str().unwrap_or_default().to_owned();
    let siblings = Row::of_type(
        edit.transaction,
        "microsoft.network/networksecuritygroups/securityrules",
        &parent(edit.id),
        None,
        ALL,
    )?;
    for sibling in siblings.rows.iter().filter(|row| !row.key.eq_ignore_ascii_case(edit.id)) {
        let other = &sibling.body["properties"];
        let same_direction =
            other["direction"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(&direction));
        if same_direction && other["priority"].as_i64() == Some(priority) {
            let message = format!(
                "Security rule {name} conflicts with rule {}. Rules cannot have the same Priority and Direction.",
                sibling.body["name"].as_str().unwrap_or_default()
            );
            return Err(ArmError::bad("SecurityRuleConflict", message));
        }
    }
    edit.new["properties"]["provisioningState"] = "Succeeded".into();
    Ok(())
}

/// A firewall gets the first address of its subnet that Azure does not keep for itself.
pub(crate) fn firewall(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    let count = edit.new["properties"]["ipConfigurations"].as_array().map_or(0, Vec::len);
    for index in 0..count {
        let properties = &edit.new["properties"]["ipConfigurations"][index]["properties"];
        let Some(id) = properties["subnet"]["id"].as_str() else { continue };
        let Some(subnet) = Row::find(edit.transaction, &id.to_ascii_lowercase())? else {
            let message = format!("Resource {id} referenced by resource {} was not found.", edit.id);
            return Err(ArmError::bad("InvalidResourceReference", message));
        };
        let own = prefixes(&subnet_prefixes(&subnet.body["properties"]), "the firewall's subnet")?;
        if let Some(first) = own.first() {
            let address = IpAddr::from(Ipv4Addr::from(first.first.saturating_add(4)));
            edit.new["properties"]["ipConfigurations"][index]["properties"]["privateIPAddress"] =
                address.to_string().into();
        }
    }
    edit.new["properties"]["provisioningState"] = "Succeeded".into();
    Ok(())
}

/// Public addresses are of those for documentation (RFC 5737): nothing here is reachable from outside.
pub(crate) fn public_address(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    edit.keep(&["ipAddress"]);
    if edit.new["properties"]["ipAddress"].is_null() {
        let last = edit.id.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        edit.new["properties"]["ipAddress"] = format!("203.0.113.{}", last.clamp(1, 254)).into();
    }
    edit.new["properties"]["provisioningState"] = "Succeeded".into();
    Ok(())
}
