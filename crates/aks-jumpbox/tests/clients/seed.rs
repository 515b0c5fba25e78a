//! `serve --seed`: a network to build in, of the documents that describe it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;

use crate::rest::Rest;
use crate::serve::{Serve, command};
use crate::story::story_with;

const SUBSCRIPTION: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";
const NSG: &str =
    "/resourceGroups/rg-spoke/providers/Microsoft.Network/networkSecurityGroups/nsg-imagebuilder";

fn hub_and_spoke() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/hub-and-spoke/environment.toml")
}

fn template(rest: &Rest<'_>) -> serde_json::Value {
    let identities = "/resourceGroups/rg-images/providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    let found = rest.get(identities).json();
    let identity = found["value"][0]["id"].as_str().expect("an identity");
    let subnet = "/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke-eastus2/subnets/snet-imagebuilder";
    json!({
        "location": "eastus2",
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity: {} } },
        "properties": {
            "source": { "type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest" },
            "vmProfile": { "vnetConfig": { "subnetId": format!("{SUBSCRIPTION}{subnet}") } },
            "distribute": [{ "type": "VHD", "runOutputName": "disk" }],
        },
    })
}

#[test]
fn a_published_hub_and_spoke_is_there_to_build_in() {
    let file = hub_and_spoke();
    story_with(&["--seed", file.to_str().expect("a text")], |story| {
        let rest = story.rest();
        assert_eq!(story.subscription(), SUBSCRIPTION);
        let group = rest.get(NSG).json();
        let rules = group["properties"]["securityRules"].as_array().expect("rules");
        assert_eq!(rules.len(), 8, "{group}");
        let https = rules.iter().find(|rule| rule["name"] == "AllowHttpsOut").expect("a rule");
        assert_eq!(https["properties"]["destinationPortRange"], "443");
        let firewalls = rest.get("/resourceGroups/rg-hub/providers/Microsoft.Network/azureFirewalls").json();
        let address =
            &firewalls["value"][0]["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"];
        assert_eq!(address, "10.200.0.4");

        for provider in ["VirtualMachineImages", "Compute", "Storage"] {
            let path = rest.url(&format!("/providers/Microsoft.{provider}/register"));
            assert_eq!(rest.send("POST", &path, &[], &[]).status, 200);
        }
        // The documents assign the identity the role that joins the subnet.
        let path = "/resourceGroups/rg-images/providers/Microsoft.VirtualMachineImages/imageTemplates/box";
        let url = format!("{SUBSCRIPTION}{path}?api-version=2024-02-01");
        let made = rest.send("PUT", &url, &[], template(&rest).to_string().as_bytes());
        assert_eq!(made.status, 201, "{made:?}");
        let state = || rest.get(path).json()["properties"]["provisioningState"].clone();
        let settled = std::iter::repeat_with(state).find(|state| state != "Creating");
        assert_eq!(settled, Some(json!("Succeeded")), "{}", rest.get(path).text);
    });
}

#[test]
fn what_is_there_already_stays() {
    let (folder, file) = (tempfile::tempdir().expect("a folder"), hub_and_spoke());
    let words = ["--listen", "127.0.0.1:0", "--seed", file.to_str().expect("a text")];
    for seeded in ["seed: 24 made, 0 there already", "seed: 0 made, 24 there already"] {
        let mut serve = Serve::start_with(folder.path(), &words);
        // Ended first: only then all that it wrote has been read.
        serve.kill();
        assert!(serve.log().contains(seeded), "{}", serve.log());
    }
}

/// Exit code and what was said, of an endpoint that does not start.
fn refused(state: &Path, seed: &str) -> (Option<i32>, String) {
    let mut command = command(state, &["--listen", "127.0.0.1:0", "--seed", seed]);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it ends");
    assert!(output.stdout.is_empty(), "it started");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_network_that_is_not_wholly_known_is_no_seed() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("written");
        file.display().to_string()
    };
    let group = json!({ "type": "Microsoft.Network/networkSecurityGroups", "name": "nsg", "apiVersion": "2024-05-01",
        "location": "eastus2", "properties": { "securityRules": [{ "name": "in", "properties": {
            "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "*", "sourcePortRange": "*",
            "destinationPortRange": "*", "destinationAddressPrefix": "*",
            "sourceAddressPrefix": "[reference('other').address]" } }] } });
    write("nsg.json", &json!({ "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": [group] }).to_string());
    let subscription = SUBSCRIPTION.rsplit('/').next().expect("an id");
    let environment = format!(
        "subscription = \"{subscription}\"\nlocation = \"eastus2\"\n[[source]]\nkind = \"arm-template\"\nfile = \"nsg.json\"\nresource_group = \"rg\"\n"
    );
    let environment = write("environment.toml", &environment);
    let state = folder.path().join("state");
    let (code, told) = refused(&state, &environment);
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains("securityRules/in") && told.contains("not wholly known") && told.contains("hint:"),
        "{told}"
    );

    let (code, told) = refused(&folder.path().join("other"), &write("broken.json", "{"));
    assert_eq!(code, Some(2), "{told}");
    assert!(!folder.path().join("other").exists(), "nothing is made of a file that does not parse");

    // One folder is one subscription.
    drop(Serve::start(&folder.path().join("third")));
    let (code, told) = refused(&folder.path().join("third"), hub_and_spoke().to_str().expect("a text"));
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("is asked for") && told.contains("--state"), "{told}");
}
