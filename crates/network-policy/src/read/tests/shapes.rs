//! One network, in every shape that it comes in.

use super::*;

pub(super) const RULE: &str = r#""protocol": "TCP", "sourceAddressPrefix": "VirtualNetwork", "sourcePortRange": "*",
    "destinationAddressPrefix": "", "destinationAddressPrefixes": ["INTERNET"],
    "destinationPortRange": null, "destinationPortRanges": ["443", "80"],
    "access": "allow", "priority": "100", "direction": "outbound""#;

/// One group in every wrapping; all mean the same.
#[test]
fn every_shape_of_a_group_reads_the_same() {
    let nested = format!(
        r#"{{"name": "nsg", "type": "Microsoft.Network/networkSecurityGroups",
        "properties": {{"securityRules": [{{"name": "web", "properties": {{{RULE}}}}}]}}}}"#
    );
    let flat = format!(
        r#"{{"name": "nsg", "securityRules": [{{"name": "web", {RULE}}}], "defaultSecurityRules": []}}"#
    );
    let pascal = format!(r#"{{"Name": "nsg", "SecurityRules": [{{"Name": "web", {RULE}}}]}}"#);
    let schema =
        r#""$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#""#;
    let child = format!(
        r#"{{"name": "nsg", "type": "Microsoft.Network/networkSecurityGroups", "properties": {{}}}},
        {{"name": "nsg/web", "type": "Microsoft.Network/networkSecurityGroups/securityRules", "properties": {{{RULE}}}}}"#
    );
    let inner = format!(
        r#"{{"name": "nsg", "type": "Microsoft.Network/networkSecurityGroups", "properties": {{}},
        "resources": [{{"name": "web", "type": "securityRules", "properties": {{{RULE}}}}}]}}"#
    );
    let expected = described(&nested);
    assert_eq!(expected.subnet_nsg.as_ref().unwrap().rules().len(), 7);
    for text in [
        format!("[{nested}]"),
        format!(r#"{{"value": [{nested}]}}"#),
        flat,
        pascal,
        format!(r#"{{{schema}, "resources": [{nested}]}}"#),
        format!(r#"{{{schema}, "languageVersion": "2.0", "resources": {{"group": {nested}}}}}"#),
        format!("[{child}]"),
        format!(r#"{{{schema}, "resources": [{inner}]}}"#),
    ] {
        assert_eq!(Some(&described(&text)), Some(&expected), "{text}");
    }
    assert_eq!(
        decided(&expected, &tls("www.example.org")),
        (Verdict::Allowed, Layer::SubnetNsg, "web".to_owned())
    );
}

const PLAN: &str = r#"{"format_version": "1.2", "terraform_version": "1.9.0"#;

fn plan(resources: &str) -> String {
    format!(
        r#"{PLAN}", "planned_values": {{"root_module": {{"child_modules": [{{"resources": [{resources}]}}]}}}}}}"#
    )
}

/// The group as those meet it who do not write JSON by hand; all mean the same.
#[test]
fn a_group_reads_the_same_from_terraform_powershell_and_azure_itself() {
    let expected = described(&format!(r#"{{"name": "nsg", "securityRules": [{{"name": "web", {RULE}}}]}}"#));
    let rule = r#""name": "web", "priority": 100, "direction": "Outbound", "access": "Allow", "protocol": "Tcp",
        "source_port_range": "*", "source_port_ranges": [], "source_address_prefix": "VirtualNetwork",
        "source_address_prefixes": null, "destination_address_prefix": "", "destination_port_range": "",
        "destination_port_ranges": ["80", "443"], "destination_address_prefixes": ["Internet"],
        "source_application_security_group_ids": null, "destination_application_security_group_ids": []"#;
    let group = |inline: &str| {
        format!(
            r#"{{"address": "module.a.azurerm_network_security_group.g", "mode": "managed", "name": "g",
            "type": "azurerm_network_security_group", "values": {{"name": "nsg", "resource_group_name": "rg",
            "location": "eastus2", "security_rule": [{inline}], "tags": null}}}}"#
        )
    };
    let separate = format!(
        r#"{{"address": "module.a.azurerm_network_security_rule.r", "type": "azurerm_network_security_rule",
        "values": {{"network_security_group_name": "NSG", "resource_group_name": "RG", {rule}}}}}"#
    );
    let arm =
        format!(r#"{{"properties": {{"securityRules": [{{"name": "web", "properties": {{{RULE}}}}}]}}}}"#);
    let azapi = |body: &str| {
        format!(
            r#"{{"address": "azapi_resource.g", "type": "azapi_resource", "values": {{"name": "nsg",
            "type": "Microsoft.Network/networkSecurityGroups@2023-09-01", "body": {body},
            "parent_id": "/subscriptions/s/resourceGroups/rg"}}}}"#
        )
    };
    let text = format!("\"{}\"", arm.replace('"', "\\\"").replace('\n', " "));
    let powershell = r#"[{"Name": "nsg", "SecurityRulesText": "[]", "SecurityRules": [{"Name": "web", "Protocol": "Tcp",
        "SourcePortRange": ["*"], "DestinationPortRange": ["443", "80"], "SourceAddressPrefix": ["VirtualNetwork"],
        "DestinationAddressPrefix": ["Internet"], "Access": "Allow", "Priority": 100, "Direction": "Outbound",
        "SourceApplicationSecurityGroups": [], "ProvisioningState": "Succeeded"}]}]"#;
    for text in [
        plan(&group(&format!("{{{rule}}}"))),
        plan(&format!("{}, {separate}", group(""))),
        plan(&azapi(&arm)),
        plan(&azapi(&text)),
        powershell.to_owned(),
    ] {
        let rules = described(&text).subnet_nsg.unwrap().rules().to_vec();
        assert_eq!(rules, expected.subnet_nsg.as_ref().unwrap().rules(), "{text}");
    }
}

