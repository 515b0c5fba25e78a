//! A template that says everything that one can say: deployed, told back, and gone.

use document::SourceText;
use serde_json::{Value, json};
use workflow::{Design, Settings};

use crate::faults::EVERYTHING;
use crate::world::{Listener, World, put};

/// Every part of the format that a build of this system has, at all three targets.
fn template(subscription: &str) -> Value {
    let group = |name: &str| format!("/subscriptions/{subscription}/resourceGroups/{name}");
    let images = format!("{}/providers/Microsoft.Compute", group("rg-brought"));
    json!({
        "type": "Microsoft.VirtualMachineImages/imageTemplates", "apiVersion": "2025-10-01", "name": "whole",
        "location": "eastus2",
        "tags": { "owner": "platform" },
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { "<identity>": {} } },
        "properties": {
            "source": { "type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest" },
            "customize": [{ "type": "Shell", "name": "greet", "inline": ["echo hello"] }],
            "optimize": { "vmBoot": { "state": "Enabled" } },
            "validate": {
                "continueDistributeOnFailure": true,
                "inVMValidations": [{ "type": "Shell", "name": "look", "inline": ["test -d /etc"] }],
            },
            "errorHandling": { "onCustomizerError": "abort", "onValidationError": "abort" },
            "buildTimeoutInMinutes": 90,
            "managedResourceTags": { "cost": "images" },
            "vmProfile": {
                "vmSize": "Standard_D4ds_v4", "osDiskSizeGB": 40,
                "userAssignedIdentities": [
                    format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-vm", group("rg-brought")),
                ],
            },
            "stagingResourceGroup": group("rg-staging"),
            "distribute": [
                { "type": "VHD", "runOutputName": "disk", "artifactTags": { "kind": "disk" } },
                { "type": "ManagedImage", "runOutputName": "image", "location": "eastus2",
                    "imageId": format!("{images}/images/whole") },
                { "type": "SharedImage", "runOutputName": "version", "galleryImageId": format!("{images}/galleries/gal/images/whole"),
                    "targetRegions": [
                        { "name": "eastus2", "replicaCount": 2, "storageAccountType": "Standard_ZRS" },
                        { "name": "westus2", "replicaCount": 1 },
                    ],
                    "excludeFromLatest": true, "versioning": { "scheme": "Latest", "major": 2 } },
            ],
        },
    })
}

/// What somebody else has to bring: groups, the gallery, and the identity of the machine.
fn brought(world: &World) {
    let client = world.client();
    let subscription = format!("/subscriptions/{}", world.subscription);
    for namespace in ["Compute", "ManagedIdentity"] {
        let register = format!("{subscription}/providers/Microsoft.{namespace}/register");
        client.post::<(), serde::de::IgnoredAny>(&register, "2021-04-01", None).expect("registered");
    }
    let here = json!({ "location": "eastus2" });
    for group in ["rg-brought", "rg-staging"] {
        put(&client, &format!("{subscription}/resourceGroups/{group}"), &here);
    }
    let provider = format!("{subscription}/resourceGroups/rg-brought/providers");
    put(&client, &format!("{provider}/Microsoft.ManagedIdentity/userAssignedIdentities/id-vm"), &here);
    put(&client, &format!("{provider}/Microsoft.Compute/galleries/gal"), &here);
    let definition = json!({ "location": "eastus2", "properties": {
        "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
        "identifier": { "publisher": "p", "offer": "o", "sku": "s" },
    }});
    put(&client, &format!("{provider}/Microsoft.Compute/galleries/gal/images/whole"), &definition);
}

/// Whether everything that is asked for is told back; more may be told.
fn holds(there: &Value, wanted: &Value, at: &str) {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                holds(there.get(name).unwrap_or(&Value::Null), wanted, &format!("{at}.{name}"));
            }
        }
        (Value::Array(there), Value::Array(wanted)) => {
            assert_eq!(there.len(), wanted.len(), "{at}");
            for (index, (there, wanted)) in there.iter().zip(wanted).enumerate() {
                holds(there, wanted, &format!("{at}[{index}]"));
            }
        }
        _ => assert_eq!(there, wanted, "{at}"),
    }
}

#[test]
fn everything_that_a_template_can_say_reaches_azure_and_goes() {
    let mut world = World::new();
    brought(&world);
    let before = world.inventory();
    let wanted = template(&world.subscription);
    let parsed = image_template::parse(&SourceText::new("whole.json", wanted.to_string()));
    let settings = Settings {
        subscription: Some(world.subscription.clone()),
        resource_group: Some("rg-ib".to_owned()),
        trigger: true,
        ..Settings::default()
    };
    let parsed = parsed.template.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
    let design = Design::new(&settings, &parsed, true).expect("a design");
    let state = world.new_state();
    let listener = Listener::default();
    let deployed = world.process(&state, &listener, |workflow| workflow.deploy(&design));
    deployed.expect("alive").expect("deployed");

    let there: Value =
        world.client().get(&design.template_id(), "2025-10-01").expect("asked").expect("there");
    holds(&there["properties"], &wanted["properties"], "properties");
    holds(&there["tags"], &wanted["tags"], "tags");
    let staging = there["properties"]["exactStagingResourceGroup"].as_str().expect("a group");
    assert!(staging.ends_with("/rg-staging"), "{staging}");
    assert!(world.has(&format!("{}/triggers/source-image", design.template_id())));

    let cleaned = world.process(&state, &listener, |workflow| workflow.clean(EVERYTHING)).expect("alive");
    let cleaned = cleaned.expect("cleaned");
    assert!(cleaned.left.is_empty(), "{cleaned:?}");
    assert_eq!(world.inventory(), before, "the staging group that was brought stays, empty");
}
