//! Builds, and `cache prune`, that use one cache at the same time.

use std::fs::File;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::kill::{age_layers, assert_cache_is_whole, now};
use crate::disk::Root;
use crate::processes::Live;
use crate::tree::{OF_THE_DISK, Tree};
use crate::world::{World, fresh, names, unique};

/// The lock of a cache, as `cache prune` holds it.
fn lock(world: &World, name: &str) -> File {
    let file = File::options().create(true).append(true).open(world.cache().join(name)).expect("opened");
    file.try_lock().expect("nobody else has it");
    file
}

fn note(text: &'static str) -> impl Fn(&Value) -> bool {
    move |event| event["event"] == "note" && event["text"] == text
}

/// A step that leaves a mark, and a second one on top of it.
fn marking(mark: &str) -> Value {
    let line = format!("echo {mark} | sudo tee /opt/mark");
    json!([
        {"type": "Shell", "name": "mark", "inline": [line]},
        {"type": "Shell", "name": "again", "inline": ["sudo cp /opt/mark /opt/again"]},
    ])
}

#[test]
fn builds_at_the_same_time_do_not_disturb_each_other() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    let marks = [unique(), unique()];
    let start = |mark: &str, output: &str| {
        world.steps(&marking(mark));
        let template = format!("{output}.json");
        world.write(&template, world.read("image.json"));
        Live::start(world.command(&format!("build --template {template} --output {output} --format json")))
    };
    let live = [start(&marks[0], "one"), start(&marks[0], "same"), start(&marks[1], "other")];
    assert_eq!(live.map(Live::end), [Some(0); 3]);
    assert_cache_is_whole(&world);
    assert_eq!(names(&world.cache().join("work")), Vec::<String>::new());
    for (output, mark) in [("one", &marks[0]), ("other", &marks[1])] {
        let root = Root::of(&world.path(&format!("{output}/{output}.vhd")));
        for file in ["/opt/mark", "/opt/again"] {
            assert_eq!(root.file(file).as_deref().map(str::trim), Some(mark.as_str()), "{output}");
        }
    }
    let tree = |output: &str| Tree::of(&world.path(&format!("{output}/{output}.vhd")));
    tree("one").assert_same(&tree("same"), &OF_THE_DISK);
    world.steps(&marking(&marks[0]));
    let built = world.build("", 0);
    assert_eq!(built.states(), ["cached", "cached"], "what they left is good for the next: {built}");
}

#[test]
fn a_prune_leaves_a_running_build_alone_and_a_build_waits_for_a_prune() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    world.steps(&json!([fresh("waits", &["echo ready", "sleep 86400"])]));
    let mut live = Live::start(world.build_command(""));
    live.until_printed("ready");
    let before = names(&world.cache().join("layers"));
    let prune = || world.command("cache prune --yes --format json --older-than 1").output().expect("it runs");
    age_layers(&world);
    let refused = prune();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stdout).contains("is in use"), "{refused:?}");
    assert_eq!(names(&world.cache().join("layers")), before, "nothing is removed");
    live.signal(Signal::INT);
    live.end();

    let pruning = lock(&world, "lock");
    world.steps(&marking("mark"));
    let mut live = Live::start(world.build_command(""));
    live.until(note("waiting: the cache is being pruned"));
    drop(pruning);
    assert_eq!(live.end(), Some(0));

    // Whoever comes first.
    age_layers(&world);
    let live = Live::start(world.build_command("--no-cache"));
    let pruned = prune();
    assert_eq!(live.end(), Some(0));
    assert!([Some(0), Some(4)].contains(&pruned.status.code()), "{pruned:?}");
    assert_cache_is_whole(&world);
    assert!(Root::of(&world.path("out/image.vhd")).exists("/opt/again"));
}

#[test]
fn a_base_that_another_build_makes_is_waited_for() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    world.steps(&json!([fresh("well", &["true"])]));
    let making = lock(&world, "base-trixie.lock");
    let mut live = Live::start(world.build_command("--refresh --until well"));
    live.until(note("waiting: another build makes a base"));
    live.signal(Signal::INT);
    assert_eq!(live.end(), Some(130), "the wait can be stopped");
    let mut live = Live::start(world.build_command("--refresh --until well"));
    live.until(note("waiting: another build makes a base"));
    world.change_bases(|record| record["created"] = json!(now()));
    drop(making);
    assert_eq!(live.end(), Some(0));
    assert_eq!(world.json("out/manifest.json")["base"]["cached"], true, "the other build's is fresh enough");
}