#[test]
fn what_a_plan_leaves_to_the_apply_is_open() {
    let group = r#"{"address": "azurerm_network_security_group.g", "type": "azurerm_network_security_group",
        "values": {"name": "nsg", "resource_group_name": "rg", "security_rule": [{"name": "web", "priority": 100,
        "direction": "Outbound", "access": "Deny", "protocol": "*", "source_port_range": "*",
        "source_address_prefix": "*", "destination_port_range": "*"}]}}"#;
    let text = plan(group).replace(
        "\"planned_values\"",
        r#""resource_changes": [{"address": "azurerm_network_security_group.g", "change": {"after_unknown":
           {"id": true, "security_rule": [{"destination_address_prefix": true}]}}}], "planned_values""#,
    );
    let rules = described(&text).subnet_nsg.unwrap().rules().to_vec();
    let Address::IpGroup(reason) = &rules[0].destination[0] else { panic!("{rules:?}") };
    assert!(
        reason.starts_with(
            "`azurerm_network_security_group.g.security_rule[0].destination_address_prefix`, known only"
        ),
        "{reason}"
    );
    let all = text
        .replace(r#""security_rule": [{"destination_address_prefix": true}]"#, r#""security_rule": true"#);
    assert_eq!(described(&all).decide(&tls("www.example.org")).verdict, Verdict::Undecided);
}

