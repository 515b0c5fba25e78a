//! The policy as ARM JSON, for people, for Azure and as a cache key.

use serde_json::{Map, Value, json};

use crate::address::{Address, PortRange, RuleProtocol};
use crate::firewall::{ApplicationRule, FirewallPolicy, FirewallRule, NatRule, NetworkRule, Target};
use crate::flow::{Application, Direction};
use crate::matching::Access;
use crate::nsg::{NetworkSecurityGroup, SecurityRule};
use crate::policy::{Context, NetworkPolicy};

impl NetworkPolicy {
    /// One line of text that is equal for equal policies and differs when a decision could: what a layer made
    /// under this policy is keyed by.
    pub fn canonical(&self) -> String {
        let mut network = self.context.virtual_network.clone();
        network.sort_unstable();
        let Self { admin, routes, far_subnets, .. } = self;
        let Context { peered, gateway, unknown_connections, .. } = &self.context;
        let connected = (peered, gateway, unknown_connections);
        json!({
            "virtualNetwork": network.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "buildSubnet": self.context.build_subnet.map(|subnet| subnet.to_string()),
            "nicNsg": self.nic_nsg.as_ref().map(NetworkSecurityGroup::resource),
            "subnetNsg": self.subnet_nsg.as_ref().map(NetworkSecurityGroup::resource),
            "firewall": self.firewall.as_ref().map(|firewall| firewall.policy.resources()),
            "firewallAddresses": self.firewall.as_ref().map(|firewall| &firewall.private_addresses),
            "connected": format!("{connected:?}"),
            "admin": format!("{admin:?}"),
            "routes": format!("{routes:?}"),
            "farSubnets": format!("{far_subnets:?}"),
            "tags": self.context.tags.fingerprint(),
        })
        .to_string()
    }
}

impl NetworkSecurityGroup {
    /// The group as an ARM resource, without the default rules, which Azure adds itself.
    pub fn to_arm_json(&self) -> String {
        format!("{:#}", self.resource())
    }

    /// The same as a value.
    pub fn resource(&self) -> Value {
        json!({
            "type": "Microsoft.Network/networkSecurityGroups",
            "name": last_segment(self.name()),
            "properties": { "securityRules": self.custom_rules().map(security_rule).collect::<Vec<_>>() },
        })
    }
}

impl FirewallPolicy {
    /// The policy and its rule collection groups as an array of ARM resources. Groups that came from a parent
    /// stand first, with the parent's priorities.
    pub fn to_arm_json(&self) -> String {
        format!("{:#}", self.resources())
    }

    /// The same as a value.
    pub fn resources(&self) -> Value {
        let name = last_segment(self.name());
        let policy = json!({ "type": "Microsoft.Network/firewallPolicies", "name": name });
        let groups = self.groups().iter().map(|group| {
            let collections: Vec<_> = group
                .collections
                .iter()
                .map(|collection| {
                    json!({
                        "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
                        "name": collection.name,
                        "priority": collection.priority,
                        "action": { "type": access(collection.action) },
                        "rules": collection.rules.iter().map(firewall_rule).collect::<Vec<_>>(),
                    })
                })
                .collect();
            json!({
                "type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
                "name": format!("{name}/{}", group.name),
                "properties": { "priority": group.priority, "ruleCollections": collections },
            })
        });
        Value::Array([policy].into_iter().chain(groups).collect())
    }
}

