//! What users and machines do wrong: each has a clear error, leaves nothing half-written, and a second run succeeds.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::processes::Live;
use crate::world::{World, fresh, names};

#[test]
fn an_output_folder_takes_one_build_at_a_time_and_a_cache_in_use_is_not_pruned() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([fresh("waits", &["echo ready", "sleep 86400"])]));
    let mut live = Live::start(world.build_command(""));
    live.until_printed("ready");
    let complaint = world.build("", 4).complaint();
    assert!(complaint.contains("the output folder out is in use by another build"), "{complaint}");
    assert!(complaint.contains("--output"), "what to do: {complaint}");
    let pruned = world.command("cache prune --yes --format json").output().expect("the program runs");
    assert_eq!(pruned.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&pruned.stdout).contains("is in use"), "{pruned:?}");

    world.steps(&json!([fresh("beside", &["true"])]));
    world.build("--until 1 --output elsewhere", 0);
    live.signal(Signal::INT);
    assert_eq!(live.end(), Some(130));
    world.build("--until 1", 0);
}

#[test]
fn a_script_that_cannot_be_fetched_is_known_before_anything_runs() {
    let Some(world) = World::ready() else { return };
    let script = json!({"type": "Shell", "name": "far", "scriptUri": "http://127.0.0.1:1/far.sh"});
    world.steps(&json!([fresh("first", &["echo ran"]), script]));
    let built = world.build("", 4);
    assert!(built.complaint().contains("failed to fetch http://127.0.0.1:1/far.sh"), "{built}");
    assert!(built.states().is_empty(), "{built}");
    std::os::unix::fs::symlink("/etc/hostname", world.path("link.sh")).expect("linked");
    let out = "link.sh leads out of the template's folder";
    for (uri, why) in [("../far.sh", "../far.sh"), ("none.sh", "none.sh"), ("link.sh", out)] {
        world.steps(&json!([{"type": "Shell", "name": "near", "scriptUri": uri}]));
        assert!(world.build("", 2).to_string().contains(why), "{uri}");
    }
}

#[test]
fn a_disk_too_small_for_the_image_names_the_smallest_that_fits() {
    let Some(mut world) = World::ready() else { return };
    // A layer this large must not outlive the test.
    world.use_private_cache();
    let customize = json!([fresh("large", &["sudo fallocate -l 1200M /opt/large"])]);
    world.template(&json!({"customize": customize, "vmProfile": {"osDiskSizeGB": 1}}));
    let built = world.build("", 2);
    let complaint = built.complaint();
    assert!(complaint.contains("does not fit a disk of 1 GiB"), "{complaint}");
    assert!(complaint.contains("osDiskSizeGB to 2 or more"), "{complaint}");
    assert_eq!(world.names("out"), ["customization.log", "egress.json", "manifest.json"]);
    world.template(&json!({"customize": customize, "vmProfile": {"osDiskSizeGB": 2}}));
    let built = world.build("", 0);
    assert_eq!(built.states(), ["cached"], "only the disk is made again");
    assert_eq!(world.json("out/manifest.json")["bytes"], (2_u64 << 30) + 512);
}

#[test]
fn a_base_too_old_with_its_archive_unreachable_is_not_built_on() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    let eight_days = |record: &mut serde_json::Value, sign: i64| {
        let created = record["created"].as_i64().expect("a time");
        record["created"] = json!(created - sign * 8 * 24 * 3600);
    };
    let mut mirrors = BTreeSet::new();
    for id in names(&world.cache().join("bases")) {
        let record = world.json(&format!("cache/bases/{id}/base.json"));
        let hosts = record["archive_hosts"].as_array().expect("hosts").iter();
        mirrors.extend(hosts.map(|host| format!("{host} = \"127.0.0.1:1\"")));
    }
    world.change_bases(|record| eight_days(record, 1));
    let mirrors = mirrors.into_iter().collect::<Vec<_>>().join("\n");
    world.write("jumpbox.toml", format!("[local.mirrors]\n{mirrors}\n"));
    world.steps(&json!([fresh("never", &["true"])]));
    let built = world.build("", 4);
    let complaint = built.complaint();
    assert!(complaint.contains("the cached one is 8 days old"), "{complaint}");
    assert!(complaint.contains("archive reachable"), "{complaint}");
    assert!(built.states().is_empty(), "{built}");

    world.change_bases(|record| eight_days(record, -1));
    world.build("--until 1", 0);
    let refreshed = world.build("--refresh", 4).complaint();
    assert!(refreshed.contains("a refresh was asked for"), "{refreshed}");
    assert_eq!(world.build("--until 1", 0).states(), ["cached"], "what was there before is still there");
}

#[test]
fn a_full_disk_is_said_and_nothing_half_written_stays() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([fresh("mark", &["echo mark | sudo tee /opt/mark"])]));
    let small = Small::mount(world.path("small"), "64m");
    let built = world.build("--output small", 4);
    let complaint = built.complaint();
    assert!(complaint.contains("no space for the image in"), "{complaint}");
    assert_eq!(world.names("small"), ["customization.log", "egress.json", "manifest.json"]);
    assert!(world.read("small/manifest.json").contains("no space for the image"));

    small.resize("3g");
    assert_eq!(world.build("--output small", 0).states(), ["cached"]);
    assert!(world.path("small/image.vhd").exists());
}

#[test]
fn a_disk_too_full_for_the_records_does_not_hide_why_the_build_failed() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([fresh(
        "fails",
        &["head -c 2000000 /dev/zero | tr '\\0' x | fold -w 1000", "exit 5"]
    )]));
    let _small = Small::mount(world.path("small"), "256k");
    let built = world.build("--output small", 1);
    assert!(built.complaint().contains("exit status: 5"), "{built}");
    assert!(built.said("warning").contains("No space left on device"), "{built}");
    assert_eq!(world.names("small").iter().filter(|name| name.ends_with(".partial")).count(), 0);
}

/// A file system in memory, for as long as the test needs it.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, size: &str) -> Self {
        std::fs::create_dir(&at).expect("made");
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], &at);
        Self(at)
    }

    fn resize(&self, size: &str) {
        mount(&["-o", &format!("remount,size={size}")], &self.0);
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], at: &PathBuf) {
    let status = Command::new("mount").args(arguments).arg(at).status().expect("mount runs");
    assert!(status.success(), "mounted");
}
