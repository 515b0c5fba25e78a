//! Templates, deployed by the real Azure CLI and by Azure's newest SDK.

use serde_json::json;

use crate::story::{az_story, sdk_story};

/// A jump box's deployment in the shape that published ones have: comments, `copy`, a nested deployment that assigns a role to
/// an identity of the outer one, and an image template that waits for it.
const JUMP_BOX: &str = include_str!("jump-box.json");

const SUBSCRIPTION: &str = r#"{
  "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": { "name": { "type": "string" } },
  "resources": [
    { "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2022-09-01", "name": "[parameters('name')]",
      "location": "[deployment().location]" },
    { "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inside",
      "resourceGroup": "[parameters('name')]", "dependsOn": [ "[parameters('name')]" ],
      "properties": { "mode": "Incremental", "expressionEvaluationOptions": { "scope": "inner" }, "template": {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [ { "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2023-01-31",
          "name": "mi", "location": "[resourceGroup().location]" } ],
        "outputs": { "who": { "type": "string",
          "value": "[reference(resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'mi'), '2023-01-31').clientId]" } } } } }
  ],
  "outputs": { "who": { "type": "string", "value": "[reference(resourceId(subscription().subscriptionId, parameters('name'), 'Microsoft.Resources/deployments', 'inside')).outputs.who.value]" } }
}"#;

#[test]
fn a_jump_box_is_deployed_and_nothing_would_change_after_that() {
    az_story(|story, az| {
        az.line("group create -n rg -l eastus2");
        for provider in ["Network", "ManagedIdentity", "VirtualMachineImages", "Storage"] {
            az.line(&format!("provider register -n Microsoft.{provider}"));
        }
        story.secret("planted-parameter");
        let file = story.write("jump-box.json", JUMP_BOX);
        let what_if = format!(
            "deployment group what-if -g rg --template-file {file} --no-pretty-print --query changes[].changeType"
        );
        assert_eq!(az.line(&what_if), json!(["Create", "Create", "Create", "Create", "Create"]));
        let deployed = az.line(&format!(
            "deployment group create -g rg --template-file {file} -p secret=planted-parameter"
        ));
        let outputs = &deployed["properties"]["outputs"];
        assert_eq!(outputs["template"]["value"], "it-jumpbox", "{deployed:#}");
        let identity = az.line("identity list -g rg --query [0].principalId");
        assert_eq!(outputs["principal"]["value"], identity);
        let shown = az.line("image builder show -g rg -n it-jumpbox");
        assert_eq!(shown["provisioningState"], "Succeeded", "{shown:#}");
        assert_eq!(
            az.line("network vnet show -g rg -n vnet --query subnets[].addressPrefix"),
            json!(["10.240.0.0/28", "10.240.1.0/28"])
        );
        let operations = az.line(
            "deployment operation group list -g rg -n jump-box --query [].properties.provisioningState",
        );
        assert_eq!(operations, json!(["Succeeded", "Succeeded", "Succeeded", "Succeeded", "Succeeded"]));
        assert_eq!(az.line(&what_if), json!(["NoChange", "NoChange", "NoChange", "NoChange", "NoChange"]));

        let wrong = story.write("wrong.json", &JUMP_BOX.replace("uniqueString(", "uniqueText("));
        let told =
            az.refused(&format!("deployment group create -g rg --template-file {wrong}"), "InvalidTemplate");
        assert!(told.contains("uniqueText") && told.contains("line 9, column 24"), "{told}");
        az.line("deployment group delete -g rg -n jump-box");
        az.refused("deployment group show -g rg -n jump-box", "DeploymentNotFound");
    });
}

#[test]
fn a_subscription_is_deployed_to_and_a_missing_role_stops_it_before_anything_is_made() {
    az_story(|story, az| {
        az.line("provider register -n Microsoft.ManagedIdentity");
        let file = story.write("groups.json", SUBSCRIPTION);
        let deploy = format!("deployment sub create -l eastus2 --template-file {file} -p name=rg-deployed");
        let words: Vec<&str> = "ad sp create-for-rbac -n reader --role Reader --scopes".split(' ').collect();
        let scope = story.subscription();
        let made = az.run_for_a_secret(&[words, vec![&scope]].concat()).json(&["create-for-rbac"]);
        let text = |name: &str| made[name].as_str().expect("text").to_owned();
        story.secret(&text("password"));
        let reader = story.az(&text("appId"), &text("password"));
        reader.refused(&deploy, "AuthorizationFailed");
        az.refused("group show -n rg-deployed", "ResourceGroupNotFound");

        let deployed = az.line(&deploy);
        let client = az.line("identity show -g rg-deployed -n mi --query clientId");
        assert_eq!(deployed["properties"]["outputs"]["who"]["value"], client, "{deployed:#}");
    });
}

#[test]
fn azures_newest_sdk_deploys_and_gets_back_what_it_sent() {
    sdk_story("sdk_deployments.py");
}
