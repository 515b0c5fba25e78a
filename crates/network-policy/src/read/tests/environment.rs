//! Environment files: documents put together.

use super::*;

const SUBNET: &str = "/subscriptions/s/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/spoke/subnets/build";

const ENVIRONMENT: &str = r#"
subscription = "s"
location = "East US 2"
build_subnet = "/subscriptions/S/resourceGroups/RG-spoke/providers/Microsoft.Network/virtualNetworks/spoke/subnets/BUILD"
[[source]]
kind = "arm-template"
file = "hub.json"
resource_group = "rg-hub"
parameters = { policyName = "fwp-hub" }
[source.runtime]
"/subscriptions/s/resourceGroups/rg-hub/providers/microsoft.network/azurefirewalls/fw-hub" = { ipConfigurations = [ { properties = { privateIPAddress = "10.200.0.4" } } ] }
[[source]]
kind = "resources"
file = "spoke.json"
[[source]]
kind = "terraform-plan"
file = "plan.json"
"#;

/// A hub of which nothing but the firewall's address is left to run time.
pub(super) const HUB: &str = r#"{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {"policyName": {"type": "string"}, "groupName": {"type": "string", "defaultValue": "builders"}},
  "variables": {"hub": "vnet-hub", "firewall": "fw-hub"},
  "resources": [
    {"type": "Microsoft.Network/virtualNetworks", "apiVersion": "2023-09-01", "name": "[variables('hub')]",
     "properties": {"addressSpace": {"addressPrefixes": ["10.200.0.0/24"]}, "subnets": []}},
    {"type": "Microsoft.Network/firewallPolicies", "apiVersion": "2023-09-01", "name": "[parameters('policyName')]",
     "properties": {"threatIntelMode": "Deny"}},
    {"type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups", "apiVersion": "2023-09-01",
     "name": "[concat(parameters('policyName'), '/images')]",
     "properties": {"priority": 200, "ruleCollections": [
       {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "yes", "priority": 100,
        "action": {"type": "Allow"}, "rules": [
          {"ruleType": "ApplicationRule", "name": "blobs", "targetFqdns": ["*.blob.core.windows.net"],
           "protocols": [{"protocolType": "Https", "port": 443}],
           "sourceIpGroups": ["[resourceId('Microsoft.Network/ipGroups', parameters('groupName'))]"]}]}]}},
    {"type": "Microsoft.Network/ipGroups", "apiVersion": "2023-09-01", "name": "[parameters('groupName')]",
     "properties": {"ipAddresses": ["10.241.0.0/28"]}},
    {"type": "Microsoft.Network/azureFirewalls", "apiVersion": "2023-09-01", "name": "[variables('firewall')]",
     "properties": {"firewallPolicy": {"id": "[resourceId('Microsoft.Network/firewallPolicies', parameters('policyName'))]"},
       "ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": "[reference('elsewhere').id]"}}}]}}]}"#;

pub(super) const SPOKE: &str = r#"[
  {"id": "/subscriptions/s/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/spoke",
   "name": "spoke", "location": "eastus2", "type": "Microsoft.Network/virtualNetworks",
   "addressSpace": {"addressPrefixes": ["10.241.0.0/16"]}, "dhcpOptions": {"dnsServers": ["10.200.0.4"]},
   "virtualNetworkPeerings": [
     {"name": "hub", "peeringState": "Connected", "allowVirtualNetworkAccess": true, "useRemoteGateways": false,
      "remoteVirtualNetwork": {"id": "/subscriptions/s/resourceGroups/rg-hub/providers/Microsoft.Network/virtualNetworks/vnet-hub"}},
     {"name": "far", "peeringState": "Connected",
      "remoteVirtualNetwork": {"id": "/subscriptions/t/resourceGroups/x/providers/Microsoft.Network/virtualNetworks/far"}}],
   "subnets": [
     {"name": "build", "addressPrefix": "10.241.0.0/28", "defaultOutboundAccess": false,
      "serviceEndpoints": [{"service": "Microsoft.Storage"}],
      "networkSecurityGroup": {"id": "/subscriptions/s/resourceGroups/rg-spoke/providers/Microsoft.Network/networkSecurityGroups/nsg"},
      "routeTable": {"id": "/subscriptions/s/resourceGroups/rg-spoke/providers/Microsoft.Network/routeTables/routes"}},
     {"name": "other", "addressPrefixes": ["10.241.1.0/24"],
      "networkSecurityGroup": {"id": "/subscriptions/s/resourceGroups/rg-spoke/providers/Microsoft.Network/networkSecurityGroups/nsg"}}]},
  {"id": "/subscriptions/s/resourceGroups/rg-spoke/providers/Microsoft.Network/networkSecurityGroups/nsg",
   "name": "nsg", "type": "Microsoft.Network/networkSecurityGroups", "securityRules": []}]"#;

