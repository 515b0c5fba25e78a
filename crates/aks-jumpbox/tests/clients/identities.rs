//! Managed identities, roles, and a second principal who may do less.

use serde_json::json;

use crate::story::az_story;

#[test]
fn identities_get_principals_that_roles_are_assigned_to() {
    az_story(|story, az| {
        az.line("group create -n id -l eastus2");
        let identity = az.line("identity create -g id -n builder");
        let text = |name: &str| identity[name].as_str().expect("a text").to_owned();
        let (principal, client, id) = (text("principalId"), text("clientId"), text("id"));
        assert_eq!(az.line("identity show -g id -n builder")["principalId"], principal);
        assert_eq!(az.line("identity list -g id --query [].name"), json!(["builder"]));

        let scope = format!("{}/resourceGroups/id", story.subscription());
        let role = json!({
            "Name": "Image Reader", "Description": "reads images", "AssignableScopes": [scope],
            "Actions": ["Microsoft.Compute/images/read"],
        });
        let file = story.write("role.json", &role.to_string());
        az.line(&format!("role definition create --role-definition {file}"));
        let listed = az.ok(&["role", "definition", "list", "--name", "Image Reader", "--scope", &scope]);
        assert_eq!(listed[0]["permissions"][0]["actions"], json!(["Microsoft.Compute/images/read"]));

        let by_object = ["--assignee-object-id", &principal, "--assignee-principal-type", "ServicePrincipal"];
        let assign = ["role", "assignment", "create", "--scope", &scope, "--role"];
        az.ok(&[&assign[..], &["Image Reader"], &by_object].concat());
        az.ok(&[&assign[..], &["Reader", "--assignee", &client]].concat());
        let roles = "[].[roleDefinitionName,principalName]";
        let all = az.ok(&["role", "assignment", "list", "--scope", &scope, "--query", roles]);
        let own = |role: &str| all.as_array().expect("a list").contains(&json!([role, client]));
        assert!(own("Image Reader") && own("Reader"), "{all}");
        let said = az.run(&["role", "definition", "delete", "--name", "Image Reader", "--scope", &scope]);
        assert!(said.err.contains("RoleDefinitionHasAssignments"), "{said}");

        let delete = ["role", "assignment", "delete", "--scope", &scope, "--assignee", &principal];
        az.ok(&[&delete[..], &["--role", "Image Reader"]].concat());
        az.ok(&["role", "definition", "delete", "--name", "Image Reader", "--scope", &scope]);
        az.ok(&["identity", "delete", "--ids", &id]);
        assert_eq!(az.line("identity list -g id"), json!([]));
    });
}

#[test]
fn a_second_principal_may_do_what_its_role_says_and_no_more() {
    az_story(|story, az| {
        az.line("group create -n shared -l eastus2");
        let scope = format!("{}/resourceGroups/shared", story.subscription());
        let create = ["ad", "sp", "create-for-rbac", "-n", "auditor", "--role", "Reader", "--scopes", &scope];
        let made = az.run_for_a_secret(&create).json(&create);
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        let (client, secret) = (text("appId"), text("password"));
        story.secret(&secret);
        let object = az.ok(&["ad", "sp", "show", "--id", &client, "--query", "id"]);

        let auditor = story.az(&client, &secret);
        assert_eq!(auditor.line("group show -n shared --query name"), "shared");
        let refused =
            auditor.refused("network nsg create -g shared -n mine -l eastus2", "AuthorizationFailed");
        let nsg = format!("{scope}/providers/Microsoft.Network/networkSecurityGroups/mine");
        let action = "Microsoft.Network/networkSecurityGroups/write";
        for named in [client.as_str(), object.as_str().expect("a text"), action, &nsg] {
            assert!(refused.contains(named), "{named} in {refused}");
        }
        auditor.refused(
            &format!("ad sp credential reset --id {}", story.serve.told("client_id")),
            "Insufficient",
        );

        // What the database and its log have is no secret.
        for name in ["state.sqlite3", "state.sqlite3-wal"] {
            let bytes = std::fs::read(story.path("state").join(name)).expect("read");
            let first = story.serve.told("client_secret");
            for secret in [secret.as_str(), first] {
                assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{name}");
            }
        }
        // A new password takes the old one away, and a removed principal is nobody.
        let renew = ["ad", "sp", "credential", "reset", "--id", &client];
        let made = az.run_for_a_secret(&renew).json(&renew);
        let second = made["password"].as_str().expect("a password");
        story.secret(second);
        let rest = story.rest();
        assert_eq!(rest.log_in(&client, &secret)["error"], "invalid_client");
        let token = rest.log_in(&client, second)["access_token"].as_str().expect("a token").to_owned();
        story.secret(&token);
        az.ok(&["ad", "sp", "delete", "--id", &client]);
        let mut auditor = rest.clone();
        auditor.token = token;
        let refused = auditor.get("/resourceGroups/shared");
        assert_eq!((refused.status, refused.code().as_str()), (401, "InvalidAuthenticationToken"));
    });
}
