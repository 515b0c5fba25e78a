//! Networks that are rendered: what `check` says of them, and whether the languages say the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::program::{Answer, Place};

const WINDOWS: &str = r#"{
  "type": "Microsoft.VirtualMachineImages/imageTemplates",
  "apiVersion": "2024-02-01",
  "location": "eastus2",
  "identity": {"type": "UserAssigned", "userAssignedIdentities": {"/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi": {}}},
  "properties": {
    "source": {"type": "PlatformImage", "publisher": "MicrosoftWindowsServer", "offer": "WindowsServer", "sku": "2022-datacenter-g2", "version": "latest"},
    "customize": [{"type": "PowerShell", "name": "say", "inline": ["Write-Output hello"]}],
    "distribute": [{"type": "VHD", "runOutputName": "vhd"}]
  }
}"#;

/// The recipe's allow list has a port of each kind: TLS, HTTP and neither.
const RECIPE: &str =
    "[network]\nallow = [\"get.example.org:443\", \"deb.example.org:80\", \"git.example.org:9418\"]\n";

/// The firewall in the hub that routes lead to, with the rendered policy, and the hub, peered with the rendered network.
const HUB: &str = r#"[{
  "id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet-hub",
  "properties": {"addressSpace": {"addressPrefixes": ["10.200.0.0/24"]}}
}, {
  "id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet-hub/virtualNetworkPeerings/spoke",
  "properties": {"allowVirtualNetworkAccess": true, "remoteVirtualNetwork":
    {"id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet-imagebuilder"}}
}, {
  "id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet-imagebuilder/virtualNetworkPeerings/hub",
  "properties": {"allowVirtualNetworkAccess": true, "allowForwardedTraffic": true, "remoteVirtualNetwork":
    {"id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet-hub"}}
}, {
  "id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.Network/azureFirewalls/fw",
  "properties": {
    "firewallPolicy": {"id": "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/providers/Microsoft.Network/firewallPolicies/fwp-imagebuilder"},
    "ipConfigurations": [{"name": "ip", "properties": {"privateIPAddress": "10.200.0.4"}}]
  }
}]"#;

/// A place with a rendered network, and the environment around it.
fn rendered(arguments: &str) -> Place {
    let place = Place::new();
    place.write("jumpbox.toml", RECIPE);
    place.write("windows.json", WINDOWS);
    place.write("hub.json", HUB);
    let answer = place.run(&format!("render network {arguments}"));
    assert_eq!(answer.code, Some(0), "{answer}");
    place.write("network.json", &answer.stdout);
    let isolated = arguments.contains("isolated");
    let container = "container_subnet = \"vnet-imagebuilder/snet-imagebuilder-containers\"\n";
    let hub = "[[source]]\nkind = \"resources\"\nfile = \"hub.json\"\n";
    place.write(
        "environment.toml",
        &format!(
            "subscription = \"11111111-2222-3333-4444-555555555555\"\nlocation = \"eastus2\"\n\
             build_subnet = \"vnet-imagebuilder/snet-imagebuilder\"\n{}\
             [[source]]\nkind = \"arm-template\"\nfile = \"network.json\"\nresource_group = \"rg\"\n{}",
            if isolated { container } else { "" },
            if arguments.contains("--firewall") { hub } else { "" },
        ),
    );
    place
}

/// Ids of what `check` does not pass among the areas that a network answers for; what Azure or a template alone can tell is skipped.
fn not_passed(place: &Place, arguments: &str) -> (BTreeSet<String>, Answer) {
    const ELSEWHERE: [&str; 3] =
        ["subnet.free-addresses", "subnet.container-only", "firewall.package-archive"];
    let answer = place.run(&format!("check --environment environment.toml --format json {arguments}"));
    let findings = answer.json()["findings"].as_array().expect("findings").clone();
    let asked = |finding: &&Value| {
        let id = finding["id"].as_str().unwrap_or_default();
        let area = id.split('.').next().unwrap_or_default();
        ["subnet", "nsg", "route", "firewall"].contains(&area) && !ELSEWHERE.contains(&id)
    };
    let asked: Vec<_> = findings.iter().filter(asked).collect();
    assert!(asked.len() > 10, "{answer}");
    let id = |finding: &&&Value| finding["id"].as_str().map(str::to_owned).expect("an id");
    (asked.iter().filter(|finding| finding["status"] != "pass").map(|one| id(&one)).collect(), answer)
}

#[test]
fn what_is_rendered_passes_every_check_of_a_network() {
    for shape in ["private-link", "isolated"] {
        for template in ["", "--template windows.json"] {
            for firewall in ["", "--firewall 10.200.0.4"] {
                let what = format!("--topology {shape} {template}");
                let place = rendered(&format!("{what} {firewall}"));
                let port = if template.is_empty() { "\"22\"" } else { "\"5986\"" };
                assert!(place.read("network.json").contains(port), "{what}");
                let (open, answer) = not_passed(&place, &what);
                assert_eq!(open, BTreeSet::new(), "{what} {firewall}\n{answer}");
            }
        }
    }
}

