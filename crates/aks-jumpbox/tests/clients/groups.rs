//! Logging in, and resource groups.

use serde_json::json;

use crate::story::az_story;

#[test]
fn the_azure_cli_logs_in_and_works_with_resource_groups() {
    az_story(|story, az| {
        let client = story.serve.told("client_id");
        let wrong = story.az_of_nobody("stranger").log_in(client, "not the secret at all");
        assert!(wrong.code == Some(1) && wrong.err.contains("client id or secret"), "{wrong}");
        let account = az.line("account show");
        assert_eq!(account["id"], story.serve.told("subscription"));
        assert_eq!(account["user"]["name"], client);

        let group = az.line("group create -n tools -l eastus2 --tags team=security");
        assert_eq!((&group["location"], &group["tags"]["team"]), (&json!("eastus2"), &json!("security")));
        az.line("network vnet create -g tools -n net --subnet-name build");
        assert_eq!(az.line("group show -n TOOLS --query properties.provisioningState"), "Succeeded");
        assert_eq!(az.line("group exists -n tools"), true);
        assert_eq!(az.line("group list --query [].name"), json!(["tools"]));
        az.refused("group create -n tools -l westeurope", "InvalidResourceGroupLocation");
        az.refused("group show -n nothing", "ResourceGroupNotFound");

        az.line("group delete -n tools --yes");
        assert_eq!(az.line("group exists -n tools"), false);
        assert_eq!(az.line("network vnet list --query [].name"), json!([]));
        az.refused("network vnet show -g tools -n net", "ResourceGroupNotFound");
    });
}
