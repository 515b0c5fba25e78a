//! What a deployment is made of, without an endpoint; and one that is made, looked at and removed in the local Azure of this
//! process.

use serde_json::{Value, json};

use crate::program::Place;

const SUBNETS: &str = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg-net/providers\
                       /Microsoft.Network/virtualNetworks/vnet/subnets";

fn place(azure: &str) -> Place {
    let place = Place::new();
    place.write("jumpbox.toml", &format!("[image]\nname = \"jb\"\n\n[azure]\n{azure}"));
    place
}

fn isolated() -> Place {
    place(&format!(
        "subscription = \"11111111-2222-3333-4444-555555555555\"\nlocation = \"East US 2\"\nbuild_subnet = \"{SUBNETS}/build\"\n\
         container_subnet = \"{SUBNETS}/containers\"\n"
    ))
}

/// All values of a field, wherever it stands.
fn all<'v>(value: &'v Value, field: &str, into: &mut Vec<&'v Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| all(item, field, into)),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            if name == field {
                into.push(value);
            }
            all(value, field, into);
        }),
        _ => {}
    }
}

#[test]
fn a_rendered_deployment_is_one_template_that_is_whole_and_reads_as_an_image_template() {
    let place = isolated();
    let answer = place.run("render deployment");
    assert_eq!(answer.code, Some(0), "{answer}");
    let deployment = answer.json();
    let resource = &deployment["resources"][0];
    assert_eq!(resource["type"], "Microsoft.VirtualMachineImages/imageTemplates");
    assert_eq!(resource["location"], "eastus2");
    let network = &resource["properties"]["vmProfile"]["vnetConfig"];
    assert_eq!(network["containerInstanceSubnetId"], format!("{SUBNETS}/containers"));
    assert_eq!(resource["properties"]["distribute"][0]["type"], "SharedImage");
    assert!(!answer.stdout.contains("<identity>") && !answer.stdout.contains("<location>"), "{answer}");
    place.write("deployment.json", &answer.stdout);
    let checked = place.run("check --template deployment.json --format json");
    assert!(matches!(checked.code, Some(0 | 3)), "{checked}");
    let again = place.run("render deployment");
    assert_eq!(again.stdout, answer.stdout, "the same template has the same name");
    let other = place.run("render deployment --location westeurope").json();
    assert_ne!(other["resources"][0]["name"], resource["name"]);
}

#[test]
fn rendered_roles_have_what_the_identity_needs_and_nothing_else() {
    let place = isolated();
    let roles = place.run("render roles").json();
    let mut actions = Vec::new();
    all(&roles, "actions", &mut actions);
    let mut actions: Vec<_> =
        actions.into_iter().flat_map(|list| list.as_array().expect("a list").clone()).collect();
    actions.sort_by_key(ToString::to_string);
    assert_eq!(
        Value::from(actions),
        json!([
            "Microsoft.Compute/galleries/images/read",
            "Microsoft.Compute/galleries/images/versions/read",
            "Microsoft.Compute/galleries/images/versions/write",
            "Microsoft.Compute/galleries/read",
            "Microsoft.Network/virtualNetworks/read",
            "Microsoft.Network/virtualNetworks/subnets/join/action",
        ])
    );
    let mut scopes = Vec::new();
    all(&roles, "assignableScopes", &mut scopes);
    assert!(
        scopes.iter().all(|scope| scope[0].as_str().is_some_and(|scope| scope.contains("/resourceGroups/")))
    );
    let image = place.run("render roles --image-resource-group rg-images");
    assert!(
        image.stdout.contains("Microsoft.Compute/images/write") && !image.stdout.contains("galleries"),
        "{image}"
    );
    let disk = place.run("render roles --as vhd");
    assert!(!disk.stdout.contains("Microsoft.Compute"), "a VHD needs no role: {disk}");
    let known = place.run("render roles --built-in-roles");
    assert!(!known.stdout.contains("customRole") && known.stdout.contains("4d97b98b"), "{known}");
}

#[test]
fn what_is_not_said_is_asked_for_with_its_flag() {
    let nothing = place("");
    let answer = nothing.run("render deployment --format json");
    assert_eq!(answer.code, Some(2), "{answer}");
    let text = answer.json()["errors"].to_string();
    assert!(text.contains("--subscription") && text.contains("--location"), "{answer}");
    let twice = isolated().run("deploy --gallery g --image-resource-group rg");
    assert_eq!(twice.code, Some(2), "{twice}");
    let local = isolated().run("build --target azure --learn");
    assert!(local.code == Some(2) && local.stderr.contains("--learn"), "{local}");
    let azure = isolated().run("build --as-deployed");
    assert!(azure.code == Some(2) && azure.stderr.contains("--target azure"), "{azure}");
    let early = isolated().run("status");
    assert!(early.code == Some(2) && early.stderr.contains("deploy"), "{early}");
    let adopted = isolated().run("deploy --target local --cache-dir cache --adopt /not/an/id");
    assert_eq!(adopted.code, Some(2), "{adopted}");
}

#[test]
fn the_tutorial_s_local_commands_deploy_show_and_remove() {
    let place = place("");
    let local = "--target local --cache-dir cache";
    let planned = place.run(&format!("deploy {local} --location eastus2 --what-if"));
    assert_eq!(planned.code, Some(0), "{planned}");
    assert!(planned.stdout.contains("create   /subscriptions/"), "{planned}");
    let deployed = place.run(&format!("deploy {local} --location eastus2"));
    assert_eq!(deployed.code, Some(0), "{deployed}");
    assert!(deployed.stderr.contains("step 6/7 Image template: made"), "{deployed}");
    let status = place.run(&format!("status {local}"));
    assert_eq!(status.code, Some(0), "{status}");
    assert!(status.stdout.contains("last run   none"), "{status}");
    let state = place.read("jumpbox.local-azure.json");
    let broken = state.replace("\"version\": 1", "\"version\": 9");
    place.write("other.json", &broken);
    let wrong = place.run(&format!("status {local} --state other.json"));
    assert!(wrong.code == Some(2) && wrong.stderr.contains("version 9"), "{wrong}");
    let cleaned = place.run(&format!("clean {local} --all --yes --format json"));
    assert_eq!(cleaned.code, Some(0), "{cleaned}");
    assert_eq!(cleaned.json()["left"], json!([]));
    let gone = place.run(&format!("status {local}"));
    assert_eq!(gone.code, Some(1), "{gone}");
}
