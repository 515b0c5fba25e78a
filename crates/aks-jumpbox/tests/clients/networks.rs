//! Virtual networks, subnets, network security groups and what joins them.

use serde_json::json;

use crate::story::az_story;

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
