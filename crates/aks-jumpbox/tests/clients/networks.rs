//! Virtual networks, subnets, network security groups and what joins them.

use serde_json::{Value, json};

use crate::story::{Az, Story, az_story};

#[test]
fn networks_are_made_joined_listed_and_kept_while_they_are_used() {
    az_story(|_, az| {
        az.line("group create -n net -l eastus2");
        az.line("network vnet create -g net -n hub --address-prefixes 10.0.0.0/16");
        az.line("network nsg create -g net -n builds");
        az.line(
            "network nsg rule create -g net --nsg-name builds -n https --priority 100 --direction Outbound --access Allow \
             --protocol Tcp --destination-port-ranges 443",
        );
        az.refused(
            "network nsg rule create -g net --nsg-name builds -n again --priority 100 --direction Outbound --access Deny \
             --protocol * --destination-port-ranges *",
            "SecurityRuleConflict",
        );
        let rules = az.line(
            "network nsg rule list -g net --nsg-name builds --query [].[name,access,destinationPortRange]",
        );
        assert_eq!(rules, json!([["https", "Allow", "443"]]));
        let default =
            az.line("network nsg rule list -g net --nsg-name builds --include-default --query [-1].name");
        assert_eq!(default, "DenyAllOutBound");

        az.line("network vnet subnet create -g net --vnet-name hub -n build --address-prefixes 10.0.1.0/24");
        az.refused(
            "network vnet subnet create -g net --vnet-name hub -n twin --address-prefixes 10.0.1.128/25",
            "NetcfgSubnetRangesOverlap",
        );
        az.refused(
            "network vnet subnet create -g net --vnet-name hub -n far --address-prefixes 10.1.0.0/24",
            "NetcfgSubnetRangeOutsideVnet",
        );
        az.line("network vnet subnet update -g net --vnet-name hub -n build --nsg builds");
        let subnet = az.line("network vnet subnet show -g net --vnet-name hub -n build");
        let joined = subnet["networkSecurityGroup"]["id"].as_str().expect("an NSG");
        assert!(joined.ends_with("/networkSecurityGroups/builds"), "{subnet}");
        assert_eq!(subnet["addressPrefix"], "10.0.1.0/24");

        az.refused("network nsg delete -g net -n builds", "InUseNetworkSecurityGroupCannotBeDeleted");
        assert_eq!(az.line("network vnet list -g net --query [].subnets[].name"), json!(["build"]));
        az.line("network vnet subnet update -g net --vnet-name hub -n build --remove networkSecurityGroup");
        az.line("network nsg delete -g net -n builds");
        az.refused("network nsg show -g net -n builds", "ResourceNotFound");
        az.line("network vnet delete -g net -n hub");
        assert_eq!(az.line("resource list -g net"), json!([]));
    });
}

#[test]
fn ways_out_of_a_subnet_come_back_as_they_were_sent() {
    az_story(|story, az| {
        az.line("group create -n net -l eastus2");
        az.line("network vnet create -g net -n hub --address-prefixes 10.0.0.0/16 --subnet-name build --subnet-prefixes 10.0.1.0/24");
        az.line(
            "network route-table create -g net -n routes --disable-bgp-route-propagation true --tags a=b",
        );
        let route = az.line(
            "network route-table route create -g net --route-table-name routes -n out --address-prefix 0.0.0.0/0 \
             --next-hop-type VirtualAppliance --next-hop-ip-address 10.0.2.4",
        );
        assert_eq!(
            [&route["addressPrefix"], &route["nextHopType"], &route["nextHopIpAddress"]],
            ["0.0.0.0/0", "VirtualAppliance", "10.0.2.4"]
        );
        let table = az.line("network route-table show -g net -n routes");
        assert_eq!([&table["routes"], &table["tags"]], [&json!([route]), &json!({ "a": "b" })]);
        assert_eq!(table["disableBgpRoutePropagation"], true);
        // A change of the table is no change of its routes.
        az.line("network route-table update -g net -n routes --set tags.c=d");
        assert_eq!(az.line("network route-table list -g net --query [].routes[].name"), json!(["out"]));

        az.line("network public-ip create -g net -n pip --sku Standard");
        az.line("network nat gateway create -g net -n nat --public-ip-addresses pip --idle-timeout 10");
        let nat = az.line("network nat gateway show -g net -n nat");
        assert_eq!([&nat["idleTimeoutInMinutes"], &nat["sku"]["name"]], [&json!(10), &json!("Standard")]);
        let address = az.line("network public-ip show -g net -n pip --query id");
        assert_eq!(nat["publicIpAddresses"][0]["id"], address);
        az.line("network vnet subnet update -g net --vnet-name hub -n build --nat-gateway nat --route-table routes");
        az.refused("network nat gateway delete -g net -n nat", "InUseNatGatewayCannotBeDeleted");
        az.refused("network route-table delete -g net -n routes", "InUseRouteTableCannotBeDeleted");
        firewall(story, az);
    });
}

