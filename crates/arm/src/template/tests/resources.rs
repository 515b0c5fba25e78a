//! Resources: loops, conditions, children, nested deployments, references.

use super::{compact, errors, opened, resource, template};

#[test]
fn loops_make_resources_properties_and_variables() {
    let inventory = template(
        r#""variables": {"copy": [{"name": "ports", "count": 2, "input": "[add(443, copyIndex('ports'))]"}]},
        "resources": [{"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2024-01-01",
          "name": "[concat('nsg-', copyIndex(1))]", "copy": {"name": "groups", "count": 2, "mode": "Serial", "batchSize": 1},
          "properties": {"copy": [{"name": "securityRules", "count": "[length(variables('ports'))]", "input": {
            "name": "[format('r{0}-{1}', copyIndex('groups'), copyIndex('securityRules', 1))]",
            "properties": {"priority": "[add(100, copyIndex('securityRules'))]",
              "destinationPortRange": "[string(variables('ports')[copyIndex('securityRules')])]"}}}]}}]"#,
    );
    assert_eq!(errors(&inventory), [""; 0]);
    let rule = resource(&inventory, "Microsoft.Network/networkSecurityGroups/nsg-2/securityRules/r1-2");
    assert_eq!(compact(rule.value.get("destinationPortRanges").expect("ports")), "[\"444\"]");
    assert_eq!(inventory.of_type("Microsoft.Network/networkSecurityGroups/securityRules").count(), 4);
    // The rule points to the body of the loop.
    assert_eq!(inventory.sources().place(rule.value.span), "main.json:4:111");
}

#[test]
fn a_loop_of_a_million_is_refused() {
    let inventory = template(
        r#""resources": [{"type": "A.B/c", "apiVersion": "1", "name": "x", "copy": {"name": "l", "count": 1000000}}]"#,
    );
    assert_eq!(errors(&inventory), ["main.json:1:220 copy-count the loop is to turn 1000000 times"]);
}

#[test]
fn hub_and_spoke_refer_to_each_other() {
    let environment = "subscription = \"s\"\n[[source]]\nkind = \"arm-template\"\nfile = \"hub.json\"\nresource_group = \"hub\"\n\
        [[source]]\nkind = \"arm-template\"\nfile = \"spoke.json\"\nresource_group = \"spoke\"\n[source.runtime]\n\
        \"/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/azureFirewalls/fw\" = \
        { ipConfigurations = [ { properties = { privateIPAddress = \"10.200.0.4\" } } ] }\n";
    let hub = r#"{"$schema": "deploymentTemplate.json#", "resources": [
        {"type": "Microsoft.Network/ipGroups", "apiVersion": "1", "name": "builders", "properties": {"ipAddresses": [
          "[reference(resourceId('spoke', 'Microsoft.Network/virtualNetworks/subnets', 'v', 'build'), '1').addressPrefix]"]}},
        {"type": "Microsoft.Network/azureFirewalls", "apiVersion": "1", "name": "fw",
         "properties": {"ipConfigurations": [{"name": "ip", "properties": {}}]}}]}"#;
    let spoke = r#"{"$schema": "deploymentTemplate.json#", "resources": [
        {"type": "Microsoft.Network/routeTables", "apiVersion": "1", "name": "rt", "properties": {"routes": [{"name": "all",
          "properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress":
            "[reference(resourceId('hub', 'Microsoft.Network/azureFirewalls', 'fw'), '1').ipConfigurations[0].properties.privateIpAddress]"}}]}},
        {"type": "Microsoft.Network/virtualNetworks", "apiVersion": "1", "name": "v", "properties": {"subnets": [
          {"name": "build", "properties": {"addressPrefix": "[cidrSubnet('10.241.0.0/24', 28, 1)]"}}]}}]}"#;
    let inventory = opened(&[("environment.toml", environment), ("hub.json", hub), ("spoke.json", spoke)]);
    assert_eq!(inventory.findings(), []);
    let of_type = |kind: &str| inventory.of_type(kind).next().expect(kind).value.clone();
    let group = of_type("Microsoft.Network/ipGroups");
    assert_eq!(compact(group.get("ipAddresses").expect("addresses")), "[\"10.241.0.16/28\"]");
    let route = of_type("Microsoft.Network/routeTables/routes");
    assert_eq!(compact(route.get("nextHopIpAddress").expect("a hop")), "\"10.200.0.4\"");
}
