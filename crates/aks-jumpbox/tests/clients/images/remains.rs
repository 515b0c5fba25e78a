//! What a failed run leaves, with `errorHandling` and without.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::workshop::{Workshop, find, workshop};

/// The folder of the build machine that a template's staging group has, and its address.
fn machine(shop: &Workshop<'_>, template: &str) -> Option<(PathBuf, String)> {
    let staging = shop.template(template)["exactStagingResourceGroup"].as_str().expect("a group").to_owned();
    let path = format!("{staging}/providers/Microsoft.Compute/virtualMachines?api-version=2024-07-01");
    let machines: Value = shop.rest.send("GET", &path, &[], &[]).json();
    let machines = machines["value"].as_array().expect("a list").clone();
    assert!(machines.len() <= 1, "{machines:?}");
    let machine = machines.first()?;
    let folder = machine["properties"]["localFolder"].as_str().expect("a folder").into();
    Some((folder, machine["id"].as_str().expect("an id").to_owned()))
}

#[test]
fn abort_keeps_what_a_failed_step_left_until_the_next_run_or_the_templates_end() {
    workshop(|shop| {
        let step = shop.fresh("echo evidence | sudo tee /opt/evidence; exit 3");
        let abort = json!({ "customize": [step], "errorHandling": { "onCustomizerError": "abort" } });
        assert_eq!(shop.make("kept", &abort)["provisioningState"], "Succeeded");
        let run = shop.run("kept");
        let (folder, id) = machine(shop, "kept").unwrap_or_else(|| panic!("no machine: {run}"));
        let told = run["message"].as_str().expect("a message");
        assert!(told.contains(&id) && told.contains(&folder.display().to_string()), "{told}");
        let evidence = find(&folder, "evidence").expect("what the step wrote");
        assert_eq!(std::fs::read_to_string(evidence).expect("read"), "evidence\n");

        shop.run("kept");
        let (second, id) = machine(shop, "kept").expect("another machine");
        assert!(!folder.exists() && second.exists());
        // A client that names a folder names nothing.
        let mine = shop.story.path("mine");
        std::fs::create_dir(&mine).expect("made");
        std::fs::write(mine.join("keep.json"), "{}").expect("written");
        let body = json!({ "location": "eastus2", "properties": { "localFolder": mine } });
        let address = format!("{id}?api-version=2024-07-01");
        shop.rest.send("PUT", &address, &[], body.to_string().as_bytes());
        assert_eq!(machine(shop, "kept").map(|(folder, _)| folder).as_ref(), Some(&second));
        shop.delete("kept");
        assert!(!second.exists() && mine.exists());

        let step = shop.fresh("exit 3");
        shop.make("clean", &json!({ "customize": [step] }));
        assert_eq!(shop.run("clean")["runState"], "Failed");
        assert_eq!(machine(shop, "clean"), None);
    });
}

#[test]
fn abort_keeps_what_a_failed_validator_left_and_its_log_is_in_the_staging_account() {
    workshop(|shop| {
        let check = shop.fresh("echo looked at; echo doubt | sudo tee /opt/doubt; exit 4");
        let abort = json!({
            "validate": { "inVMValidations": [check] }, "errorHandling": { "onValidationError": "abort" },
        });
        shop.make("checked", &abort);
        let run = shop.run("checked");
        assert_eq!(run["runState"], "Failed", "{run}");
        let (folder, _) = machine(shop, "checked").unwrap_or_else(|| panic!("no machine: {run}"));
        assert!(find(&folder, "doubt").is_some());
        let log = find(&shop.story.path("state/blobs"), "validation.log").expect("a log");
        let log = std::fs::read_to_string(log).expect("read");
        assert!(log.contains("looked at") && log.contains("exit status: 4"), "{log}");
        shop.delete("checked");
        assert!(!folder.exists());
    });
}