pub(super) const PLAN: &str = r#"{"format_version": "1.2", "terraform_version": "1.9.0", "planned_values": {"root_module": {"resources": [
  {"address": "azurerm_route_table.t", "mode": "managed", "type": "azurerm_route_table", "name": "t",
   "values": {"name": "routes", "resource_group_name": "rg-spoke",
     "route": [{"name": "default", "address_prefix": "0.0.0.0/0", "next_hop_type": "VirtualAppliance",
                "next_hop_in_ip_address": "10.200.0.4"}]}},
  {"address": "azurerm_route.blackhole", "mode": "managed", "type": "azurerm_route", "name": "blackhole",
   "values": {"name": "blackhole", "resource_group_name": "rg-spoke", "route_table_name": "routes",
     "address_prefix": "192.0.2.0/24", "next_hop_type": "None", "next_hop_in_ip_address": ""}}]}}}"#;

const FILES: [(&str, &str); 3] = [("hub.json", HUB), ("spoke.json", SPOKE), ("plan.json", PLAN)];

fn environment() -> World {
    World::of(("environment.toml", ENVIRONMENT), &FILES)
}

#[test]
fn documents_of_every_kind_make_one_network() {
    let world = environment();
    assert_eq!(world.warnings(), Vec::<String>::new());
    let policy = world.policy();
    assert_eq!(policy.build_machine().to_string(), "10.241.0.4");
    let shown = |prefixes: &[ipnet::IpNet]| prefixes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&policy.context.virtual_network), ["10.241.0.0/16"]);
    assert_eq!(shown(&policy.context.peered), ["10.200.0.0/24"]);
    assert_eq!(
        policy.context.unknown_connections,
        [format!("the peering {}/virtualNetworkPeerings/far", network())]
    );
    assert_eq!(policy.context.dns_servers, ["10.200.0.4".parse::<std::net::IpAddr>().unwrap()]);
    let routes = policy.routes.unwrap();
    assert_eq!(routes.outbound, Outbound::Missing);
    assert_eq!(routes.service_endpoints[0].region.as_deref(), Some("Storage.eastus2"));
    let hops: Vec<_> =
        routes.routes.iter().map(|route| (route.name.as_str(), route.next_hop.clone())).collect();
    let firewall: std::net::IpAddr = "10.200.0.4".parse().unwrap();
    assert_eq!(hops, [("blackhole", NextHop::None), ("default", NextHop::Appliance(Some(firewall)))]);
    assert_eq!(
        policy.firewall.unwrap().private_addresses,
        [firewall],
        "what is known at run time tells the next hop"
    );
    assert_eq!(policy.far_subnets.len(), 1);
    assert_eq!(policy.subnet_nsg.unwrap().name(), SPOKE_NSG);
}

const SPOKE_NSG: &str =
    "/subscriptions/s/resourceGroups/rg-spoke/providers/Microsoft.Network/networkSecurityGroups/nsg";

fn network() -> &'static str {
    SUBNET.strip_suffix("/subnets/build").unwrap()
}

#[test]
fn the_order_of_documents_does_not_matter() {
    let (head, rest) = ENVIRONMENT.split_once("[[source]]").unwrap();
    let parts: Vec<_> = rest.split("[[source]]").collect();
    let reversed = parts.iter().rev().copied().collect::<Vec<_>>().join("[[source]]");
    let other = World::of(("environment.toml", &format!("{head}[[source]]{reversed}")), &FILES);
    assert_eq!(other.policy(), environment().policy());
}

#[test]
fn what_no_document_tells_is_named_and_leaves_answers_open() {
    let without = |file: &str| {
        let start = ENVIRONMENT.find(&format!("file = \"{file}\"")).unwrap();
        let start = ENVIRONMENT[..start].rfind("[[source]]").unwrap();
        let end =
            ENVIRONMENT[start + 2..].find("[[source]]").map_or(ENVIRONMENT.len(), |end| start + 2 + end);
        World::of(("environment.toml", &format!("{}{}", &ENVIRONMENT[..start], &ENVIRONMENT[end..])), &FILES)
    };
    let world = without("plan.json");
    assert!(
        world.warnings()[0].contains("routeTables/routes is in none of the documents"),
        "{:?}",
        world.warnings()
    );
    assert!(matches!(world.policy().routes.unwrap().routes[0].next_hop, NextHop::Unknown(_)));

    let world = without("hub.json");
    assert!(
        world
            .policy()
            .context
            .unknown_connections
            .contains(&format!("the peering {}/virtualNetworkPeerings/hub", network()))
    );

    let world = without("spoke.json");
    let Err(found) = &world.read else { panic!("there is no subnet") };
    let told = world.told(found);
    assert!(
        told[0].starts_with("environment.toml:4:16 build_subnet the build subnet /subscriptions/S/"),
        "{told:?}"
    );
    // The parameter that names the policy: its rules and the firewall still find each other.
    let unnamed = ENVIRONMENT.replace("parameters = { policyName = \"fwp-hub\" }", "");
    let policy = World::of(("environment.toml", &unnamed), &FILES).policy();
    assert_eq!(policy.firewall.unwrap().policy.groups().len(), 1);
}

