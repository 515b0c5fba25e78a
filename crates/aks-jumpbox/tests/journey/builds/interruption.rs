//! Builds that are stopped, from outside and without warning.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::json;

use crate::processes::Live;
use crate::world::{World, fresh, names};

/// Steps that wait for ever, with children inside that would outlive a careless engine.
const WAIT: &[&str] = &["setsid sleep 86400 &", "sudo setsid sleep 86400 &", "echo ready", "sleep 86400"];

pub(super) fn mounts_below(world: &World) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read");
    let cache = world.cache().to_string_lossy().into_owned();
    mounts.lines().filter(|line| line.contains(&cache)).map(str::to_owned).collect()
}

fn assert_builds_again(world: &World) {
    world.steps(&json!([fresh("well", &["echo well"])]));
    world.build("--until well", 0);
    assert_eq!(names(&world.cache().join("work")), Vec::<String>::new(), "what was left is gone");
}

#[test]
fn an_interrupt_stops_everything_and_removes_what_was_begun() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    world.steps(&json!([fresh("waits", WAIT)]));
    for signal in [Signal::INT, Signal::TERM] {
        let mut live = Live::start(world.build_command(""));
        live.until_printed("ready");
        let family = live.below();
        assert!(family.len() >= 5, "the sandbox and what runs in it: {}", family.len());
        live.signal(signal);
        assert_eq!(live.end(), Some(130));
        assert!(family.is_gone(), "a process was left");
        assert_eq!(mounts_below(&world), Vec::<String>::new());
        assert_eq!(names(&world.cache().join("work")), Vec::<String>::new());
        assert_eq!(world.names("out"), ["customization.log", "egress.json", "manifest.json"]);
    }
    assert_builds_again(&world);
}

#[test]
fn killing_the_program_ends_every_process_and_the_next_build_clears_up() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    world.steps(&json!([fresh("waits", WAIT)]));
    let mut live = Live::start(world.build_command(""));
    live.until_printed("ready");
    let family = live.below();
    assert!(family.len() >= 5, "the sandbox and what runs in it: {}", family.len());
    live.signal(Signal::KILL);
    assert_eq!(live.end(), None);
    assert!(family.is_gone(), "a process was left");
    assert_eq!(mounts_below(&world), Vec::<String>::new());
    assert_eq!(names(&world.cache().join("work")).len(), 1, "nobody was left to remove it");
    assert_builds_again(&world);
}

#[test]
fn killing_the_program_while_it_writes_the_disk_leaves_nothing_half_written() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    // The validator runs when the disk has been written and before it has its name.
    world.template(&json!({
        "customize": [fresh("mark", &["echo mark | sudo tee /opt/mark"])],
        "validate": {"inVMValidations": [fresh("waits", WAIT)]},
    }));
    let mut live = Live::start(world.build_command(""));
    live.until_printed("ready");
    let family = live.below();
    live.signal(Signal::KILL);
    assert_eq!(live.end(), None);
    assert!(family.is_gone(), "a process was left");
    assert!(!world.path("out/image.vhd").exists(), "an image that nobody validated has not its name");
    let unfinished = |world: &World| world.names("out").into_iter().find(|name| name.starts_with('.'));
    assert!(unfinished(&world).is_some(), "nobody was left to remove it");
    assert_builds_again(&world);
    assert_eq!(unfinished(&world), None, "the next build removes it");
}

#[test]
fn stopping_or_killing_the_program_while_it_makes_the_base_leaves_no_base() {
    let Some(mut world) = World::ready() else { return };
    world.use_empty_cache();
    world.steps(&json!([fresh("never", &["true"])]));
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let mut live = Live::start(world.build_command(""));
        live.until(|event| event["event"] == "egress" && event["step"] == 0);
        let family = live.below();
        assert!(family.len() >= 3, "the bootstrap and its programs: {}", family.len());
        live.signal(signal);
        assert_eq!(live.end(), code);
        assert!(family.is_gone(), "a process was left");
        assert_eq!(mounts_below(&world), Vec::<String>::new());
    }
    // Any command that opens the cache clears up; making a whole base for that would take long.
    let list = world.command("cache list --format json").output().expect("the program runs");
    assert!(list.status.success(), "{list:?}");
    for folder in ["work", "bases", "layers"] {
        assert_eq!(names(&world.cache().join(folder)), Vec::<String>::new(), "{folder}");
    }
}

#[test]
fn a_build_that_is_out_of_time_ends_with_everything_it_started() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    world.steps(&json!([fresh("waits", WAIT), fresh("never", &["true"])]));
    let mut live = Live::start(world.build_command("--timeout 8s"));
    live.until_printed("ready");
    let family = live.below();
    assert_eq!(live.end(), Some(1));
    assert!(family.is_gone(), "a process was left");
    assert_eq!(mounts_below(&world), Vec::<String>::new());
    let manifest = world.json("out/manifest.json");
    let error = manifest["error"].as_str().expect("an error");
    assert!(error.contains("step 1 'waits' failed: the build's total time"), "{error}");
    assert_eq!(manifest["last_run_status"]["run_state"], "Failed");
    assert_eq!(manifest["last_run_status"]["run_sub_state"], "Customizing");
}

#[test]
fn ctrl_c_while_the_disk_is_written_or_read_back_leaves_no_disk() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    world.template(&json!({
        "customize": [fresh("mark", &["echo mark | sudo tee /opt/mark"])],
        "validate": {"inVMValidations": [fresh("checks", &["cat /opt/mark"])]},
    }));
    for phase in ["disk", "validate"] {
        let mut live = Live::start(world.build_command(""));
        live.until(|event| event["event"] == "phase" && event["name"] == phase);
        live.ctrl_c();
        assert_eq!(live.end(), Some(130), "{phase}");
        let left = world.names("out").into_iter().filter(|name| name.contains("vhd")).collect::<Vec<_>>();
        assert_eq!(left, Vec::<String>::new(), "{phase}");
        assert_eq!(names(&world.cache().join("work")), Vec::<String>::new(), "{phase}");
    }
    let built = world.build("", 0);
    assert_eq!(built.states(), ["cached"], "the steps are not lost: {built}");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_server_that_does_not_answer() {
    let Some(world) = World::ready() else { return };
    let silent = TcpListener::bind("127.0.0.1:0").expect("bound");
    let uri = format!("http://{}/script.sh", silent.local_addr().expect("an address"));
    world.steps(&json!([{"type": "Shell", "name": "far", "scriptUri": uri}]));
    let live = Live::start(world.build_command(""));
    let _asked = silent.accept().expect("the program asks");
    live.ctrl_c();
    assert_eq!(live.end(), Some(130));
    assert_eq!(world.names("out"), ["customization.log", "egress.json", "manifest.json"]);
}
