//! What a build can start from.

use serde_json::json;

use crate::disk::Root;
use crate::world::{World, fresh, source};

#[test]
fn debian_12_builds_too_and_its_generation_1_name_is_warned_about() {
    let Some(world) = World::ready() else { return };
    world.template(&json!({
        "source": source("debian-12", "12"),
        "customize": [fresh("mark", &["echo twelve | sudo tee /opt/mark"])],
    }));
    let built = world.build("", 0);
    assert!(built.said("warning").contains("generation 1"), "{built}");
    let root = Root::of(&world.path("out/image.vhd"));
    root.assert_clean();
    assert_eq!(root.file("/opt/mark").as_deref(), Some("twelve\n"));
    assert!(root.file("/etc/debian_version").is_some_and(|version| version.starts_with("12.")));
    assert_eq!(world.json("out/manifest.json")["base"]["name"], "Debian:debian-12:12-gen2");
}

#[test]
fn an_unknown_source_is_refused_with_the_list_of_the_known_ones() {
    let Some(world) = World::ready() else { return };
    world.template(&json!({"source": source("debian-13", "14-gen2")}));
    let built = world.build("", 2);
    let complaint = built.complaint();
    for known in ["Debian:debian-13:13-gen2", "Debian:debian-12:12-gen2"] {
        assert!(complaint.contains(known), "{complaint}");
    }
    assert!(!world.path("out").exists(), "nothing was begun");
}