/// What the CLI has only with an extension that is no package: sent as it is.
fn firewall(story: &Story, az: &Az<'_>) {
    let network = format!("{}/resourceGroups/net/providers/Microsoft.Network", story.subscription());
    let rest = |method: &str, path: &str, body: &Value| {
        let url = format!("{network}/{path}?api-version=2024-05-01");
        let file = format!("@{}", story.write("sent.json", &body.to_string()));
        az.line(&format!("rest --method {method} --url {url} --body {file}"))
    };
    let sent = json!({ "location": "eastus2", "properties": { "ipAddresses": ["10.0.1.0/24", "10.0.9.9"] } });
    let made = rest("put", "ipGroups/builders", &sent);
    assert_eq!(made["properties"]["ipAddresses"], sent["properties"]["ipAddresses"]);
    let sent = json!({ "location": "eastus2", "properties": { "threatIntelMode": "Deny", "sku": { "tier": "Premium" } } });
    let policy = rest("put", "firewallPolicies/policy", &sent);
    assert_eq!(policy["properties"]["threatIntelMode"], "Deny");
    let sent = json!({ "properties": { "priority": 200, "ruleCollections": [{
        "ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "allow", "priority": 100,
        "action": { "type": "Allow" },
        "rules": [{ "ruleType": "ApplicationRule", "name": "debian", "sourceIpGroups": [made["id"]],
                    "protocols": [{ "protocolType": "Https", "port": 443 }], "targetFqdns": ["packages.example.com"] }],
    }] } });
    rest("put", "firewallPolicies/policy/ruleCollectionGroups/web", &sent);
    let shown = az.line(&format!(
        "rest --url {network}/firewallPolicies/policy/ruleCollectionGroups?api-version=2024-05-01"
    ));
    assert_eq!(
        shown["value"][0]["properties"]["ruleCollections"], sent["properties"]["ruleCollections"],
        "{shown:#}"
    );

    let taken = |name: &str| json!({ "name": name, "properties": { "subnet": { "id": format!("{network}/virtualNetworks/hub/subnets/AzureFirewallSubnet") } } });
    az.line("network vnet subnet create -g net --vnet-name hub -n AzureFirewallSubnet --address-prefixes 10.0.2.0/26");
    let sent = json!({ "location": "eastus2", "properties": { "firewallPolicy": { "id": policy["id"] }, "ipConfigurations": [taken("one")] } });
    let made = rest("put", "azureFirewalls/firewall", &sent);
    assert_eq!(made["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"], "10.0.2.4");
    let usages = az.line(&format!("rest --url {network}/virtualNetworks/hub/usages?api-version=2024-05-01"));
    let usage = |subnet: &str, taken: u8, limit: u8| {
        json!({
            "currentValue": taken, "id": format!("{network}/virtualNetworks/hub/subnets/{subnet}"), "limit": limit,
            "unit": "Count", "name": { "localizedValue": "Subnet size and usage", "value": "SubnetSpace" },
        })
    };
    assert_eq!(usages["value"], json!([usage("AzureFirewallSubnet", 1, 59), usage("build", 0, 251)]));
    az.refused(
        &format!("rest --url {network}/virtualNetworks/none/usages?api-version=2024-05-01"),
        "ResourceNotFound",
    );
}
