//! Validators, and what is asked for that only Azure does.

use serde_json::json;

use super::workshop::{find, workshop};

#[test]
fn a_failed_validator_can_leave_the_image_and_what_only_azure_does_is_said() {
    workshop(|shop| {
        let check = |line: &str, go_on: bool| json!({ "inVMValidations": [shop.fresh(line)], "continueDistributeOnFailure": go_on });
        shop.make("doubtful", &json!({ "validate": check("echo doubt; exit 4", true) }));
        let run = shop.run("doubtful");
        assert_eq!(run["runState"], "Failed", "{run}");
        assert!(shop.outputs("doubtful")[0]["properties"]["artifactUri"].is_string());
        shop.delete("doubtful");

        shop.make("bad", &json!({ "validate": check("exit 4", false) }));
        shop.run("bad");
        assert_eq!(shop.outputs("bad"), json!([]));
        shop.delete("bad");

        let only = json!({ "inVMValidations": [shop.fresh("echo the source is fine")], "sourceValidationOnly": true });
        shop.make("source", &json!({ "validate": only, "optimize": { "vmBoot": { "state": "Enabled" } } }));
        let run = shop.run("source");
        assert_eq!(run["runState"], "Succeeded", "{run}");
        assert!(run["message"].as_str().is_some_and(|told| told.contains("optimize.vmBoot")), "{run}");
        assert_eq!(shop.template("source")["optimize"]["vmBoot"]["state"], "Enabled");
        let log = find(&shop.story.path("state/blobs"), "validation.log").expect("a log");
        assert!(std::fs::read_to_string(log).expect("read").contains("the source is fine"));
    });
}

#[test]
fn a_trigger_is_kept_for_a_template_that_can_have_one() {
    workshop(|shop| {
        shop.make("live", &json!({}));
        let put = |template: &str, name: &str, kind: &str| {
            let path = shop.path(template, &format!("/triggers/{name}"));
            let body = json!({ "properties": { "kind": kind } }).to_string();
            shop.rest.send("PUT", &path, &[], body.as_bytes())
        };
        let answer = put("live", "source", "SourceImage");
        assert_eq!(answer.status, 201, "{answer:?}");
        let status = answer.json()["properties"]["status"].clone();
        assert_eq!(status["code"], "Healthy");
        assert!(status["message"].as_str().is_some_and(|told| told.contains("never fires")), "{status}");
        assert_eq!(put("live", "second", "SourceImage").code(), "ValidationFailed");
        assert_eq!(put("live", "source", "Schedule").code(), "ValidationFailed");
        let fixed = json!({ "source": {
            "type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "0.1.2",
        } });
        shop.make("fixed", &fixed);
        assert_eq!(put("fixed", "source", "SourceImage").code(), "ValidationFailed");
        shop.delete("live");
        assert_eq!(shop.rest.send("GET", &shop.path("live", "/triggers/source"), &[], &[]).status, 404);
    });
}
