//! Image templates, their runs and what they make, by the real Azure CLI. Builds are real.

mod distribute;
mod killed;
mod remains;
mod source;
mod sources;
mod together;
mod validate;
mod workshop;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::serve::Serve;
use crate::story::{Az, Story, az_story, sdk_story};

/// Whether this machine can build; otherwise that is said.
pub fn can_build() -> bool {
    let program = env!("CARGO_BIN_EXE_aks-jumpbox");
    let output = Command::new(program).args(["doctor", "--format", "json"]).output().expect("it runs");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ready = answer["ready"] == true && rustix::process::geteuid().is_root();
    assert!(ready || std::env::var_os("CI").is_none(), "{answer:#}");
    if !ready {
        eprintln!("SKIPPED: builds on this machine need more: {answer}");
    }
    ready
}

/// Everything around a template: a network with a way out, and an identity without any role. Its object id.
fn prepare(az: &Az<'_>) -> String {
    az.line("group create -n rg -l eastus2");
    az.line("network nsg create -g rg -n nsg");
    az.line("network public-ip create -g rg -n pip --sku Standard");
    az.line("network nat gateway create -g rg -n nat --public-ip-addresses pip");
    az.line("network vnet create -g rg -n vnet --address-prefix 10.240.0.0/16");
    az.line(
        "network vnet subnet create -g rg --vnet-name vnet -n build --address-prefixes 10.240.0.0/28 --nsg nsg --nat-gateway \
         nat --disable-private-link-service-network-policies true",
    );
    for provider in ["VirtualMachineImages", "Compute", "Storage"] {
        az.line(&format!("provider register -n Microsoft.{provider}"));
    }
    let identity = az.line("identity create -g rg -n builder");
    identity["principalId"].as_str().expect("an object id").to_owned()
}

fn template(story: &Story, inline: &[&str]) -> String {
    template_of(story, "jumpbox", inline)
}

/// A template whose image has a name.
fn template_of(story: &Story, name: &str, inline: &[&str]) -> String {
    let group = format!("{}/resourceGroups/rg/providers", story.subscription());
    let identity = format!("{group}/Microsoft.ManagedIdentity/userAssignedIdentities/builder");
    let template = json!({
        "location": "eastus2",
        "tags": { "purpose": "jump box" },
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { identity: {} } },
        "properties": {
            "source": { "type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest" },
            "customize": [{ "type": "Shell", "name": "greet", "inline": inline }],
            "vmProfile": { "vnetConfig": { "subnetId": format!("{group}/Microsoft.Network/virtualNetworks/vnet/subnets/build") } },
            "distribute": [
                { "type": "ManagedImage", "runOutputName": "image", "location": "eastus2",
                  "imageId": format!("{group}/Microsoft.Compute/images/{name}"), "artifactTags": { "made": "here" } },
                { "type": "VHD", "runOutputName": "disk" },
            ],
        },
    });
    story.write(&format!("{name}.json"), &template.to_string())
}

fn assign(az: &Az<'_>, object: &str, role: &str, scope: &str) {
    let words = [
        "role",
        "assignment",
        "create",
        "--assignee-object-id",
        object,
        "--assignee-principal-type",
        "ServicePrincipal",
        "--role",
        role,
        "--scope",
        scope,
    ];
    az.ok(&words);
}