#[test]
fn no_rule_is_there_without_need() {
    // The firewall's requirement of blob storage asks for a port that no requirement of a group asks for.
    let spared = [("isolated", "AllowEndpointsOutbound")];
    for shape in ["private-link", "isolated"] {
        let what = format!("--topology {shape}");
        let place = rendered(&what);
        place.write("jumpbox.toml", "");
        let whole: Value =
            serde_json::from_str(&place.run(&format!("render network {what}")).stdout).expect("JSON");
        let mut tried = 0;
        for (group, rule) in allowing(&whole) {
            let mut less = whole.clone();
            let rules =
                less["resources"][group]["properties"]["securityRules"].as_array_mut().expect("rules");
            let name = rules.remove(rule)["name"].as_str().expect("a name").to_owned();
            place.write("network.json", &less.to_string());
            let (open, answer) = not_passed(&place, &what);
            assert!(spared.contains(&(shape, &name)) || !open.is_empty(), "{shape} without {name}\n{answer}");
            tried += 1;
        }
        assert!(tried >= 6, "{shape}: {tried}");
    }
}

/// Places of all rules that allow: resource and rule.
fn allowing(template: &Value) -> Vec<(usize, usize)> {
    let resources = template["resources"].as_array().expect("resources");
    let rules = |of: &Value| of["properties"]["securityRules"].as_array().cloned().unwrap_or_default();
    let places = resources.iter().enumerate().flat_map(|(group, resource)| {
        let rules = rules(resource).into_iter().enumerate();
        rules.map(move |(rule, value)| (group, rule, value["properties"]["access"] == "Allow"))
    });
    places.filter(|(.., allows)| *allows).map(|(group, rule, _)| (group, rule)).collect()
}

#[test]
fn terraform_parses_refers_to_what_it_makes_and_has_the_same_rules() {
    for arguments in ["--topology isolated", "--topology private-link --firewall 10.200.0.4"] {
        let place = rendered(arguments);
        let text = place.run(&format!("render network {arguments} --language terraform")).stdout;
        let body = hcl_edit::parser::parse_body(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let (mut made, mut rules) = (BTreeSet::new(), BTreeSet::new());
        for block in body.blocks().filter(|block| block.ident.as_str() == "resource") {
            made.insert(
                block.labels.iter().map(|label| label.as_str().to_owned()).collect::<Vec<_>>().join("."),
            );
            for rule in block.body.get_blocks("security_rule") {
                let argument = |name: &str| {
                    let value = &rule.body.get_attribute(name).expect("an argument").value;
                    value.as_str().map_or_else(|| value.to_string().trim().to_owned(), str::to_owned)
                };
                rules.insert(["name", "priority", "direction", "destination_address_prefix"].map(argument));
            }
        }
        for reference in text.split_whitespace().filter(|word| word.starts_with("azurerm_")) {
            let resource = reference.rsplit_once('.').map_or(reference, |(resource, _)| resource);
            assert!(made.contains(resource), "{reference} is not among {made:?}");
        }
        let template: Value = serde_json::from_str(&place.read("network.json")).expect("JSON");
        let resources = template["resources"].as_array().expect("resources");
        let all = resources.iter().filter_map(|one| one["properties"]["securityRules"].as_array()).flatten();
        let same = all.map(|rule| {
            let field = |name: &str| rule["properties"][name].as_str().expect("a text").to_owned();
            let name = rule["name"].as_str().expect("a name").to_owned();
            let priority = rule["properties"]["priority"].to_string();
            [name, priority, field("direction"), field("destinationAddressPrefix")]
        });
        assert_eq!(rules, same.collect());
    }
}

#[test]
fn the_firewall_gets_what_the_recipe_allows_for_the_build_subnet_alone() {
    let place = rendered("--topology isolated --firewall 10.200.0.4");
    insta::assert_snapshot!(
        place.run("render firewall --topology isolated --firewall 10.200.0.4 --language bicep")
    );
    let groups = place.run("render nsg --topology isolated").json();
    let resources = groups["resources"].as_array().expect("resources");
    let types: BTreeSet<_> = resources.iter().filter_map(|one| one["type"].as_str()).collect();
    assert_eq!(types, BTreeSet::from(["Microsoft.Network/networkSecurityGroups"]));
    let managed = place.run("render network --topology managed");
    assert_eq!((managed.code, &managed.json()["resources"]), (Some(0), &json!([])), "{managed}");
}

#[test]
fn prefixes_that_do_not_fit_are_told() {
    let place = Place::new();
    for (arguments, told) in [
        ("--topology private-link --subnet 10.241.0.0/29", "has 3 usable addresses"),
        ("--subnet 10.241.0.0/30", "is too small"),
        ("--subnet 10.9.0.0/28", "is not inside the virtual network 10.241.0.0/24"),
        ("--subnet 10.241.0.0/27 --container-subnet 10.241.0.16/28", "overlap"),
        ("--virtual-network 10.241.0.0/28", "has no /28 left for the container instance subnet"),
        ("--topology private-link --container-subnet 10.241.0.16/28", "brings no subnet 10.241.0.16/28"),
        ("--firewall 10.241.0.5", "is inside the build subnet"),
        ("--subnet 10.241.0.1/28", "the network is 10.241.0.0/28"),
        ("--subnet fd00::/64", "not an IPv4 prefix"),
    ] {
        let answer = place.run(&format!("render network {arguments}"));
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{arguments}\n{answer}");
        assert!(answer.stderr.contains(told), "{arguments}\n{answer}");
    }
    let answer = place.run("render firewall");
    assert_eq!(answer.code, Some(2), "{answer}");
}