#[test]
fn associations_of_a_plan_find_what_the_configuration_refers_to() {
    let resources = r#"
      {"address": "azurerm_virtual_network.v", "type": "azurerm_virtual_network",
       "values": {"name": "v", "resource_group_name": "rg", "address_space": ["10.1.0.0/16"], "dns_servers": ["10.1.0.9"]}},
      {"address": "azurerm_subnet.build[0]", "type": "azurerm_subnet", "values": {"name": "build",
       "virtual_network_name": "v", "resource_group_name": "rg", "address_prefixes": ["10.1.0.0/28"],
       "service_endpoints": ["Microsoft.KeyVault"], "default_outbound_access_enabled": true}},
      {"address": "azurerm_network_security_group.g", "type": "azurerm_network_security_group",
       "values": {"name": "nsg", "resource_group_name": "rg", "security_rule": []}},
      {"address": "azurerm_subnet_network_security_group_association.a",
       "type": "azurerm_subnet_network_security_group_association", "values": {}},
      {"address": "azurerm_route_table.t", "type": "azurerm_route_table",
       "values": {"name": "t", "resource_group_name": "rg", "route": []}},
      {"address": "azurerm_subnet_route_table_association.b", "type": "azurerm_subnet_route_table_association", "values": {}}"#;
    let unknown = |address: &str, field: &str| {
        format!(
            r#"{{"address": "{address}", "change": {{"after_unknown": {{"subnet_id": true, "{field}": true}}}}}}"#
        )
    };
    let refers = |address: &str, field: &str, to: &str| {
        format!(
            r#"{{"address": "{address}", "expressions": {{"{field}": {{"references": ["{to}.id", "{to}"]}},
            "subnet_id": {{"references": ["azurerm_subnet.build[0].id", "azurerm_subnet.build[0]", "azurerm_subnet.build"]}}}}}}"#
        )
    };
    let (group, table) = ("network_security_group_id", "route_table_id");
    let (a, b) =
        ("azurerm_subnet_network_security_group_association.a", "azurerm_subnet_route_table_association.b");
    let text = format!(
        r#"{PLAN}", "planned_values": {{"root_module": {{"resources": [{resources}]}}}},
        "resource_changes": [{}, {}], "configuration": {{"root_module": {{"resources": [{}, {}]}}}}}}"#,
        unknown(a, group),
        unknown(b, table),
        refers(a, group, "azurerm_network_security_group.g"),
        refers(b, table, "azurerm_route_table.t"),
    );
    let policy = described(&text);
    assert_eq!(policy.subnet_nsg.unwrap().name(), "nsg");
    let routes = policy.routes.unwrap();
    assert_eq!((routes.name.as_str(), routes.outbound), ("t", Outbound::DefaultAccess));
    assert_eq!(routes.service_endpoints[0].service, "Microsoft.KeyVault");
    assert_eq!(policy.context.build_subnet.unwrap().to_string(), "10.1.0.0/28");
    assert_eq!(policy.context.dns_servers.len(), 1);
}

pub(super) const EFFECTIVE: &str = r#"{"value": [{"association": {"subnet": {"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/build"}},
  "networkSecurityGroup": {"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg"},
  "effectiveSecurityRules": [
   {"name": "securityRules/web", "protocol": "Tcp", "sourcePortRange": "0-65535", "sourcePortRanges": ["0-65535"],
    "destinationPortRange": "443-443", "destinationPortRanges": ["443-443"], "sourceAddressPrefix": "0.0.0.0/0",
    "sourceAddressPrefixes": ["0.0.0.0/0"], "destinationAddressPrefix": "Storage", "destinationAddressPrefixes": ["Storage"],
    "expandedSourceAddressPrefix": null, "expandedDestinationAddressPrefix": ["20.60.0.0/16"],
    "access": "Allow", "priority": 100, "direction": "Outbound"},
   {"name": "defaultSecurityRules/DenyAllOutBound", "protocol": "All", "sourcePortRange": "0-65535",
    "destinationPortRange": "0-65535", "sourceAddressPrefix": "0.0.0.0/0", "destinationAddressPrefix": "0.0.0.0/0",
    "access": "Deny", "priority": 65500, "direction": "Outbound"}], "tagMap": {}}]}"#;

fn tcp(address: &str) -> Flow {
    Flow { destination: Destination::Address(address.parse().unwrap()), application: None, ..tls("x") }
}