#[test]
fn a_group_that_no_document_describes_may_do_anything() {
    let spoke = SPOKE
        .replace("networkSecurityGroups/nsg\",\n   \"name\"", "networkSecurityGroups/other\",\n   \"name\"");
    let files = [FILES[0], ("spoke.json", spoke.as_str()), FILES[2]];
    let world = World::of(("environment.toml", ENVIRONMENT), &files);
    assert!(world.warnings()[0].contains("networkSecurityGroups/nsg is in none of the documents"));
    let policy = world.policy();
    assert_ne!(policy.decide(&tls("www.example.org")).verdict, Verdict::Allowed);
    let told = policy.subnet_nsg.unwrap().rules()[0].source[0].to_string();
    assert!(told.ends_with("networkSecurityGroups/nsg, which no document describes"), "{told}");
}

#[test]
fn parameters_come_from_a_file_too_and_the_environment_wins() {
    let environment = r#"
[[source]]
kind = "arm-template"
file = "t.json"
parameters_file = "p.json"
parameters = { b = "mine" }
"#;
    let template = r#"{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
      "parameters": {"a": {"type": "string"}, "b": {"type": "string"}}, "resources": [
      {"type": "Microsoft.Network/networkSecurityGroups", "name": "[concat(parameters('A'), '-', parameters('b'))]"}]}"#;
    let parameters = r#"{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
      "parameters": {"a": {"value": "theirs"}, "b": {"value": "theirs"}}}"#;
    let world = World::of(("e.toml", environment), &[("t.json", template), ("p.json", parameters)]);
    assert_eq!(world.policy().subnet_nsg.unwrap().name(), "theirs-mine");
}

#[test]
fn two_documents_that_differ_leave_the_value_open_and_say_so() {
    let rule = |port: &str| {
        format!(
            r#"{{"type": "Microsoft.Network/networkSecurityGroups", "name": "nsg", "securityRules": [{{"name": "web",
            "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*",
            "destinationPortRange": "{port}", "access": "Deny", "priority": 100, "direction": "Outbound"}}]}}"#
        )
    };
    let environment = "[[source]]\nkind = \"resources\"\nfile = \"a.json\"\n[[source]]\nkind = \"snapshot\"\nfile = \"b.json\"\n";
    let (a, b) = (rule("443"), rule("80"));
    let world = World::of(("e.toml", environment), &[("a.json", &a), ("b.json", &b)]);
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("a.json:3:"), "{warnings:?}");
    assert!(
        warnings[0].contains("nsg/web.destinationPortRanges is one thing here and another at b.json:3:"),
        "{warnings:?}"
    );
    assert_eq!(world.policy().decide(&tls("www.example.org")).verdict, Verdict::Undecided);
    let same = World::of(("e.toml", environment), &[("a.json", &a), ("b.json", &a)]);
    assert_eq!(same.warnings(), Vec::<String>::new());
    assert_eq!(same.policy().decide(&tls("www.example.org")).verdict, Verdict::Denied);
}

#[test]
fn errors_of_an_environment_file_are_all_found() {
    let text = "buildsubnet = 3\nlocation = 4\n[[source]]\nkind = \"resource\"\nfile = 5\n[[source]]\nkind = \"snapshot\"\nparameters = 1\nruntime = { x = {} }\n";
    let world = World::of(("environment.toml", text), &[]);
    let Err(found) = &world.read else { panic!("it is all wrong") };
    let lines: Vec<_> = found
        .iter()
        .map(|found| {
            let (text, found) = world.inventory.sources().localize(found).unwrap();
            (text.position(found.span.start).line, found.code)
        })
        .collect();
    assert_eq!(
        lines,
        [
            (1, "unknown-field"),
            (2, "wrong-type"),
            (4, "bad-value"),
            (5, "wrong-type"),
            (6, "missing-field"),
            (8, "wrong-type"),
            (9, "resource-id"),
        ]
    );
    let files = [("a.json", "[]")];
    let wrong = World::of(("e.toml", "[[source]]\nkind = \"terraform-plan\"\nfile = \"a.json\"\n"), &files);
    let Err(found) = &wrong.read else { panic!("it is no plan") };
    assert_eq!(wrong.told(found), ["a.json:1:1  this is a document of resources"]);
}
