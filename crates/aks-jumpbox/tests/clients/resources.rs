//! Resources of every type, resource providers, and requests as they are written.

use serde_json::json;

use crate::story::{az_story, sdk_story};

#[test]
fn generic_commands_work_on_known_and_on_unknown_types() {
    az_story(|story, az| {
        az.line("group create -n any -l eastus2");
        let body = json!({
            "location": "eastus2", "tags": { "a": "b" },
            "properties": { "prefixes": ["10.0.0.0/8"], "notInAnyInterface": { "kept": true } },
        });
        let file = format!("@{}", story.write("body.json", &body.to_string()));
        let name = "-g any -n one --resource-type Contoso.Things/widgets --api-version 2024-05-01";
        let create = format!("resource create {name} --is-full-object --properties {file}");
        az.refused(&create, "MissingSubscriptionRegistration");
        az.line("provider register -n Contoso.Things");
        az.line(&create);
        let shown = az.line(&format!("resource show {name}"));
        assert_eq!(shown["properties"]["notInAnyInterface"], json!({ "kept": true }));
        assert_eq!(
            az.line("resource list -g any --query [].[name,type]"),
            json!([["one", "Contoso.Things/widgets"]])
        );
        az.refused(&format!("resource invoke-action {name} --action explode"), "NotImplementedLocally");
        az.line(&format!("resource delete {name}"));
        az.refused(&format!("resource show {name}"), "ResourceNotFound");

        // The newest version of a known type is looked up by the client.
        az.line("network nsg create -g any -n rules");
        let shown =
            az.line("resource show -g any -n rules --resource-type Microsoft.Network/networkSecurityGroups");
        assert_eq!(shown["name"], "rules");
        let show = "provider show -n Microsoft.VirtualMachineImages --query registrationState";
        az.line("provider register -n Microsoft.VirtualMachineImages");
        assert_eq!(az.line(show), "Registered");
        let regions = az.line("account list-locations --query [].name");
        assert!(regions.as_array().expect("a list").contains(&json!("eastus2")), "{regions}");
        let url = format!("{}/resourceGroups/any?api-version=2024-11-01", story.subscription());
        assert_eq!(az.line(&format!("rest --url {url} --query name")), "any");
        az.refused(&format!("rest --method put --url {url} --body {{"), "InvalidRequestContent");
    });
}

#[test]
fn the_newest_sdk_gets_back_what_it_sends() {
    sdk_story("sdk.py");
}

#[test]
fn the_newest_sdk_gets_images_accounts_and_blobs_back() {
    sdk_story("sdk_stores.py");
}
