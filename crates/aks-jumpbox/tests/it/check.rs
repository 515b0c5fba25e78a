//! Requirements against documents.

use crate::program::Place;

const NSG: &str = include_str!("../../../../docs/examples/network/nsg.json");

/// The example's group at a subnet.
pub fn place(policies: &str) -> Place {
    let place = Place::new();
    let network = format!(
        r#"{{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet",
  "location": "eastus2",
  "properties": {{
    "addressSpace": {{"addressPrefixes": ["10.241.0.0/24"]}},
    "subnets": [{{
      "name": "snet-imagebuilder",
      "properties": {{
        "addressPrefix": "10.241.0.0/28",
        "privateLinkServiceNetworkPolicies": "{policies}",
        "natGateway": {{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/natGateways/nat"}},
        "networkSecurityGroup": {{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg-imagebuilder"}}
      }}
    }}]
  }}
}}"#
    );
    place.write("network.json", &network);
    place.write("nsg.json", NSG);
    place.write(
        "environment.toml",
        "subscription = \"s\"\nlocation = \"eastus2\"\nbuild_subnet = \"vnet/snet-imagebuilder\"\n\
         [[source]]\nkind = \"resources\"\nfile = \"network.json\"\n\
         [[source]]\nkind = \"resources\"\nfile = \"nsg.json\"\nresource_group = \"rg\"\n",
    );
    place
}

#[test]
fn what_is_not_met_is_shown_with_its_place_and_its_repair() {
    insta::assert_snapshot!(place("Enabled").run("check --environment environment.toml"));
}

#[test]
fn programs_get_every_finding() {
    let answer = place("Disabled").run("check --environment environment.toml --format json");
    let json = answer.json();
    let status = |id: &str| {
        let all = json["findings"].as_array().expect("findings");
        let found = all.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("{id}"));
        found["status"].as_str().expect("a status").to_owned()
    };
    assert_eq!(status("subnet.private-link-policies"), "pass");
    assert_eq!(status("region.virtual-network"), "pass");
    assert_eq!(status("access.identity.network"), "skipped");
    assert_eq!((json["topology"].as_str(), json["verdict"].as_str()), (Some("private-link"), Some("pass")));
    assert_eq!(answer.code, Some(0), "{answer}");
    let strict = place("Disabled").run("check --environment environment.toml --strict");
    assert_eq!(strict.code, Some(3), "{strict}");
}

#[test]
fn without_documents_nothing_is_met_and_nothing_fails() {
    let place = Place::new();
    let answer = place.run("check --format json");
    let json = answer.json();
    let findings = json["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|finding| finding["status"] == "skipped"), "{answer}");
    assert_eq!(answer.code, Some(0), "{answer}");
    let wrong = place.run("check --environment nowhere.toml");
    assert_eq!(wrong.code, Some(2), "{wrong}");
}

#[test]
fn several_documents_are_one_environment() {
    let place = place("Disabled");
    place.write(
        "roles.json",
        r#"[{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id",
            "properties": {"principalId": "p"}},
           {"id": "/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/a", "principalId": "p",
            "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
            "scope": "/subscriptions/s"}]"#,
    );
    let answer = place.run("check --environment roles.json --environment environment.toml --format json");
    let json = answer.json();
    let all = json["findings"].as_array().expect("findings");
    let network = all.iter().find(|finding| finding["id"] == "access.identity.network").expect("asked");
    assert_eq!(network["status"], "pass", "{answer}");
    let twice = place.run("check --environment environment.toml --environment environment.toml");
    assert_eq!(twice.code, Some(2), "{twice}");
}

#[test]
fn the_catalogue_is_listed() {
    let json = Place::new().run("check --list --format json").json();
    let ids: Vec<_> =
        json.as_array().expect("a list").iter().filter_map(|entry| entry["id"].as_str()).collect();
    assert!(ids.contains(&"nsg.inbound.ssh-to-build-vm") && ids.len() > 40, "{ids:?}");
}

/// The example's group without some of its rules.
pub fn broken() -> Place {
    let place = place("Disabled");
    let group: String = NSG
        .lines()
        .filter(|line| !line.contains("AllowSshInbound") && !line.contains("AllowProbeInbound"))
        .map(|line| line.to_owned() + "\n")
        .collect();
    place.write("nsg.json", &group);
    place
}

