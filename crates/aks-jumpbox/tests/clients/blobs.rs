//! Blobs, by the real Azure CLI: with an account's key, a shared access signature and a role; and by nobody.

use std::io::{Read, Write};

use serde_json::json;

use crate::story::{az_story, story_with};

#[test]
fn a_blob_is_written_listed_and_read_by_whoever_may() {
    az_story(|story, az| {
        az.line("group create -n rg -l eastus2");
        az.line("provider register -n Microsoft.Storage");
        az.line("storage account create -g rg -n scripts1 -l eastus2");
        let keys = ["storage", "account", "keys", "list", "-g", "rg", "-n", "scripts1"];
        let keys = az.run_for_a_secret(&keys).json(&keys);
        let key = keys[0]["value"].as_str().expect("a key").to_owned();
        story.secret(&key);
        let at = format!("--blob-endpoint {}/scripts1", story.serve.told("endpoint"));
        let by_key = format!("{at} --account-key {key}");
        let script = story.write("setup.sh", "echo from a blob\n");
        let to = story.path("got.sh");
        let got = || std::fs::read_to_string(story.path("got.sh")).expect("read");

        az.line(&format!("storage container create -n tools {by_key}"));
        let upload =
            format!("storage blob upload -c tools -n dir/setup.sh -f {script} --no-progress {by_key}");
        az.line(&upload);
        az.refused(&upload, "BlobAlreadyExists");
        let names = az
            .line(&format!("storage blob list -c tools --query [].[name,properties.contentLength] {by_key}"));
        assert_eq!(names, json!([["dir/setup.sh", 17]]));
        let download =
            format!("storage blob download -c tools -n dir/setup.sh -f {} --no-progress", to.display());
        az.line(&format!("{download} {by_key}"));
        assert_eq!(got(), "echo from a blob\n");
        let other = "b3RoZXIga2V5IHRoYXQgaXMgbm90IHRoZSBhY2NvdW50J3M=";
        az.refused(&format!("{download} {at} --account-key {other}"), "Authentication failure");

        let sign = format!(
            "storage blob generate-sas -c tools -n dir/setup.sh --permissions r --expiry 2099-01-01T00:00Z --account-name scripts1 --account-key {key} -o tsv"
        );
        let words: Vec<&str> = sign.split(' ').collect();
        let signature = az.run_for_a_secret(&words).out.trim().to_owned();
        std::fs::remove_file(&to).expect("removed");
        az.line(&format!("{download} {at} --sas-token {signature}"));
        assert_eq!(got(), "echo from a blob\n");
        az.refused(
            &format!("storage blob delete -c tools -n dir/setup.sh {at} --sas-token {signature}"),
            "required permissions",
        );

        // Owners of an account may do all with it and nothing with what is in it.
        let by_role = format!("{download} {at} --auth-mode login --overwrite");
        az.refused(&by_role, "required permissions");
        let client = story.serve.told("client_id");
        az.line(&format!("role assignment create --assignee {client} --role ba92f5b4-2d11-453d-a403-e96b0029c9fe --scope {}", story.subscription()));
        az.line(&by_role);
        az.line(&format!("storage blob delete -c tools -n dir/setup.sh {by_key}"));
        az.refused(&format!("{download} {by_key} --overwrite"), "BlobNotFound");
        nobody_uploads(story);
    });
}

/// An upload without a right is refused by its head: nothing of its body is asked for or kept.
fn nobody_uploads(story: &crate::story::Story) {
    let mut connection = story.rest().raw();
    let head = "PUT /scripts1/tools/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1099511627776\r\nConnection: close\r\n\r\n";
    connection.write_all(head.as_bytes()).expect("written");
    let mut answer = String::new();
    // The endpoint closes in the middle of what it was promised.
    let _ = connection.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("NoAuthenticationInformation"), "{answer}");
    let spooled = std::fs::read_dir(story.path("state/spool")).expect("listed").count();
    assert_eq!(spooled, 0);
}

#[test]
fn blobs_can_be_in_an_azurite() {
    story_with(&["--azurite", "http://127.0.0.1:10000"], |story| {
        let rest = story.rest();
        rest.group("g");
        let register = rest.url("/providers/Microsoft.Storage/register");
        assert_eq!(rest.send("POST", &register, &[], &[]).status, 200);
        let path = "/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/scripts";
        let forged = json!({ "location": "eastus2", "properties": { "primaryEndpoints": { "blob": "https://evil.example/" } } });
        let made = rest.put(path, &forged).json();
        assert_eq!(
            made["properties"]["primaryEndpoints"],
            json!({ "blob": "http://127.0.0.1:10000/scripts/" })
        );
    });
}