/// A resource's own name, of a name or an id.
fn last_segment(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// A name that Azure takes: at most 80 letters, digits, dots, dashes and underscores.
pub(crate) fn rule_name(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let name: String = text.chars().map(|c| if fits(c) { c } else { '-' }).take(76).collect();
    name.trim_end_matches(['-', '.']).to_owned()
}

pub(crate) fn security_rule(rule: &SecurityRule) -> Value {
    let mut properties = Map::new();
    properties.insert("priority".to_owned(), rule.priority.into());
    let direction = match rule.direction {
        Direction::Inbound => "Inbound",
        Direction::Outbound => "Outbound",
    };
    properties.insert("direction".to_owned(), direction.into());
    properties.insert("access".to_owned(), access(rule.access).into());
    properties.insert("protocol".to_owned(), rule.protocol.to_string().into());
    addresses(&mut properties, "source", &rule.source);
    ports(&mut properties, "source", &rule.source_ports);
    addresses(&mut properties, "destination", &rule.destination);
    ports(&mut properties, "destination", &rule.destination_ports);
    json!({ "name": rule.name, "properties": properties })
}

/// The singular field for one value, the plural one for several; groups have a field of their own.
fn addresses(properties: &mut Map<String, Value>, side: &str, addresses: &[Address]) {
    let (mut groups, mut prefixes) = (Vec::new(), Vec::new());
    for address in addresses {
        match address {
            Address::ApplicationSecurityGroup(id) => groups.push(json!({ "id": id })),
            other => prefixes.push(Value::from(other.to_string())),
        }
    }
    one_or_many(properties, &format!("{side}AddressPrefix"), "es", prefixes);
    if !groups.is_empty() {
        properties.insert(format!("{side}ApplicationSecurityGroups"), groups.into());
    }
}

fn ports(properties: &mut Map<String, Value>, side: &str, ports: &[PortRange]) {
    let ports = ports.iter().map(|range| Value::from(range.to_string())).collect();
    one_or_many(properties, &format!("{side}PortRange"), "s", ports);
}

fn one_or_many(properties: &mut Map<String, Value>, field: &str, plural: &str, mut values: Vec<Value>) {
    match (values.len(), values.pop()) {
        (1, Some(only)) => {
            properties.insert(field.to_owned(), only);
        }
        (_, Some(last)) => {
            values.push(last);
            properties.insert(format!("{field}{plural}"), values.into());
        }
        (_, None) => {}
    }
}

pub(crate) fn firewall_rule(rule: &FirewallRule) -> Value {
    match rule {
        FirewallRule::Network(rule) => network_rule(rule),
        FirewallRule::Application(rule) => application_rule(rule),
        FirewallRule::Nat(rule) => nat_rule(rule),
    }
}

fn network_rule(rule: &NetworkRule) -> Value {
    let protocols = rule.protocols.iter().map(|protocol| match protocol {
        RuleProtocol::Any => "Any".to_owned(),
        RuleProtocol::Only(_) => protocol.to_string().to_ascii_uppercase(),
    });
    let mut value = object(&rule.name, "NetworkRule");
    list(&mut value, "ipProtocols", protocols);
    firewall_addresses(&mut value, "source", &rule.source);
    firewall_addresses(&mut value, "destination", &rule.destination);
    list(&mut value, "destinationFqdns", rule.destination_names.iter().map(ToString::to_string));
    list(&mut value, "destinationPorts", rule.destination_ports.iter().map(ToString::to_string));
    value.into()
}

fn nat_rule(rule: &NatRule) -> Value {
    let mut value = object(&rule.name, "NatRule");
    let protocols = rule.protocols.iter().map(|protocol| protocol.to_string().to_ascii_uppercase());
    list(&mut value, "ipProtocols", protocols);
    firewall_addresses(&mut value, "source", &rule.source);
    firewall_addresses(&mut value, "destination", &rule.destination);
    list(&mut value, "destinationPorts", rule.destination_ports.iter().map(ToString::to_string));
    value.insert("translatedTo".to_owned(), rule.translated.clone().into());
    value.into()
}

fn application_rule(rule: &ApplicationRule) -> Value {
    let protocols = rule.protocols.iter().map(|(application, port)| {
        let name = match application {
            Application::Http => "Http",
            Application::Https => "Https",
            Application::Mssql => "Mssql",
        };
        json!({ "protocolType": name, "port": port })
    });
    let mut value = object(&rule.name, "ApplicationRule");
    value.insert("protocols".to_owned(), protocols.collect());
    firewall_addresses(&mut value, "source", &rule.source);
    firewall_addresses(&mut value, "destination", &rule.destination);
    for target in &rule.targets {
        let (field, text) = match target {
            Target::Fqdn(pattern) => ("targetFqdns", pattern.to_string()),
            Target::FqdnTag(tag) => ("fqdnTags", tag.clone()),
            Target::WebCategory(category) => ("webCategories", category.clone()),
            Target::Url { text, .. } => ("targetUrls", text.clone()),
        };
        if let Value::Array(list) = value.entry(field).or_insert_with(|| json!([])) {
            list.push(text.into());
        }
    }
    value.into()
}

fn object(name: &str, rule_type: &str) -> Map<String, Value> {
    let fields = [("ruleType", rule_type), ("name", name)];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value.into())).collect()
}

fn firewall_addresses(value: &mut Map<String, Value>, side: &str, addresses: &[Address]) {
    let (groups, literal): (Vec<_>, Vec<_>) =
        addresses.iter().partition(|address| matches!(address, Address::IpGroup(_)));
    list(value, &format!("{side}Addresses"), literal.into_iter().map(ToString::to_string));
    list(value, &format!("{side}IpGroups"), groups.into_iter().map(ToString::to_string));
}

fn list(value: &mut Map<String, Value>, field: &str, entries: impl Iterator<Item = String>) {
    let entries: Vec<Value> = entries.map(Value::from).collect();
    if !entries.is_empty() {
        value.insert(field.to_owned(), entries.into());
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Allow => "Allow",
        Access::Deny => "Deny",
    }
}