#[test]
fn code_scanning_gets_the_rule_at_its_line() {
    let place = broken();
    let answer = place.run("check --environment environment.toml --format sarif");
    assert_eq!(answer.code, Some(1), "{answer}");
    let log = answer.json();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let results = run["results"].as_array().expect("results");
    let ssh =
        results.iter().find(|result| result["ruleId"] == "nsg.inbound.ssh-to-build-vm").expect("a result");
    assert_eq!(ssh["level"], "error");
    let index = usize::try_from(ssh["ruleIndex"].as_u64().expect("an index")).expect("small");
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], ssh["ruleId"]);
    let place_of = &ssh["locations"][0]["physicalLocation"];
    assert_eq!(place_of["artifactLocation"]["uri"], "nsg.json");
    let line = usize::try_from(place_of["region"]["startLine"].as_u64().expect("a line")).expect("small");
    assert!(place.read("nsg.json").lines().nth(line - 1).expect("it is there").contains("DenyAllInbound"));
    let wrong = place.run("doctor --format sarif");
    assert_eq!(wrong.code, Some(2), "{wrong}");
}

/// The environment of [`place`] with everything that can be repaired broken.
fn very_broken() -> Place {
    let place = broken();
    let text = place.read("network.json").replace("\"Disabled\"", "\"Enabled\"");
    place.write("network.json", &text);
    place.write(
        "roles.json",
        r#"[{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"},
           {"id": "/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/a", "principalId": "p",
            "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "scope": "/subscriptions/s/resourceGroups/other"}]"#,
    );
    place
}

#[test]
fn all_repairs_are_one_template_after_which_the_check_passes() {
    let place = very_broken();
    let documents = "--environment environment.toml --environment roles.json --deployer d";
    let before = place.run(&format!("check {documents} --repair repair.json"));
    assert_eq!(before.code, Some(1), "{before}");
    let template: serde_json::Value = serde_json::from_str(&place.read("repair.json")).expect("JSON");
    let repaired: Vec<_> = template["metadata"]["repairs"]
        .as_array()
        .expect("ids")
        .iter()
        .filter_map(|id| id.as_str())
        .collect();
    let expected = [
        "subnet.private-link-policies",
        "nsg.inbound.ssh-to-build-vm",
        "access.identity.network",
        "access.deployer.template",
        "access.deployer.identity",
        "access.deployer.roles",
    ];
    assert_eq!(repaired, expected, "{before}");
    assert!(before.stderr.contains("repair.json repairs subnet.private-link-policies, "), "{before}");
    assert!(before.stderr.contains("not in repair.json: diagnostics.flow-logs: "), "{before}");

    let after = place.run(&format!("check {documents} --environment repair.json --format json"));
    let json = after.json();
    for finding in json["findings"].as_array().expect("findings") {
        let id = finding["id"].as_str().expect("an id");
        assert!(!expected.contains(&id) || finding["status"] == "pass", "{id}: {after}");
    }
    assert_eq!(after.code, Some(0), "{after}");
    // Named by the environment file it is the same.
    let environment = place.read("environment.toml");
    let source = "[[source]]\nkind = \"arm-template\"\nfile = \"repair.json\"\n";
    place.write("environment.toml", &format!("{environment}{source}"));
    let named = place.run(&format!("check {documents}"));
    assert_eq!(named.code, Some(0), "{named}");
}

#[test]
fn where_nothing_is_to_be_repaired_nothing_is_written() {
    let place = place("Disabled");
    let documents = "--environment environment.toml";
    for _ in 0..2 {
        let answer = place.run(&format!("check {documents} --repair repair.json"));
        assert_eq!(answer.code, Some(0), "{answer}");
        assert!(answer.stderr.contains("repair.json is not written"), "{answer}");
        assert!(!place.path().join("repair.json").exists());
    }
}

#[test]
fn a_repair_that_does_not_help_is_not_offered() {
    let place = broken();
    // What holds at an interface no rule of the group changes.
    place.write(
        "effective.json",
        r#"{"value": [{"association": {"subnet": {"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet/subnets/snet-imagebuilder"}},
            "networkSecurityGroup": {"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg-imagebuilder"},
            "effectiveSecurityRules": [{"name": "securityRules/DenyAll", "protocol": "All", "sourcePortRange": "0-65535",
              "destinationPortRange": "0-65535", "sourceAddressPrefix": "0.0.0.0/0", "destinationAddressPrefix": "0.0.0.0/0",
              "access": "Deny", "priority": 100, "direction": "Inbound"}]}]}"#,
    );
    let answer =
        place.run("check --environment environment.toml --environment effective.json --repair repair.json");
    assert_eq!(answer.code, Some(1), "{answer}");
    assert!(!place.path().join("repair.json").exists(), "{answer}");
    let refused = "not in repair.json: nsg.inbound.ssh-to-build-vm: ";
    assert!(answer.stderr.contains(refused), "{answer}");
}
