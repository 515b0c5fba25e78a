//! Layers: what is reused, what runs again, and why.

use serde_json::{Value, json};

use crate::world::{World, change_json, fresh};

const DAY: u64 = 24 * 3600;

fn three() -> Vec<Value> {
    ["first", "second", "third"].map(|name| fresh(name, &["echo ran"])).into()
}

#[test]
fn a_changed_step_runs_again_with_those_above_it_and_says_why() {
    let Some(world) = World::ready() else { return };
    let mut steps = three();
    world.steps(&json!(steps));
    let built = world.build("--until third", 0);
    assert_eq!(built.states(), ["succeeded"; 3]);
    assert_eq!(built.why(1), "it has not run here before");
    assert_eq!(built.done()["image"], Value::Null, "--until makes no disk");
    assert!(!world.path("out/image.vhd").exists());

    steps[1] = fresh("second", &["echo changed"]);
    world.steps(&json!(steps));
    let built = world.build("--until third", 0);
    assert_eq!(built.states(), ["cached", "succeeded", "succeeded"]);
    assert_eq!(built.why(2), "what it does changed");
    assert!(built.why(3).contains("something below it changed"), "{built}");

    let built = world.build("--until third", 0);
    assert_eq!(built.states(), ["cached"; 3], "{built}");
    let built = world.build("--no-cache --until 2", 0);
    assert_eq!(built.states(), ["succeeded"; 2], "only up to the step that was named");
    assert_eq!(built.why(1), "--no-cache");
    let built = world.build("--until third", 0);
    assert_eq!(built.states(), ["cached", "cached", "succeeded"], "a layer stands on the one it was made on");
}

#[test]
fn a_renamed_template_or_step_reuses_the_layers() {
    let Some(world) = World::ready() else { return };
    let mut steps = three();
    world.steps(&json!(steps));
    world.build("--until 3", 0);
    steps[0]["name"] = json!("another name");
    world.steps(&json!(steps));
    let built = world.build("--until 3 --output elsewhere", 0);
    assert_eq!(built.states(), ["cached"; 3], "{built}");
}

#[test]
fn another_network_policy_runs_every_step_again() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!(three()));
    world.build("--until third", 0);
    world.write("jumpbox.toml", "[network]\nallow = [\"more.example.com:443\"]\n");
    let built = world.build("--until third", 0);
    assert_eq!(built.states(), ["succeeded"; 3], "{built}");
    assert_eq!(built.why(1), "the network policy or the build's settings changed");
}

#[test]
fn a_layer_that_used_the_network_ages_and_others_do_not() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!(three()));
    world.build("--until third", 0);
    let age = |step, days: u64, used_network: bool| {
        change_json(&world.layer_record(step), |record| {
            record["created"] = json!(record["created"].as_u64().expect("a time") - days * DAY);
            record["used_network"] = json!(used_network);
        });
    };
    age(1, 400, false);
    age(2, 8, true);
    let built = world.build("--until third", 0);
    assert_eq!(built.states(), ["cached", "succeeded", "succeeded"], "{built}");
    assert_eq!(built.why(2), "its layer used the network and is 8 days old");
    let old = built.events.iter().find(|event| event["state"] == "cached").expect("a cached step");
    assert!(old["age_seconds"].as_u64() >= Some(400 * DAY), "{old}");
}

#[test]
fn a_step_that_was_not_there_names_what_there_is() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!(three()));
    let complaint = world.build("--until fourth", 2).complaint();
    assert!(complaint.contains("fourth") && complaint.contains("1 to 3"), "{complaint}");
}