#[test]
fn effective_rules_mean_what_azure_expanded_them_to() {
    let wrapped = World::of(("network.json", EFFECTIVE), &[]).policy();
    let array = EFFECTIVE.strip_prefix("{\"value\": ").unwrap().strip_suffix('}').unwrap();
    // Get-AzEffectiveNetworkSecurityGroup | ConvertTo-Json
    let mut pascal = String::new();
    let mut at_name = false;
    for (index, c) in array.char_indices() {
        let is_key = at_name && array[index..].split('"').nth(1).is_some_and(|rest| rest.starts_with(':'));
        pascal.push(if is_key { c.to_ascii_uppercase() } else { c });
        at_name = c == '"';
    }
    assert!(pascal.contains("\"EffectiveSecurityRules\""));
    for policy in [wrapped, described(array), described(&pascal)] {
        let nsg = policy.subnet_nsg.as_ref().unwrap();
        assert!(nsg.name().ends_with("networkSecurityGroups/nsg"));
        assert_eq!(nsg.rules().len(), 2, "nothing is added to what is in effect");
        assert_eq!(decided(&policy, &tcp("20.60.0.1")), (Verdict::Allowed, Layer::SubnetNsg, "web".into()));
        assert_eq!(decided(&policy, &tcp("20.61.0.1")).2, "DenyAllOutBound");
    }
}

#[test]
fn effective_routes_are_all_there_are() {
    let text = r#"{"value": [
      {"source": "Default", "state": "Active", "addressPrefix": ["10.1.0.0/16"], "nextHopType": "VnetLocal", "nextHopIpAddress": []},
      {"source": "Default", "state": "Invalid", "addressPrefix": ["0.0.0.0/0"], "nextHopType": "Internet", "nextHopIpAddress": []},
      {"source": "User", "state": "Active", "addressPrefix": ["0.0.0.0/0"], "nextHopType": "VirtualAppliance",
       "nextHopIpAddress": ["10.2.0.4"], "name": "out"},
      {"source": "Default", "state": "Active", "addressPrefix": ["10.2.0.0/16"], "nextHopType": "VNetPeering"},
      {"source": "VirtualNetworkGateway", "state": "Active", "addressPrefix": ["172.16.0.0/16"], "nextHopType": "VirtualNetworkGateway",
       "nextHopIpAddress": ["10.2.1.4"]}]}"#;
    let policy = described(text);
    let routes = policy.routes.unwrap();
    assert!(routes.effective);
    assert_eq!(routes.routes.len(), 4);
    assert_eq!(routes.routes[1].next_hop, NextHop::Appliance(Some("10.2.0.4".parse().unwrap())));
    let shown = |prefixes: &[ipnet::IpNet]| prefixes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&policy.context.virtual_network), ["10.1.0.0/16"]);
    assert_eq!(shown(&policy.context.peered), ["10.2.0.0/16"]);
    assert_eq!(shown(&policy.context.gateway), ["172.16.0.0/16"]);
}

#[test]
fn expressions_of_a_template_leave_only_their_values_open() {
    let template = |prefix: &str, extra: &str| {
        format!(
            r#"{{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "parameters": {{"prefix": {{"type": "string"}}, "group": {{"type": "string"}}}}, "resources": [
            {{"type": "Microsoft.Network/networkSecurityGroups", "name": "[parameters('group')]", "properties": {{
              "securityRules": [{{"name": "web", "properties": {{"protocol": "Tcp", "sourceAddressPrefix": "*",
              "sourcePortRange": "*", "destinationAddressPrefix": "{prefix}", "destinationPortRange": "443",
              "access": "Deny", "priority": 100, "direction": "Outbound"}}}}]}}}}{extra}]}}"#
        )
    };
    let decided = |text: &str, port| described(text).decide(&Flow { port, ..tls("www.example.org") }).verdict;
    let literal = template("*", "");
    assert_eq!((decided(&literal, 443), decided(&literal, 80)), (Verdict::Denied, Verdict::Allowed));
    let open = template("[parameters('prefix')]", "");
    assert_eq!((decided(&open, 443), decided(&open, 80)), (Verdict::Undecided, Verdict::Allowed));
    // A rule whose condition is not known, a rule of a group that is not known, a rule made by a loop of unknown length.
    for extra in [
        r#""name": "[concat(parameters('group'), '/all')]", "condition": "[equals(parameters('prefix'), 'x')]""#,
        r#""name": "[format('{0}/all', guid(parameters('group')))]""#,
        r#""name": "[concat(parameters('prefix'), '/all')]""#,
        r#""name": "nsg/all""#,
        r#""name": "[concat(parameters('group'), '/all')]", "copy": {"name": "rules", "count": "[length(parameters('prefix'))]"}"#,
    ] {
        let extra = format!(
            r#",{{"type": "Microsoft.Network/networkSecurityGroups/securityRules", {extra},
            "properties": {{"protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*", "access": "Deny",
            "destinationAddressPrefix": "*", "destinationPortRange": "*", "priority": 90, "direction": "Outbound"}}}}"#
        );
        let text =
            template("[parameters('prefix')]", &extra.replace("\"priority\": 90", "\"priority\": 190"));
        assert_eq!(decided(&text, 80), Verdict::Undecided, "{text}");
    }
    let nowhere = r#",{"type": "Microsoft.Network/networkSecurityGroups/securityRules", "condition": false,
        "name": "[concat(parameters('group'), '/all')]"}"#;
    assert_eq!(decided(&template("*", nowhere), 80), Verdict::Allowed);
}

