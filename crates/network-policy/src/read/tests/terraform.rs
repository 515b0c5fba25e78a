//! Resources of a Terraform plan that belong to others, by ids which only the configuration tells.

use super::*;

/// A plan of resources `(type, values, what its fields refer to)`, all called `x`; fields that refer are not known yet.
fn plan(resources: &[(&str, &str, &[(&str, &str)])]) -> String {
    let (mut planned, mut changes, mut configured) = (Vec::new(), Vec::new(), Vec::new());
    for (kind, values, references) in resources {
        let address = format!("{kind}.x");
        planned.push(format!(r#"{{"address": "{address}", "type": "{kind}", "values": {{{values}}}}}"#));
        let open: Vec<_> = references.iter().map(|(field, _)| format!(r#""{field}": true"#)).collect();
        changes.push(format!(
            r#"{{"address": "{address}", "change": {{"after_unknown": {{"id": true{}}}}}}}"#,
            open.iter().map(|one| format!(", {one}")).collect::<String>()
        ));
        let to = references
            .iter()
            .map(|(field, to)| format!(r#""{field}": {{"references": ["{to}.x.id", "{to}.x"]}}"#));
        configured.push(format!(
            r#"{{"address": "{address}", "expressions": {{{}}}}}"#,
            to.collect::<Vec<_>>().join(", ")
        ));
    }
    format!(
        r#"{{"format_version": "1.2", "planned_values": {{"root_module": {{"resources": [{}]}}}},
        "resource_changes": [{}], "configuration": {{"root_module": {{"resources": [{}]}}}}}}"#,
        planned.join(", "),
        changes.join(", "),
        configured.join(", ")
    )
}

const NETWORK: (&str, &str, &[(&str, &str)]) = (
    "azurerm_virtual_network",
    r#""name": "v", "resource_group_name": "rg", "address_space": ["10.1.0.0/16"]"#,
    &[],
);

/// A rule four steps below what has a name of its own.
#[test]
fn security_admin_rules_of_a_plan_are_read() {
    let rule = r#""name": "no-ssh", "action": "Deny", "direction": "Inbound", "priority": 10, "protocol": "Tcp",
        "source_port_ranges": ["0-65535"], "destination_port_ranges": ["22"],
        "source": [{"address_prefix": "Internet", "address_prefix_type": "ServiceTag"}],
        "destination": [{"address_prefix": "*", "address_prefix_type": "IPPrefix"}]"#;
    let of = |rule: &str, groups: &str| {
        let collection = format!(r#""name": "rc"{groups}"#);
        plan(&[
            NETWORK,
            ("azurerm_network_manager", r#""name": "m", "resource_group_name": "rg""#, &[]),
            (
                "azurerm_network_manager_admin_rule",
                rule,
                &[("admin_rule_collection_id", "azurerm_network_manager_admin_rule_collection")],
            ),
            (
                "azurerm_network_manager_admin_rule_collection",
                &collection,
                &[(
                    "security_admin_configuration_id",
                    "azurerm_network_manager_security_admin_configuration",
                )],
            ),
            (
                "azurerm_network_manager_security_admin_configuration",
                r#""name": "c""#,
                &[("network_manager_id", "azurerm_network_manager")],
            ),
            (
                "azurerm_network_manager_network_group",
                r#""name": "g""#,
                &[("network_manager_id", "azurerm_network_manager")],
            ),
            (
                "azurerm_network_manager_static_member",
                r#""name": "sm", "target_virtual_network_id": "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v""#,
                &[("network_group_id", "azurerm_network_manager_network_group")],
            ),
        ])
    };
    let group = r#", "network_group_ids": ["/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Network/networkManagers/m/networkGroups/g"]"#;
    let read = |text: &str| {
        let environment = "subscription = '00000000-0000-0000-0000-000000000000'\n[[source]]\nkind = 'terraform-plan'\nfile = 'p.json'\n";
        World::of(("e.toml", environment), &[("p.json", text)]).policy().admin
    };
    let known = read(&of(rule, group));
    assert_eq!(known.len(), 1, "{known:?}");
    assert_eq!((known[0].name.as_str(), known[0].priority), ("no-ssh", 10));
    assert!(known[0].resource.ends_with("/ruleCollections/rc"), "{}", known[0].resource);
    assert_eq!(known[0].action, crate::AdminAction::Deny);
    assert_eq!(known[0].source, [Address::Tag(crate::ServiceTag::Internet)]);
    assert_eq!(known[0].destination, [Address::Any]);
    assert_eq!(known[0].destination_ports, [crate::PortRange::single(22)]);
    // Whether it applies to the network is not said without a group, nor what a rule without ports is about.
    let silent = rule.replace(r#""destination_port_ranges": ["22"],"#, r#""destination_port_ranges": null,"#);
    for text in [of(rule, ""), of(&silent, group)] {
        let open = read(&text);
        assert!(matches!(open[0].source[..], [Address::IpGroup(_)]), "{open:?}");
    }
}

#[test]
fn addresses_that_a_plan_adds_to_an_ip_group_belong_to_it() {
    let firewall = |source: &str| {
        format!(
            r#""name": "fw", "resource_group_name": "rg", "priority": 200, "azure_firewall_name": "fw", "action": "Allow",
            "rule": [{{"name": "web", "source_ip_groups": ["{source}"], "destination_addresses": ["*"],
            "destination_ports": ["443"], "protocols": ["TCP"]}}]"#
        )
    };
    let id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Network/ipGroups/builders";
    let rules = firewall(id);
    let added = format!(r#""cidr": "10.1.0.0/28", "ip_group_id": "{id}""#);
    let group = (
        "azurerm_ip_group",
        r#""name": "builders", "resource_group_name": "rg", "cidrs": ["10.9.0.0/16"]"#,
        &[] as &[_],
    );
    let firewall = ("azurerm_firewall", r#""name": "fw", "resource_group_name": "rg""#, &[] as &[_]);
    let collection = ("azurerm_firewall_network_rule_collection", rules.as_str(), &[] as &[_]);
    let by_reference =
        ("azurerm_ip_group_cidr", r#""cidr": "10.1.0.0/28""#, &[("ip_group_id", "azurerm_ip_group")] as &[_]);
    let by_id = ("azurerm_ip_group_cidr", added.as_str(), &[] as &[_]);
    let sources = |resources: &[_]| {
        let environment = "subscription = '00000000-0000-0000-0000-000000000000'\n[[source]]\nkind = 'terraform-plan'\nfile = 'p.json'\n";
        let policy = World::of(("e.toml", environment), &[("p.json", &plan(resources))]).policy();
        let firewall = policy.firewall.unwrap();
        let rule = firewall.policy.rules().next().unwrap().0.clone();
        let [source, _] = rule.addresses();
        source.to_vec()
    };
    let both = ["10.1.0.0/28", "10.9.0.0/16"].map(|text| Address::parse(text).unwrap());
    assert_eq!(sources(&[NETWORK, firewall, collection, group, by_reference]), both);
    assert_eq!(sources(&[NETWORK, firewall, collection, by_id, group]), both);
    // Where the plan does not make the group, it may hold more.
    let open = sources(&[NETWORK, firewall, collection, by_id]);
    assert!(matches!(&open[..], [one, Address::IpGroup(_)] if *one == both[0]), "{open:?}");
}
