//! Layers: what is reused, what runs again, and why.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use crate::processes::Live;
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
fn a_refresh_makes_the_base_anew_and_runs_what_used_the_network() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    world.steps(&json!([fresh("fetch", &["sudo apt-get update"])]));
    world.build("--until 1", 0);
    assert_eq!(world.build("--until 1", 0).states(), ["cached"]);
    let built = world.build("--refresh --until 1", 0);
    assert!(built.said("note").contains("a refresh was asked for"), "{built}");
    assert_eq!(built.states(), ["succeeded"]);
    let base = &world.json("out/manifest.json")["base"];
    assert_eq!((&base["cached"], base["age_seconds"].as_u64() < Some(600)), (&json!(false), true), "{base}");
    assert_eq!(world.build("--until 1", 0).states(), ["cached"], "from now on the new one is built on");
}

#[test]
fn a_step_that_was_not_there_names_what_there_is() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!(three()));
    let complaint = world.build("--until fourth", 2).complaint();
    assert!(complaint.contains("fourth") && complaint.contains("1 to 3"), "{complaint}");
}

#[test]
fn a_changed_file_or_script_beside_the_template_runs_its_step_again() {
    let Some(world) = World::ready() else { return };
    let steps = json!([
        fresh("below", &["echo ran"]),
        {"type": "File", "name": "file", "sourceUri": "file.txt", "destination": "/tmp/file.txt"},
        {"type": "Shell", "name": "script", "scriptUri": "script.sh"},
    ]);
    world.steps(&steps);
    world.write("file.txt", "one");
    world.write("script.sh", "#!/bin/sh\ncat /tmp/file.txt\n");
    assert_eq!(world.build("--until 3", 0).output(3), ["one"]);
    world.write("file.txt", "two");
    let built = world.build("--until 3", 0);
    assert_eq!(built.states(), ["cached", "succeeded", "succeeded"]);
    assert_eq!(built.why(2), "what it does changed");
    assert_eq!(built.output(3), ["two"]);
}

#[test]
fn a_layer_made_again_is_not_taken_from_under_a_build_that_stands_on_it() {
    let Some(world) = World::ready() else { return };
    let meeting = TcpListener::bind("127.0.0.1:0").expect("bound");
    let settings = format!(
        "[network]\nallow = [\"meeting.example:80\"]\n[local.mirrors]\n\"meeting.example\" = \"{}\"\n",
        meeting.local_addr().expect("an address")
    );
    world.write("jumpbox.toml", settings);
    world.steps(&json!([
        fresh("first", &["echo one | sudo tee /opt/one"]),
        fresh("second", &["echo ready", "curl -sS http://meeting.example/", "cat /opt/one"]),
    ]));
    let (let_go, wait) = channel();
    let answered = std::thread::spawn(move || {
        let answer = |mut guest: TcpStream| {
            guest.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("answered");
        };
        let mut guests = meeting.incoming().flatten();
        let (earlier, later) = (guests.next().expect("a guest"), guests.next().expect("a guest"));
        answer(later);
        wait.recv().expect("the later build is done");
        answer(earlier);
    });
    let mut earlier = Live::start(world.build_command("--until 2 --output earlier"));
    earlier.until_printed("ready");
    let later = world.build("--no-cache --until 2 --output later", 0);
    assert_eq!(later.output(2), ["ready", "one"]);
    let_go.send(()).expect("the earlier build waits");
    earlier.until_printed("one");
    assert_eq!(earlier.end(), Some(0));
    answered.join().expect("both came");
}

#[test]
fn a_template_may_have_many_steps_and_too_many_are_said() {
    let Some(world) = World::ready() else { return };
    let step = fresh("short", &["true"]);
    world.steps(&json!(vec![step.clone(); 80]));
    let built = world.build("--until 80", 0);
    assert_eq!(built.states(), ["succeeded"; 80]);
    world.steps(&json!(vec![step; 200]));
    let complaint = world.build("", 4).complaint();
    assert!(complaint.contains("join some of the steps"), "{complaint}");
}
