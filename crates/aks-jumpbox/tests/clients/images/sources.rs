//! Scripts and files from the endpoint's own blobs: who may read them, and when that is asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::workshop::{READER, Workshop, find, workshop};

fn step(uri: &str) -> Value {
    json!([{ "type": "Shell", "scriptUri": uri }])
}

/// The query of a signature of a container for reading.
fn signature(shop: &Workshop<'_>, account: &str, container: &str) -> String {
    let path =
        shop.id(&format!("Microsoft.Storage/storageAccounts/{account}/listKeys?api-version=2024-01-01"));
    let keys: Value = serde_json::from_str(&shop.rest.send("POST", &path, &[], &[]).text).expect("JSON");
    let key = STANDARD.decode(keys["keys"][0]["value"].as_str().expect("a key")).expect("a key");
    let text = format!("r\n\n2099-01-01\n/blob/{account}/{container}\n\n\n\n2020-02-10\nc\n\n\n\n\n\n");
    // HMAC-SHA256 of a key that is as long as a block.
    let pad = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    let tag = STANDARD.encode(Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize());
    let tag = tag.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("sv=2020-02-10&se=2099-01-01&sr=c&sp=r&sig={tag}")
}

#[test]
fn a_script_of_the_endpoints_own_blobs_needs_a_role_or_a_signature() {
    workshop(|shop| {
        let uri = shop.blob("scripts1", "tools", "dir/setup.sh", "#!/bin/sh\necho from a blob; exit 5\n");
        let refused = |name: &str, customize: &Value, code: &str, told: &str| {
            let made = shop.make(name, &json!({ "customize": customize }));
            assert_eq!(made["provisioningState"], "Failed", "{made}");
            assert_eq!(made["provisioningError"]["provisioningErrorCode"], code, "{made}");
            let message = made["provisioningError"]["message"].as_str().expect("a message");
            assert!(message.contains(told) && message.contains(&uri), "{message}");
        };
        refused("nobody", &step(&uri), "NoCustomizerScript", "blobs/read");
        let signature = signature(shop, "scripts1", "tools");
        let forged = format!("{uri}?{}", signature.replace("sp=r", "sp=rw"));
        refused("forged", &step(&forged), "NoCustomizerScript", "AuthenticationFailed");

        // A signature is enough, and neither the log nor the message has it.
        let signed = json!({ "customize": step(&format!("{uri}?{signature}")) });
        assert_eq!(shop.make("signed", &signed)["provisioningState"], "Succeeded");
        let run = shop.run("signed");
        let told = run["message"].as_str().expect("a message");
        assert!(told.contains("exit status: 5") && !told.contains("sig="), "{told}");
        let log = find(&shop.story.path("state/blobs"), "customization.log").expect("a log");
        let log = std::fs::read_to_string(log).expect("read");
        assert!(log.contains("from a blob") && !log.contains("sig="), "{log}");

        let scope = shop.id("Microsoft.Storage/storageAccounts/scripts1");
        shop.assign(READER, &scope);
        let wrong = json!([{ "type": "Shell", "scriptUri": uri, "sha256Checksum": "0".repeat(64) }]);
        refused("other", &wrong, "NoCustomizerScript", "SHA-256");
        assert_eq!(
            shop.make("reader", &json!({ "customize": step(&uri) }))["provisioningState"],
            "Succeeded"
        );
        // It is asked again when it runs.
        std::fs::remove_file(shop.story.path("state/blobs/scripts1/tools/dir/setup.sh")).expect("removed");
        let run = shop.run("reader");
        assert!(run["message"].as_str().is_some_and(|told| told.contains("BlobNotFound")), "{run}");

        // Nothing else of this machine.
        let port = shop.story.serve.told("endpoint").rsplit_once(':').expect("a port").1;
        for address in [
            "https://localhost:1/scripts1/tools/x".to_owned(),
            format!("https://localhost:{port}/subscriptions/x"),
            format!("http://localhost:{port}/scripts1/tools/x"),
            format!("https://localhost:{port}@127.0.0.1/scripts1/tools/x"),
        ] {
            let answer = shop.ask("home", &json!({ "customize": step(&address) }));
            assert_eq!((answer.status, answer.code().as_str()), (400, "ValidationFailed"), "{answer:?}");
        }
    });
}