#[test]
fn a_jump_box_made_by_the_azure_cli_alone_boots() {
    if !can_build() {
        return;
    }
    az_story(|story, az| {
        let object = prepare(az);
        // A line of its own, so that no earlier run has made the layer.
        let hello = format!("echo hello from the builder of {}", story.path("").display());
        let file = template(story, &["echo made-by-the-cli | sudo tee /etc/jumpbox-note", &hello]);
        let create = format!("image builder create -g rg -n jumpbox --image-template {file}");

        // The first role that users forget, and what they are told.
        let told = az.refused(&create, "AuthorizationFailed");
        assert!(told.contains("Microsoft.Network/virtualNetworks/subnets/join/action"), "{told}");
        assert_eq!(
            az.line("image builder show -g rg -n jumpbox --query [provisioningState,lastRunStatus]"),
            json!(["Failed", null])
        );
        az.refused(&create, "Conflict");
        az.line("image builder delete -g rg -n jumpbox");
        let network = format!(
            "{}/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet",
            story.subscription()
        );
        assign(az, &object, "Network Contributor", &network);
        az.line(&create);
        let shown = az.line("image builder show -g rg -n jumpbox");
        assert_eq!(shown["provisioningState"], "Succeeded");
        assert_eq!(shown["customize"][0]["inline"][1], hello);
        assert_eq!(shown["tags"], json!({ "purpose": "jump box" }));
        let staging =
            shown["exactStagingResourceGroup"].as_str().expect("a group").rsplit('/').next().expect("a name");
        assert!(staging.starts_with("IT_rg_jumpbox_"), "{staging}");

        // The second one shows only when the image is finished.
        let told = az.refused("image builder run -g rg -n jumpbox", "PackerBuildFailed");
        assert!(
            told.contains("Microsoft.Compute/images/write") && told.contains("customization.log"),
            "{told}"
        );
        let run = az.line("image builder show -g rg -n jumpbox --query lastRunStatus");
        assert_eq!(run["runState"], "Failed", "{run}");
        az.refused("image show -g rg -n jumpbox", "ResourceNotFound");
        assign(az, &object, "Contributor", &format!("{}/resourceGroups/rg", story.subscription()));
        az.line("image builder run -g rg -n jumpbox");
        let run = az.line("image builder show -g rg -n jumpbox --query lastRunStatus");
        assert_eq!((&run["runState"], &run["runSubState"]), (&json!("Succeeded"), &Value::Null), "{run}");

        let outputs = az.line("image builder show-runs -g rg -n jumpbox");
        let image = &outputs[1]["artifactId"];
        assert!(image.as_str().is_some_and(|id| id.ends_with("/images/jumpbox")), "{outputs}");
        let shown = az.line("image show -g rg -n jumpbox");
        assert_eq!(
            (&shown["tags"]["made"], &shown["hyperVGeneration"]),
            (&json!("here"), &json!("V2")),
            "{shown}"
        );
        let disk = outputs[0]["artifactUri"].as_str().expect("a disk");
        download_and_boot(story, az, staging, disk);

        az.line("image builder delete -g rg -n jumpbox");
        az.refused(&format!("group show -n {staging}"), "ResourceGroupNotFound");
        az.line("image show -g rg -n jumpbox");
    });
}

/// Fetches the log and the disk from the staging account as a user does, and starts the disk.
fn download_and_boot(story: &Story, az: &Az<'_>, staging: &str, disk: &str) {
    let endpoint = story.serve.told("endpoint");
    let path = disk.strip_prefix(endpoint).expect("an address of this endpoint");
    let [account, container, blob] = path.trim_start_matches('/').splitn(3, '/').collect::<Vec<_>>()[..]
    else {
        panic!("{disk}");
    };
    let keys = az.run_for_a_secret(&["storage", "account", "keys", "list", "-g", staging, "-n", account]);
    let keys = keys.json(&["keys"]);
    let key = keys[0]["value"].as_str().expect("a key").to_owned();
    story.secret(&key);
    let blobs = format!("--blob-endpoint {endpoint}/{account} --account-key {key}");
    let logs = az.line(&format!("storage blob list -c packerlogs {blobs} --query [].name"));
    let log = logs.as_array().expect("names").iter().filter_map(Value::as_str);
    let logs: Vec<&str> = log.filter(|name| name.ends_with("/customization.log")).collect();
    assert_eq!(logs.len(), 2, "one of each run: {logs:?}");
    let read = |name: &str| {
        let to = story.path(&name.replace('/', "-"));
        let to = to.display();
        az.line(&format!("storage blob download -c packerlogs -n {name} -f {to} {blobs} --no-progress"));
        std::fs::read_to_string(story.path(&name.replace('/', "-"))).expect("a log")
    };
    // The second run found the step's layer: its script did not run again.
    assert_eq!(
        logs.iter().filter(|name| read(name).contains("azure-arm: hello from the builder")).count(),
        1
    );
    let file = story.path("disk.vhd");
    az.line(&format!(
        "storage blob download -c {container} -n {blob} -f {} {blobs} --no-progress",
        file.display()
    ));
    boots(&file);
}

