//! From a template to a disk, and what stands beside it.

use std::process::Command;

use serde_json::{Value, json};

use crate::disk::Root;
use crate::world::{World, assert_follow_one_another, fresh, part};

const INSTALL_JQ: &str = "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends jq";

fn jq_and_a_file() -> Value {
    json!([
        fresh("install jq", &["sudo apt-get update", INSTALL_JQ, "jq --version"]),
        fresh(
            "write a file",
            &[
                "echo good day | sudo tee /opt/greeting",
                "echo trace | sudo tee /tmp/trace /var/tmp/trace /var/log/trace.log > /dev/null",
                "echo 'secret --token' > ~/.bash_history",
                "echo a complaint >&2",
            ]
        ),
    ])
}

#[test]
fn a_template_becomes_a_disk_with_its_records_and_a_second_build_changes_nothing() {
    let Some(mut world) = World::ready() else { return };
    // What apt adds is large: it goes with the test.
    world.use_private_cache();
    world.steps(&jq_and_a_file());
    let built = world.build("--sha256", 0);
    assert_eq!(built.states(), ["succeeded", "succeeded"]);
    assert_eq!(built.done()["image"], "out/image.vhd", "{built}");
    assert_eq!(
        world.names("out"),
        ["customization.log", "egress.json", "image.vhd", "manifest.json", "sbom.cdx.json"]
    );

    the_disk_holds_what_was_asked_for_and_nothing_of_the_build(&world);
    other_programs_read_the_same_disk(&world);
    the_log_has_the_services_shapes(&world);
    the_records_have_the_contracts_fields(&world);

    let first = world.json("out/manifest.json");
    let contacted = world.json("out/egress.json");
    let again = world.build("", 0);
    assert_eq!(again.states(), ["cached", "cached"], "{again}");
    let second = world.json("out/manifest.json");
    assert_eq!(second["seal"], first["seal"], "the image was not written again");
    assert_eq!(second["content_sha256"], first["content_sha256"]);
    assert_eq!(second["outputs"], first["outputs"]);
    assert_eq!(world.json("out/egress.json"), contacted, "what the cached layers contacted is told again");

    let text = world.command("build --template image.json").output().expect("the program runs");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let jq = contacted["connections"].as_array().expect("a list").iter().find(|row| row["step"] == 1);
    let host = jq.and_then(|row| row["name"].as_str()).expect("where jq came from");
    for told in ["out/image.vhd, as it was: nothing changed", "GiB", "2 cached, 0 run", host] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

fn the_disk_holds_what_was_asked_for_and_nothing_of_the_build(world: &World) {
    let root = Root::of(&world.path("out/image.vhd"));
    root.assert_clean();
    assert_eq!(root.file("/opt/greeting").as_deref(), Some("good day\n"));
    assert!(root.exists("/usr/bin/jq"));
    let keys = root.names("/etc/ssh");
    assert!(!keys.iter().any(|name| name.starts_with("ssh_host_")), "host keys: {keys:?}");
    assert_eq!(
        root.file("/etc/machine-id").as_deref().map(str::trim),
        Some(""),
        "each machine has its own id"
    );
    for list in ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"] {
        let text = root.file(list).expect("it is there");
        assert!(!text.contains("packer"), "{list} names the build user");
    }
    for folder in ["/home", "/tmp", "/var/tmp", "/run", "/root"] {
        let left: Vec<_> = root.names(folder).into_iter().filter(|name| !name.starts_with('.')).collect();
        assert_eq!(left, Vec::<String>::new(), "{folder}");
    }
    assert_eq!(root.names("/var/lib/apt/lists"), ["auxfiles", "partial"]);
    assert_eq!(root.names("/var/cache/apt/archives"), ["partial"], "no package stays");
    assert_eq!(root.file("/var/log/trace.log").as_deref(), Some(""), "logs are cut");
    let sudoers = root.names("/etc/sudoers.d");
    assert!(!sudoers.iter().any(|name| name.contains("packer")), "{sudoers:?}");
    assert!(!root.exists("/etc/resolv.conf.aks-jumpbox") && !root.names("/etc/apt/apt.conf.d").is_empty());
}

