//! `kill -9` in the middle of a deployment: it is told as ended, and what it reported as made is there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Client, next, seed};
use crate::serve::Serve;

const ROUNDS: u64 = 12;
/// Network security groups of the outer deployment, and of the nested one, which waits for the last of them.
const OUTER: usize = 24;
const INNER: usize = 8;

const DEPLOYMENT: &str = "/resourceGroups/g/providers/Microsoft.Resources/deployments/box";
const GROUPS: &str = "/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups";

fn groups(prefix: &str, count: usize, waits_for: Option<&str>) -> Value {
    let rule = json!({ "name": "https", "properties": {
        "priority": 100, "direction": "Outbound", "access": "Allow", "protocol": "Tcp",
    } });
    json!({
        "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2024-05-01", "location": "eastus2",
        "name": format!("[concat('{prefix}', copyIndex())]"), "copy": { "name": prefix, "count": count },
        "dependsOn": waits_for.into_iter().collect::<Vec<_>>(), "properties": { "securityRules": [rule] },
    })
}

fn template(resources: &[Value]) -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": resources,
    })
}

fn deployment() -> Value {
    let nested = json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2024-03-01", "name": "inside", "dependsOn": ["outer"],
        "properties": { "mode": "Incremental", "template": template(&[groups("inner", INNER, None)]) },
    });
    json!({ "properties": { "mode": "Incremental", "template": template(&[groups("outer", OUTER, None), nested]) } })
}

fn state(found: &Value) -> &str {
    found["properties"]["provisioningState"].as_str().unwrap_or_else(|| panic!("no state: {found}"))
}

/// What a deployment did with each resource so far: states by ids.
fn reported(client: &Client) -> BTreeMap<String, String> {
    let (status, found) =
        client.send("GET", &format!("{DEPLOYMENT}/operations"), &Value::Null).expect("an answer");
    assert_eq!(status, 200, "{found}");
    let operations = found["value"].as_array().expect("operations").iter();
    let target = |one: &Value| one["properties"]["targetResource"]["id"].as_str().expect("an id").to_owned();
    operations.map(|one| (target(one), state(one).to_owned())).collect()
}

fn exists(client: &Client, id: &str) -> bool {
    let path = id.splitn(4, '/').nth(3).expect("a path below the subscription");
    client.send("GET", &format!("/{path}"), &Value::Null).expect("an answer").0 == 200
}

fn deploy(client: &Client) {
    let (status, answer) = client.send("PUT", DEPLOYMENT, &deployment()).expect("an answer");
    assert_eq!(status, 201, "{answer}");
}

fn found(client: &Client, path: &str) -> Value {
    let (status, found) = client.send("GET", path, &Value::Null).expect("an answer");
    assert_eq!(status, 200, "{path}: {found}");
    found
}

/// What has to be true after a kill, whenever that was.
fn check(client: &Client, acknowledged: &BTreeMap<String, String>, ended: Option<&str>) {
    let deployment = found(client, DEPLOYMENT);
    let now = state(&deployment);
    assert!(
        ended.map_or_else(|| matches!(now, "Succeeded" | "Failed"), |ended| ended == now),
        "{deployment}"
    );
    let reported = reported(client);
    for (id, state) in acknowledged {
        assert_eq!(reported.get(id), Some(state), "{id} was told of before");
    }
    for (id, state) in &reported {
        assert_eq!(state, "Succeeded", "{id}");
        assert!(exists(client, id), "{id} is reported as made");
    }
    if now == "Succeeded" {
        assert_eq!(reported.len(), OUTER + INNER);
        return;
    }
    let told = deployment["properties"]["error"]["message"].as_str().unwrap_or_default();
    assert!(told.contains("Deploy it again"), "{deployment}");
}

#[test]
fn a_deployment_killed_at_any_moment_is_told_as_ended_and_what_it_reported_is_there() {
    let first = seed();
    let folder = tempfile::tempdir().expect("a folder");
    let mut failed = 0;
    for round in 0..ROUNDS {
        let seed = next(first + round);
        let mut serve = Serve::start(folder.path());
        let client = Client::new(&serve);
        client.send("POST", "/providers/Microsoft.Network/register", &Value::Null).expect("registered");
        client.send("DELETE", "/resourceGroups/g", &Value::Null).expect("clean");
        client.send("PUT", "/resourceGroups/g", &json!({ "location": "eastus2" })).expect("a group");
        let wanted = usize::try_from(seed >> 40).expect("small") % (OUTER + INNER);
        eprintln!("CRASH_SEED={} for this round: killed after {wanted} resources", first + round);
        deploy(&client);
        let mut acknowledged = reported(&client);
        while acknowledged.len() < wanted {
            acknowledged = reported(&client);
        }
        let before = found(&client, DEPLOYMENT);
        let ended = Some(state(&before)).filter(|state| !matches!(*state, "Accepted" | "Running"));
        serve.kill();

        let serve = Serve::start(folder.path());
        let client = Client::new(&serve);
        check(&client, &acknowledged, ended);
        failed += usize::from(state(&found(&client, DEPLOYMENT)) == "Failed");
        deploy(&client);
        while matches!(state(&found(&client, DEPLOYMENT)), "Accepted" | "Running") {}
        check(&client, &BTreeMap::new(), Some("Succeeded"));
        let (_, list) = client.send("GET", GROUPS, &Value::Null).expect("an answer");
        assert_eq!(list["value"].as_array().map(Vec::len), Some(OUTER + INNER));
        assert_eq!(state(&found(&client, &DEPLOYMENT.replace("box", "inside"))), "Succeeded");
    }
    assert!(failed > 0, "no kill came before a deployment's end");
}
