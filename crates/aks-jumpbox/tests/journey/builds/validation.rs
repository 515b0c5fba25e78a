//! Validators run on the finished disk; targets in Azure become the resources that Azure would hold.

use serde_json::{Value, json};

use crate::world::{World, fresh, unique};

/// A template with one customizer and these validators.
fn validated(world: &World, validators: &Value, go_on: bool) {
    world.template(&json!({
        "customize": [fresh("mark", &["echo mark | sudo tee /opt/mark", "sudo ssh-keygen -A", "sudo touch /var/lib/apt/lists/list"])],
        "validate": {"inVMValidations": validators, "continueDistributeOnFailure": go_on},
    }));
}

#[test]
fn validators_see_the_disk_as_azure_would_boot_it() {
    let Some(world) = World::ready() else { return };
    let gone = "test -z \"$(find /etc/ssh -name 'ssh_host_*' -o -path '/var/lib/apt/lists/*' -type f)\"";
    validated(
        &world,
        &json!([
            fresh("holds the customizers' work", &["cat /opt/mark"]),
            fresh(
                "is generalised",
                &[gone, "test ! -s /etc/machine-id", "test ! -e /var/lib/apt/lists/list"]
            ),
            fresh("is writable", &["echo scratch | sudo tee /opt/scratch"]),
            fresh("in one place", &["cat /opt/scratch"]),
        ]),
        false,
    );
    let built = world.build("", 0);
    assert_eq!(built.done()["image"], "out/image.vhd");
    assert_eq!(built.ends("customize"), ["succeeded"]);
    assert_eq!(built.ends("validate"), ["succeeded"; 4]);
    let log = world.read("out/validation.log");
    assert!(log.contains("ui:     azure-arm: mark") && log.contains("ui:     azure-arm: scratch"), "{log}");
    let root = crate::disk::Root::of(&world.path("out/image.vhd"));
    assert!(!root.exists("/opt/scratch"), "what validators do is not in the image");
    root.assert_clean();
}

#[test]
fn a_failing_validator_keeps_the_image_from_being_placed() {
    let Some(world) = World::ready() else { return };
    validated(
        &world,
        &json!([fresh("strict", &["echo not good enough", "exit 4"]), fresh("never", &["echo never"])]),
        false,
    );
    let built = world.build("", 1);
    let complaint = built.complaint();
    assert!(
        complaint.contains("validator 1 'strict' failed") && complaint.contains("exit status: 4"),
        "{complaint}"
    );
    assert_eq!(world.names("out"), ["customization.log", "egress.json", "manifest.json", "validation.log"]);
    let log = world.read("out/validation.log");
    assert!(log.contains("azure-arm: not good enough") && !log.contains("azure-arm: never"), "{log}");
}

#[test]
fn with_continue_distribute_on_failure_the_image_is_placed_and_each_build_still_says_no() {
    let Some(world) = World::ready() else { return };
    validated(&world, &json!([fresh("strict", &["exit 4"])]), true);
    for run in ["first", "second"] {
        let built = world.build("", 1);
        assert!(built.complaint().contains("validator 1 'strict' failed"), "{run}: {built}");
        assert!(world.path("out/image.vhd").exists(), "{run}");
        assert_eq!(built.failed()["phase"], "validate", "{run}");
        let manifest = world.json("out/manifest.json");
        assert_eq!(manifest["image"], "image.vhd", "{run}");
        assert_eq!(manifest["outputs"][0]["run_output_name"], "image", "{run}");
        assert_eq!(manifest["last_run_status"]["run_state"], "Failed", "as the service reports it: {run}");
        assert!(built.said("warning").contains("continueDistributeOnFailure"), "{run}: {built}");
    }
}

#[test]
fn images_and_gallery_versions_are_described_as_azure_would_hold_them() {
    let Some(world) = World::ready() else { return };
    let group =
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Compute";
    let (image, version) =
        (format!("{group}/images/box-{}", unique()), format!("{group}/galleries/g/images/box"));
    world.template(&json!({
        "customize": [],
        "distribute": [
            {"type": "ManagedImage", "runOutputName": "managed", "imageId": image, "location": "eastus2",
                "artifactTags": {"team": "platform"}},
            {"type": "SharedImage", "runOutputName": "gallery", "galleryImageId": version,
                "targetRegions": [{"name": "eastus2", "replicaCount": 2, "storageAccountType": "Premium_LRS"}]},
        ],
    }));
    world.build("", 0);
    let managed = world.json("out/managed.image.json");
    assert_eq!(managed["id"], json!(image));
    assert_eq!(managed["properties"]["hyperVGeneration"], "V2");
    assert_eq!(managed["properties"]["storageProfile"]["osDisk"]["osState"], "Generalized");
    assert_eq!(managed["tags"]["team"], "platform");
    let gallery = world.json("out/gallery.gallery.json");
    let region = &gallery["properties"]["publishingProfile"]["targetRegions"][0];
    assert_eq!((&region["name"], &region["regionalReplicaCount"]), (&json!("eastus2"), &json!(2)));
    let outputs = world.json("out/manifest.json")["outputs"].clone();
    let kinds: Vec<_> =
        outputs.as_array().expect("a list").iter().map(|output| output["type"].clone()).collect();
    assert_eq!(kinds[..2], [json!("ManagedImage"), json!("SharedImage")], "{outputs}");
}
