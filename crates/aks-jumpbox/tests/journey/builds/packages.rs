//! Downloaded packages and package lists that builds share.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::world::{World, fresh, names};

fn store(world: &World) -> PathBuf {
    world.cache().join("packages/trixie")
}

#[test]
fn packages_are_downloaded_once_and_only_signed_ones_are_shared() {
    let Some(mut world) = World::ready() else { return };
    // What apt adds is large: it goes with the test.
    world.use_private_cache();
    let install = "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends jq";
    let fake = "echo fake | sudo tee /var/cache/apt/archives/fake_1_all.deb";
    let forge = "for deb in /var/cache/apt/archives/jq_*.deb; do echo forged | sudo tee $deb; done";
    let look =
        "head -c 7 /var/cache/apt/archives/jq_*.deb; echo; ls /var/cache/apt/archives | grep -c fake || true";
    world.steps(&json!([
        fresh("install", &["sudo apt-get update", install]),
        fresh("plant", &[fake, forge]),
        fresh("look", &[look]),
        fresh("again", &["sudo apt-get purge -y jq", install]),
    ]));
    let built = world.build("--until again", 0);
    assert_eq!(built.output(3), ["!<arch>", "0"], "what a step adds or changes there is gone after it");
    let again = built.output(4).join("\n");
    assert!(again.contains("Need to get 0 B"), "{again}");

    let shared = names(&store(&world));
    assert!(!shared.iter().any(|name| name.starts_with("fake")), "{shared:?}");
    let packages = shared.iter().filter(|name| Path::new(name).extension().is_some_and(|end| end == "deb"));
    assert_eq!(packages.count(), shared.len(), "nothing else: {shared:?}");
    let jq = shared.iter().find(|name| name.starts_with("jq_")).expect("jq is shared");
    let bytes = fs::read(store(&world).join(jq)).expect("read");
    assert!(bytes.starts_with(b"!<arch>\n"), "it is the package, not what a step wrote over it");
}

#[test]
fn kept_package_lists_save_a_download_and_otherwise_change_nothing() {
    let Some(mut world) = World::ready() else { return };
    world.use_private_cache();
    let lists = "/var/lib/apt/lists";
    let offline = "sudo apt-get -o Acquire::http::Proxy=http://127.0.0.1:9 -o Acquire::Retries=0 update";
    world.steps(&json!([
        fresh("without an update", &["if sudo apt-get install --yes jq; then exit 1; fi"]),
        fresh("unreachable", &[offline, &format!("if ls {lists}/*_*; then exit 1; fi")]),
        fresh("poison", &["if echo forged | sudo tee /run/aks-jumpbox/lists/*_Packages; then exit 1; fi"]),
        fresh(
            "update",
            &["sudo apt-get update", "echo ---", &format!("grep -rl X-Kept {lists} || echo none")]
        ),
        fresh("forge", &[&format!("echo forged | sudo tee {lists}/*_Packages > /dev/null")]),
    ]));
    let built = world.build("--until forge", 0);
    let update = built.output(4);
    assert!(
        update.iter().any(|line| line.ends_with("kB]") && line.contains("trixie InRelease")),
        "{update:?}"
    );
    assert!(!update.iter().any(|line| line.contains("trixie/main amd64 Packages")), "{update:?}");
    assert_eq!(update.last(), Some(&"none"), "the release files are the archive's");

    let install = "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends jq";
    world.steps(&json!([fresh("another build", &["sudo apt-get update", install])]));
    let built = world.build("--until 1", 0);
    assert!(!built.output(1).join("\n").contains("trixie/main amd64 Packages"), "{built}");
}
