//! What a build can start from.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

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
    for known in [
        "Debian:debian-13:13-gen2",
        "Debian:debian-12:12-gen2",
        "Canonical:ubuntu-24_04-lts:server (not tested)",
        "--base FILE",
    ] {
        assert!(complaint.contains(known), "{complaint}");
    }
    assert!(!world.path("out").exists(), "nothing was begun");
}

#[test]
fn ubuntu_24_04_builds_from_its_archive() {
    let Some(world) = World::ready() else { return };
    if let Err(why) = ubuntus_archive() {
        eprintln!("SKIPPED: ubuntu_24_04_builds_from_its_archive: {why}");
        return;
    }
    world.template(&json!({
        "source": {
            "type": "PlatformImage", "publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server",
            "version": "latest",
        },
        "customize": [fresh("mark", &["cat /etc/os-release | sudo tee /opt/mark"])],
    }));
    let built = world.build("", 0);
    assert!(built.said("warning").contains("not tested"), "{built}");
    let root = Root::of(&world.path("out/image.vhd"));
    root.assert_clean();
    assert!(root.file("/opt/mark").is_some_and(|mark| mark.contains("VERSION_CODENAME=noble")));
}

/// Whether Ubuntu's archive can be reached and checked, by trying to.
fn ubuntus_archive() -> Result<(), String> {
    const KEYRING: &str = "/usr/share/keyrings/ubuntu-archive-keyring.gpg";
    const ARCHIVE: &str = "archive.ubuntu.com:80";
    if !std::path::Path::new(KEYRING).is_file() {
        return Err(format!("{KEYRING} is missing (package ubuntu-keyring)"));
    }
    let mut addresses = ARCHIVE.to_socket_addrs().map_err(|error| format!("{ARCHIVE}: {error}"))?;
    let address = addresses.next().ok_or(format!("{ARCHIVE} has no address"))?;
    TcpStream::connect_timeout(&address, Duration::from_secs(3))
        .map(drop)
        .map_err(|error| format!("{ARCHIVE}: {error}"))
}