/// Boots a disk: what every machine has answers. It is no jump box by its recipe, so what those have beside it may fail.
fn boots(image: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_aks-jumpbox"))
        .args(["try", "--format", "json"])
        .arg(image)
        .output()
        .expect("it runs");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tests = answer["tests"].as_array().expect("tests");
    let status =
        |name: &str| tests.iter().find(|test| test["name"] == name).map(|test| test["status"].clone());
    assert_eq!(
        status("disk-grew"),
        Some(json!("pass")),
        "{answer:#} {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_newest_sdk_makes_runs_and_deletes_a_template() {
    if can_build() {
        sdk_story("sdk_images.py");
    }
}

#[test]
fn a_run_is_cancelled_and_nothing_else_is_allowed_meanwhile() {
    if !can_build() {
        return;
    }
    az_story(|story, az| {
        let object = prepare(az);
        assign(az, &object, "Contributor", &format!("{}/resourceGroups/rg", story.subscription()));
        let file = template(story, &["echo begins", "sleep 1000"]);
        az.line(&format!("image builder create -g rg -n long --image-template {file}"));
        az.line("image builder run -g rg -n long --no-wait");
        az.line("image builder wait -g rg -n long --custom lastRunStatus.runSubState=='Customizing' --interval 1 --timeout 120");
        az.refused("image builder delete -g rg -n long", "OperationNotAllowed");
        az.refused("image builder run -g rg -n long", "OperationNotAllowed");
        az.line("image builder cancel -g rg -n long");
        az.line("image builder wait -g rg -n long --custom lastRunStatus.runState=='Canceled' --interval 1 --timeout 60");
        az.refused("image builder cancel -g rg -n long", "OperationNotAllowed");
        az.line("image builder delete -g rg -n long");
    });
}

/// Whether a program with these words runs anywhere on this machine.
fn runs(words: &str) -> bool {
    let folders = std::fs::read_dir("/proc").expect("listed").flatten();
    let lines = folders.filter_map(|folder| std::fs::read(folder.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).any(|line| line.trim() == words)
}

#[test]
fn a_run_that_a_killed_endpoint_left_has_failed_and_left_nothing() {
    if !can_build() {
        return;
    }
    az_story(|story, az| {
        let object = prepare(az);
        assign(az, &object, "Contributor", &format!("{}/resourceGroups/rg", story.subscription()));
        let file = template(story, &["echo begins", "sleep 98765"]);
        az.line(&format!("image builder create -g rg -n killed --image-template {file}"));
        az.line("image builder run -g rg -n killed --no-wait");
        az.line("image builder wait -g rg -n killed --custom lastRunStatus.runSubState=='Customizing' --interval 1 --timeout 120");
        while !runs("sleep 98765") {
            std::thread::yield_now();
        }
        rustix::process::kill_process(story.serve.id(), rustix::process::Signal::KILL).expect("killed");
        while runs("sleep 98765") {
            std::thread::yield_now();
        }
        let port = story.serve.told("endpoint").rsplit(':').next().expect("a port");
        let again = Serve::start_with(&story.path("state"), &["--listen", &format!("127.0.0.1:{port}")]);
        let run = az.line("image builder show -g rg -n killed --query lastRunStatus");
        assert_eq!(run["runState"], "Failed", "{run}");
        assert!(
            run["message"].as_str().is_some_and(|told| told.contains("ended while the build ran")),
            "{run}"
        );
        az.line("image builder delete -g rg -n killed");
        story.heard(&again.log());
    });
}