#[test]
fn security_admin_rules_apply_where_the_documents_say_so() {
    let manager = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkManagers/m";
    let network = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v";
    let collection = format!("{manager}/securityAdminConfigurations/c/ruleCollections/rc");
    let rules = format!(
        r#"{{"id": "{collection}", "name": "rc", "properties": {{"appliesToGroups": [{{"networkGroupId": "{manager}/networkGroups/g"}}]}}}},
        {{"id": "{collection}/rules/no-ssh", "name": "no-ssh", "kind": "Custom", "properties": {{"protocol": "Tcp",
          "direction": "Inbound", "access": "Deny", "priority": 10, "sourcePortRanges": ["0-65535"],
          "destinationPortRanges": ["22"], "sources": [{{"addressPrefix": "Internet", "addressPrefixType": "ServiceTag"}}],
          "destinations": [{{"addressPrefix": "*", "addressPrefixType": "IPPrefix"}}]}}}},
        {{"id": "{network}", "name": "v", "properties": {{"addressSpace": {{"addressPrefixes": ["10.1.0.0/16"]}}}}}}"#
    );
    let member = format!(
        r#",{{"id": "{manager}/networkGroups/g/staticMembers/x", "name": "x", "properties": {{"resourceId": "{network}"}}}}"#
    );
    let known = described(&format!("[{rules}{member}]")).admin;
    assert_eq!((known.len(), known[0].resource.as_str()), (1, collection.as_str()));
    assert_eq!(known[0].source, [Address::Tag(crate::ServiceTag::Internet)]);
    let open = described(&format!("[{rules}]")).admin;
    assert!(matches!(open[0].source[..], [Address::IpGroup(_)]), "{open:?}");
}

