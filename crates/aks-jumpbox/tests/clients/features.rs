//! Preview features and platform images, as the real Azure CLI asks for them.

use serde_json::json;

use crate::story::az_story;

#[test]
fn a_preview_feature_is_registered_listed_and_taken_back() {
    az_story(|_, az| {
        let feature = "--namespace Microsoft.VirtualMachineImages -n Preview";
        let state = |verb: &str| az.line(&format!("feature {verb} {feature} --query properties.state"));
        assert_eq!(state("show"), "NotRegistered");
        assert_eq!(az.line("feature list --query [].name"), json!([]));
        assert_eq!(state("register"), "Registered");
        az.line("feature register --namespace Microsoft.Compute -n Other");
        assert_eq!(state("show"), "Registered");
        let named = "Microsoft.VirtualMachineImages/Preview";
        assert_eq!(
            az.line(
                "feature list --namespace Microsoft.VirtualMachineImages --query [].[name,properties.state]"
            ),
            json!([[named, "Registered"]])
        );
        assert_eq!(az.line("feature list --query [].name"), json!(["Microsoft.Compute/Other", named]));
        assert_eq!(state("unregister"), "Unregistered");
        assert_eq!(state("show"), "Unregistered");
    });
}

#[test]
fn platform_images_are_found_from_their_publisher_to_their_version() {
    az_story(|_, az| {
        let names = |words: &str| az.line(&format!("vm image {words} -l eastus2 --query [].name"));
        assert_eq!(names("list-publishers"), json!(["Debian"]));
        assert_eq!(names("list-offers -p debian"), json!(["debian-12", "debian-13"]));
        assert_eq!(names("list-skus -p Debian -f debian-13"), json!(["13-gen2"]));
        let all = az.line("vm image list -l eastus2 -p Debian -f debian-13 --all --query [].urn");
        let urn = all[0].as_str().expect("an image");
        assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
        // What a list names can be shown, and is what `latest` leads to.
        let show = |urn: &str| az.line(&format!("vm image show -l eastus2 --urn {urn}"));
        let shown = show(urn);
        assert_eq!(shown["name"], urn.rsplit(':').next().expect("a version"));
        assert_eq!([&shown["hyperVGeneration"], &shown["architecture"]], ["V2", "x64"]);
        assert_eq!(show("Debian:debian-13:13-gen2:latest"), shown);
        az.refused("vm image show -l eastus2 --urn Debian:debian-13:13-gen2:9.9.9", "NotFound");
    });
}