fn other_programs_read_the_same_disk(world: &World) {
    let manifest = world.json("out/manifest.json");
    let bytes = manifest["bytes"].as_u64().expect("a length");
    assert_eq!(bytes, std::fs::metadata(world.path("out/image.vhd")).expect("there").len());
    assert_eq!((bytes - 512) % (1 << 20), 0, "Azure takes whole MiB and a footer");
    let sum = Command::new("sha256sum").arg(world.path("out/image.vhd")).output().expect("sha256sum");
    let sum = String::from_utf8_lossy(&sum.stdout).into_owned();
    assert_eq!(sum.split_whitespace().next(), manifest["sha256"].as_str());
    let info = Command::new("qemu-img")
        .args(["info", "--output", "json", "-f", "vpc"])
        .arg(world.path("out/image.vhd"))
        .output();
    let Ok(info) = info else {
        eprintln!("SKIPPED: qemu-img is not here to read the disk");
        return;
    };
    let info: Value = serde_json::from_slice(&info.stdout).expect("JSON");
    assert_eq!(info["virtual-size"].as_u64(), Some(bytes - 512), "{info}");
}

fn the_log_has_the_services_shapes(world: &World) {
    let log = world.read("out/customization.log");
    let texts: Vec<_> =
        log.lines().filter_map(|line| line.split_once("] PACKER ").map(|(_, text)| text)).collect();
    assert_eq!(texts.len(), log.lines().count(), "each line starts with the operation: {log}");
    let has = |end: &str| texts.iter().any(|text| text.ends_with(end));
    assert!(has("[INFO] (telemetry) Starting provisioner shell"), "{log}");
    assert!(has("[INFO] (telemetry) ending shell"), "{log}");
    assert!(has("ui:     azure-arm: good day"), "standard output: {log}");
    assert!(has("ui error: ==> azure-arm: a complaint"), "standard error: {log}");
    assert!(has("ui: ==> azure-arm: Builds finished but no artifacts were created."), "{log}");
    assert_eq!(texts.last(), Some(&"Done exporting Packer logs to Azure Storage."));
}

fn the_records_have_the_contracts_fields(world: &World) {
    let manifest = world.json("out/manifest.json");
    for field in
        ["image", "content_sha256", "bytes", "template_sha256", "base", "steps", "outputs", "smoke_tests"]
    {
        assert!(!manifest[field].is_null(), "{field}: {manifest}");
    }
    for field in ["index", "name", "type", "state", "cached", "key", "age_seconds", "seconds"] {
        assert!(!manifest["steps"][0][field].is_null(), "{field}: {manifest}");
    }
    let outputs: Vec<_> =
        manifest["outputs"].as_array().expect("a list").iter().map(|o| &o["file"]).collect();
    assert_eq!(outputs, ["image.vhd", "sbom.cdx.json", "customization.log", "egress.json"]);

    assert_follow_one_another(&manifest["timeline"]);
    for path in [&["base"][..], &["customize", "step 2: write a file", "seal"], &["distribute"]] {
        assert!(part(&manifest, path)["seconds"].is_number(), "{path:?}: {manifest}");
    }
    // With a comparison, where the disk was made of its base's.
    let disk = part(&manifest, &["disk"])["parts"].as_array().expect("parts");
    let last = disk.last().and_then(|part| part["name"].as_str()).expect("a name");
    assert!(last.starts_with("digest"), "{manifest}");

    let egress = world.json("out/egress.json");
    let rows = egress["connections"].as_array().expect("a list");
    let archive =
        rows.iter().find(|row| row["step"] == 1 && row["protocol"] == "tcp").expect("apt's connection");
    for field in ["name", "address", "port", "layer", "rule", "bytes_out", "bytes_in", "count"] {
        assert!(!archive[field].is_null(), "{field}: {archive}");
    }
    assert_eq!(archive["decision"], "allowed");
    assert!(archive["bytes_in"].as_u64() > Some(1000), "{archive}");
    assert!(rows.iter().any(|row| row["step"] == 0), "what the base needed is told as step 0: {egress}");
    assert!(!rows.iter().any(|row| row["step"] == 2), "writing a file contacts nobody: {egress}");

    let sbom = world.json("out/sbom.cdx.json");
    assert_eq!(sbom["bomFormat"], "CycloneDX");
    let components = sbom["components"].as_array().expect("a list");
    let jq = components.iter().find(|component| component["name"] == "jq").expect("jq is listed");
    assert!(
        jq["version"].is_string()
            && jq["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:deb/debian/jq@"))
    );
}
