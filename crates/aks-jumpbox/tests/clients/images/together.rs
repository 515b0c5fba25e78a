//! Two builds at once are two builds.

use serde_json::{Value, json};

use super::{assign, can_build, prepare, template_of};
use crate::story::{Az, Story, az_story};

const NAMES: [&str; 2] = ["first", "second"];

fn path(name: &str, rest: &str) -> String {
    format!("/resourceGroups/rg/providers/Microsoft.VirtualMachineImages/imageTemplates/{name}{rest}")
}

/// What a template's one run left in its staging account: the run's id and its log.
fn log(story: &Story, az: &Az<'_>, disk: &str) -> (String, String) {
    let endpoint = story.serve.told("endpoint");
    let account = disk[endpoint.len()..].split('/').nth(1).expect("an account");
    let group = az.line(&format!("storage account list --query [?name=='{account}'].resourceGroup|[0]"));
    let group = group.as_str().expect("a group");
    let keys = az.run_for_a_secret(&["storage", "account", "keys", "list", "-g", group, "-n", account]);
    let key = keys.json(&["keys"])[0]["value"].as_str().expect("a key").to_owned();
    story.secret(&key);
    let blobs = format!("-c packerlogs --blob-endpoint {endpoint}/{account} --account-key {key}");
    let names = az.line(&format!("storage blob list {blobs} --query [].name"));
    let names = names.as_array().expect("names").iter().filter_map(Value::as_str);
    let logs: Vec<&str> = names.filter(|name| name.ends_with("/customization.log")).collect();
    let [name] = logs[..] else { panic!("one log: {logs:?}") };
    let file = story.path(account);
    az.line(&format!("storage blob download {blobs} -n {name} -f {} --no-progress", file.display()));
    let (run, _) = name.split_once('/').expect("a folder");
    (run.to_owned(), std::fs::read_to_string(file).expect("read"))
}

#[test]
fn two_runs_at_once_have_each_their_own_id_log_and_image() {
    if !can_build() {
        return;
    }
    az_story(|story, az| {
        let object = prepare(az);
        assign(az, &object, "Contributor", &format!("{}/resourceGroups/rg", story.subscription()));
        // Of this run alone, so that no earlier one has made the layers.
        let line = |name: &str| format!("hello from {name} in {}", story.path("").display());
        for name in NAMES {
            let file = template_of(story, name, &[&format!("echo {}", line(name))]);
            az.line(&format!("image builder create -g rg -n {name} --image-template {file}"));
        }
        let rest = story.rest();
        for name in NAMES {
            let answer = rest.send("POST", &rest.url(&path(name, "/run")), &[], &[]);
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        for name in NAMES {
            az.line(&format!("image builder wait -g rg -n {name} --custom lastRunStatus.runState!='Running' --interval 1 --timeout 200"));
        }
        let status =
            NAMES.map(|name| rest.get(&path(name, "")).json()["properties"]["lastRunStatus"].clone());
        assert!(status.iter().all(|status| status["runState"] == "Succeeded"), "{status:?}");
        let time = |index: usize, name: &str| status[index][name].as_str().expect("a time").to_owned();
        assert!(time(1, "startTime") < time(0, "endTime"), "not at once: {status:?}");

        let told = NAMES.map(|name| {
            let outputs = az.line(&format!("image builder show-runs -g rg -n {name}"));
            let image = az.line(&format!("image show -g rg -n {name} --query id"));
            assert_eq!(outputs[1]["artifactId"], image, "{outputs}");
            let disk = outputs[0]["artifactUri"].as_str().expect("a disk").to_owned();
            (log(story, az, &disk), disk)
        });
        let [((first_run, first_log), first_disk), ((second_run, second_log), second_disk)] = told;
        assert_ne!(first_run, second_run);
        assert_ne!(first_disk, second_disk);
        let says = |log: &str| json!(NAMES.map(|name| log.contains(&line(name))));
        assert_eq!([says(&first_log), says(&second_log)], [json!([true, false]), json!([false, true])]);
    });
}
