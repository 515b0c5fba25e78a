//! Where finished images go.

use serde_json::json;

use super::workshop::{WRITER, workshop};

#[test]
fn a_disk_goes_into_a_container_that_the_identity_may_write() {
    workshop(|shop| {
        let beside = shop.blob("disks1", "made", "beside", "");
        let uri = beside.replace("beside", "jumpbox.vhd");
        let target =
            |uri: &str| json!({ "distribute": [{ "type": "VHD", "runOutputName": "disk", "uri": uri }] });
        shop.make("disk", &target(&uri));
        let run = shop.run("disk");
        assert!(run["message"].as_str().is_some_and(|told| told.contains("blobs/write")), "{run}");
        assert_eq!(shop.outputs("disk"), json!([]));
        shop.assign(WRITER, &shop.id("Microsoft.Storage/storageAccounts/disks1"));
        let run = shop.run("disk");
        assert_eq!(run["runState"], "Succeeded", "{run}");
        assert_eq!(shop.outputs("disk")[0]["properties"]["artifactUri"], uri);
        let file = shop.story.path("state/blobs/disks1/made/jumpbox.vhd");
        assert!(build_engine::disk::content_sha256(&file).is_ok());

        shop.delete("disk");
        assert!(file.exists(), "what was brought stays");
        shop.make("nowhere", &target("https://other.blob.core.windows.net/made/jumpbox.vhd"));
        let run = shop.run("nowhere");
        assert!(
            run["message"].as_str().is_some_and(|told| told.contains("not one of this endpoint")),
            "{run}"
        );
    });
}
