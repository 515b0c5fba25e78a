//! Galleries and managed images, by the real Azure CLI: what comes back is what was sent.

use serde_json::{Value, json};

use crate::story::{Az, Story, az_story};

/// What an answer says of the fields that were sent.
fn of_what_was_sent(sent: &Value, back: &Value) -> Value {
    match (sent, back) {
        (Value::Object(sent), Value::Object(back)) => sent
            .iter()
            .filter_map(|(name, sent)| Some((name.clone(), of_what_was_sent(sent, back.get(name)?))))
            .collect(),
        _ => back.clone(),
    }
}

/// Makes something, and finds it by its own command and in the list of its kind as it was sent.
#[track_caller]
fn made_shown_and_listed(az: &Az<'_>, kind: &str, outer: &str, name: &str, more: &str, sent: &Value) {
    let made = az.line(&format!("{kind} create {outer} {name} {more}"));
    assert_eq!(&of_what_was_sent(sent, &made), sent, "{made:#}");
    assert_eq!(az.line(&format!("{kind} show {outer} {name}")), made);
    assert_eq!(az.line(&format!("{kind} list {outer}")), json!([made]));
}

#[test]
fn a_gallery_its_definitions_and_versions_come_back_as_they_were_sent() {
    az_story(|story, az| {
        az.line("group create -n rg -l eastus2");
        az.line("provider register -n Microsoft.Compute");
        let sent =
            json!({ "name": "gal", "location": "eastus2", "description": "boxes", "tags": { "a": "b" } });
        made_shown_and_listed(az, "sig", "-g rg", "-r gal", "--description boxes --tags a=b", &sent);

        let sent = json!({
            "name": "box", "identifier": { "publisher": "me", "offer": "boxes", "sku": "v1" },
            "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "architecture": "Arm64",
            "features": [{ "name": "SecurityType", "value": "TrustedLaunch" }],
        });
        let more = "--publisher me --offer boxes --sku v1 --os-type Linux --hyper-v-generation V2 --architecture Arm64 \
                    --features SecurityType=TrustedLaunch";
        made_shown_and_listed(az, "sig image-definition", "-g rg -r gal", "-i box", more, &sent);
        versions(story, az);

        let definition = "sig image-definition delete -g rg -r gal -i box";
        az.refused(definition, "CannotDeleteResource");
        az.refused("sig delete -g rg -r gal", "CannotDeleteResource");
        az.line("sig image-version delete -g rg -r gal -i box -e 1.0.0");
        az.line(definition);
        az.line("sig delete -g rg -r gal");
        az.refused("sig show -g rg -r gal", "ResourceNotFound");
    });
}

/// A version as another tool made it, since a build would take longer.
fn versions(story: &Story, az: &Az<'_>) {
    let definition = format!(
        "{}/resourceGroups/rg/providers/Microsoft.Compute/galleries/gal/images/box",
        story.subscription()
    );
    let sent = json!({
        "location": "eastus2", "tags": { "made": "elsewhere" },
        "properties": {
            "publishingProfile": {
                "targetRegions": [{ "name": "eastus2", "regionalReplicaCount": 2 }], "excludeFromLatest": true,
            },
            "storageProfile": { "source": { "id": "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/images/i" } },
        },
    });
    let file = format!("@{}", story.write("version.json", &sent.to_string()));
    az.line(&format!(
        "rest --method put --url {definition}/versions/1.0.0?api-version=2024-03-03 --body {file}"
    ));
    let at = "-g rg -r gal -i box";
    let shown = az.line(&format!("sig image-version show {at} -e 1.0.0"));
    assert_eq!(shown["id"], format!("{definition}/versions/1.0.0"));
    assert_eq!(
        [&shown["tags"], &shown["publishingProfile"]],
        [&sent["tags"], &sent["properties"]["publishingProfile"]]
    );
    assert_eq!(az.line(&format!("sig image-version list {at}")), json!([shown]));
}

#[test]
fn a_managed_image_comes_back_as_it_was_sent_and_goes() {
    az_story(|_, az| {
        az.line("group create -n rg -l eastus2");
        az.line("provider register -n Microsoft.Compute");
        let disk = "https://account.blob.core.windows.net/vhds/disk.vhd";
        let sent = json!({
            "name": "img", "hyperVGeneration": "V2", "tags": { "a": "b" },
            "storageProfile": { "osDisk": { "blobUri": disk, "osType": "Linux", "osState": "Generalized" } },
        });
        let more = format!("--source {disk} --os-type Linux --hyper-v-generation V2 --tags a=b");
        made_shown_and_listed(az, "image", "-g rg", "-n img", &more, &sent);
        az.line("image delete -g rg -n img");
        az.refused("image show -g rg -n img", "ResourceNotFound");
        assert_eq!(az.line("image list -g rg"), json!([]));
    });
}