/// What 1,974 published rules hold that no sample shows.
#[test]
fn rules_as_people_write_them() {
    let rule = |name: &str, more: &str| {
        format!(
            r#"{{"name": "{name}", "properties": {{"protocol": "TCP", "sourcePortRange": "*", "access": "allow",
            "direction": "inbound", "destinationPortRange": "22", {more}}}}}"#
        )
    };
    let any = r#""destinationAddressPrefix": "*""#;
    let text = format!(
        r#"{{"name": "nsg", "securityRules": [{}]}}"#,
        [
            rule("text-priority", &format!(r#""priority": "100", "sourceAddressPrefix": "INTERNET", {any}"#)),
            rule("bare", &format!(r#""priority": 110, "sourceAddressPrefix": "203.0.113.7", {any}"#)),
            rule("tag", &format!(r#""priority": 120, "sourceAddressPrefix": "CorpNetSaw", {any}"#)),
            rule(
                "both",
                &format!(r#""priority": 130, "sourceAddressPrefix": "10.1.0.0/16", "sourceAddressPrefixes": ["10.2.0.0/16"], {any}"#)
            ),
            rule(
                "plural",
                r#""priority": 140, "sourceAddressPrefix": "", "sourceAddressPrefixes": ["10.3.0.0/16"],
                   "destinationAddressPrefix": null, "destinationAddressPrefixes": ["10.4.0.0/16"]"#
            ),
            rule(
                "asg",
                r#""priority": 150, "sourceApplicationSecurityGroups": [{"id": "/x/asg"}], "sourceAddressPrefixes": [],
                   "destinationAddressPrefix": "VIRTUAL_NETWORK""#
            ),
        ]
        .join(",")
    );
    let rules = described(&text).subnet_nsg.unwrap().rules().to_vec();
    let shown = |list: &[Address]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let told: Vec<_> = rules[..6]
        .iter()
        .map(|rule| {
            assert_eq!((rule.direction, rule.access), (Direction::Inbound, crate::Access::Allow));
            format!("{} {} {} -> {}", rule.priority, rule.name, shown(&rule.source), shown(&rule.destination))
        })
        .collect();
    assert_eq!(
        told,
        [
            "100 text-priority Internet -> *",
            "110 bare 203.0.113.7 -> *",
            "120 tag CorpNetSaw -> *",
            "130 both 10.1.0.0/16 10.2.0.0/16 -> *",
            "140 plural 10.3.0.0/16 -> 10.4.0.0/16",
            "150 asg /x/asg -> VirtualNetwork",
        ]
    );
    // A tag that no file knows is neither nothing nor everything.
    let unknown = Flow {
        direction: Direction::Inbound,
        source: "198.51.100.1".parse().unwrap(),
        destination: Destination::Address("10.0.0.4".parse().unwrap()),
        port: 22,
        application: None,
        ..tls("x")
    };
    let only_tag = described(&text.replace("INTERNET", "10.9.9.9"));
    assert_eq!(only_tag.decide(&unknown).verdict, Verdict::Undecided);
}

/// `az group export` tells a rule inside its group and beside it, by parameters with defaults.
#[test]
fn an_export_tells_everything_twice_and_means_it_once() {
    let text = format!(
        r#"{{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {{"networkSecurityGroups_nsg_name": {{"defaultValue": "nsg", "type": "String"}},
                        "virtualNetworks_v_name": {{"defaultValue": "v", "type": "String"}}}},
        "variables": {{}}, "resources": [
        {{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2023-09-01",
          "name": "[parameters('networkSecurityGroups_nsg_name')]", "location": "eastus2",
          "dependsOn": ["[resourceId('Microsoft.Network/networkSecurityGroups/securityRules', parameters('networkSecurityGroups_nsg_name'), 'web')]"],
          "properties": {{"securityRules": [{{"name": "web",
            "id": "[resourceId('Microsoft.Network/networkSecurityGroups/securityRules', parameters('networkSecurityGroups_nsg_name'), 'web')]",
            "type": "Microsoft.Network/networkSecurityGroups/securityRules", "properties": {{{RULE}}}}}]}}}},
        {{"type": "Microsoft.Network/networkSecurityGroups/securityRules", "apiVersion": "2023-09-01",
          "name": "[concat(parameters('networkSecurityGroups_nsg_name'), '/web')]", "properties": {{{RULE}}}}},
        {{"type": "Microsoft.Network/virtualNetworks", "apiVersion": "2023-09-01", "name": "[parameters('virtualNetworks_v_name')]",
          "properties": {{"addressSpace": {{"addressPrefixes": ["10.1.0.0/16"]}}, "virtualNetworkPeerings": [],
            "subnets": [{{"name": "build",
              "id": "[resourceId('Microsoft.Network/virtualNetworks/subnets', parameters('virtualNetworks_v_name'), 'build')]",
              "properties": {{"addressPrefix": "10.1.0.0/28", "networkSecurityGroup":
                {{"id": "[resourceId('Microsoft.Network/networkSecurityGroups', parameters('networkSecurityGroups_nsg_name'))]"}}}}}}]}}}},
        {{"type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "2023-09-01",
          "name": "[concat(parameters('virtualNetworks_v_name'), '/build')]",
          "properties": {{"addressPrefixes": ["10.1.0.0/28"], "networkSecurityGroup":
            {{"id": "[resourceId('Microsoft.Network/networkSecurityGroups', parameters('networkSecurityGroups_nsg_name'))]"}}}}}}]}}"#
    );
    let world = World::of(("network.json", &text), &[]);
    assert_eq!(world.warnings(), Vec::<String>::new());
    let policy = world.policy();
    let alone = described(&format!(r#"{{"name": "nsg", "securityRules": [{{"name": "web", {RULE}}}]}}"#));
    assert_eq!(policy.subnet_nsg, alone.subnet_nsg);
    assert_eq!(policy.context.build_subnet.unwrap().to_string(), "10.1.0.0/28");
}

#[test]
fn every_error_of_a_group_stands_at_its_place() {
    let text = r#"{"name": "nsg", "securityRules": [
 {"name": "a", "protocol": "Tpc", "sourceAddressPrefix": "10.0.0.5/24", "sourcePortRange": "*",
  "destinationAddressPrefix": "*", "destinationPortRange": "90-80", "access": "Permit", "priority": 100,
  "direction": "Outbound"},
 {"name": "b", "protocol": "*", "sourceAddressPrefixes": [], "sourcePortRange": "*",
  "destinationAddressPrefix": "[parameters('x')]", "destinationPortRange": "*", "access": "Deny", "priority": 110,
  "direction": "Outbound"},
 {"name": "c", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
  "destinationAddressPrefix": "*", "destinationPortRange": "*", "access": "Deny", "priority": 5,
  "direction": "Outbound"},
 {"name": "d", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
  "destinationAddressPrefix": "*", "destinationPortRange": "*", "access": "Deny", "priority": 200,
  "direction": "Outbound"},
 {"name": "D", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
  "destinationAddressPrefix": "*", "destinationPortRange": "*", "access": "Deny", "priority": 200,
  "direction": "Outbound"}
]}"#;
    assert_eq!(
        complaints(text),
        [
            "2:28 nsg/a.protocol `Tpc` is not allowed",
            "2:58 nsg/a.sourceAddressPrefixes[0] '10.0.0.5/24' has host bits set; the network is 10.0.0.0/24",
            "3:60 nsg/a.destinationPortRanges[0] '90-80' is not '*', a port or a range from a lower to a higher port",
            "3:79 nsg/a.access `Permit` is not allowed",
            "5:2 nsg/b the rule names no source address",
            "9:95 nsg/c.priority security rule 'c': priority 5 is outside 100 to 4096",
            "14:11 nsg/D `D` is given twice in `securityRules`",
            "14:11 nsg/D (item 4).name security rule 'D': the name is used twice",
            "15:95 nsg/D (item 4).priority security rule 'D': rule 'd' of the same direction already has priority 200",
        ]
    );
}

#[test]
fn a_priority_may_serve_both_directions() {
    let outbound = format!(r#"{{"name": "a", {RULE}}}"#);
    let inbound = outbound.replace("outbound", "Inbound").replace("\"a\"", "\"b\"");
    let group = format!(r#"{{"name": "nsg", "securityRules": [{outbound}, {inbound}]}}"#);
    assert_eq!(described(&group).subnet_nsg.unwrap().rules().len(), 8);
}

#[test]
fn a_rule_that_is_wrong_elsewhere_is_told_its_priority_too() {
    let text = r#"{"name": "nsg", "securityRules": [{"name": "web", "priority": 5, "direction": "Outbound",
        "access": "Allow", "protocol": "Tpc", "sourcePortRange": "*", "sourceAddressPrefix": "*",
        "destinationPortRange": "443", "destinationAddressPrefix": "*"}]}"#;
    let told = complaints(text);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|one| one.contains("priority 5") || one.contains("100 to 4096")), "{told:?}");
    assert!(told.iter().any(|one| one.contains("`Tpc` is not allowed")), "{told:?}");
}
