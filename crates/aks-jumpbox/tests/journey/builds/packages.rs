//! The store of downloaded packages that builds share.

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
