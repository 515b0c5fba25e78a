//! The life of an image in Azure by our own commands, against an endpoint over TLS. Builds are real.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::images::can_build;
use crate::rest::Rest;
use crate::story::{Said, Story, az_story_with, run, story_with};
use crate::terminal::Terminal;

pub const SUBSCRIPTION: &str = "11111111-2222-4333-8444-555555555555";
pub const NETWORK: &str =
    "/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/vnet-imagebuilder";

/// A network to build in, as `render network` writes it.
pub struct Seed {
    folder: TempDir,
}

impl Seed {
    /// That of a topology.
    pub fn of(topology: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_aks-jumpbox"));
        command.args(["render", "network", "--topology", topology]).current_dir(folder.path());
        let said = run(command, None);
        assert_eq!(said.code, Some(0), "{said}");
        std::fs::write(folder.path().join("network.json"), said.out).expect("written");
        let environment = format!(
            "subscription = \"{SUBSCRIPTION}\"\nlocation = \"eastus2\"\n\n[[source]]\nkind = \"arm-template\"\n\
             file = \"network.json\"\nresource_group = \"rg-net\"\n"
        );
        std::fs::write(folder.path().join("environment.toml"), environment).expect("written");
        Self { folder }
    }

    /// The environment that names it.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("environment.toml")
    }
}

/// Our commands against the endpoint of a story, in a folder with a `jumpbox.toml`.
pub struct Ours<'a> {
    story: &'a Story,
    pub folder: PathBuf,
}

impl<'a> Ours<'a> {
    /// A folder with what is built, where.
    pub fn new(story: &'a Story, topology: &str, image: &str) -> Self {
        let folder = story.path("ours");
        std::fs::create_dir_all(&folder).expect("a folder");
        let subnet = |name: &str| format!("\"/subscriptions/{SUBSCRIPTION}{NETWORK}/subnets/{name}\"");
        let container = match topology {
            "isolated" => format!("container_subnet = {}\n", subnet("snet-imagebuilder-containers")),
            _ => String::new(),
        };
        let text = format!(
            "{image}\n[azure]\nsubscription = \"{SUBSCRIPTION}\"\nlocation = \"eastus2\"\nresource_group = \"rg-ib\"\n\
             build_subnet = {}\n{container}",
            subnet("snet-imagebuilder")
        );
        std::fs::write(folder.join("jumpbox.toml"), text).expect("written");
        Self { story, folder }
    }

    /// A command, ready to run.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aks-jumpbox"));
        command.args(words).current_dir(&self.folder).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &self.folder);
        for (name, told) in
            [("TENANT_ID", "tenant"), ("CLIENT_ID", "client_id"), ("CLIENT_SECRET", "client_secret")]
        {
            command.env(format!("AZURE_{name}"), self.story.serve.told(told));
        }
        command.env("AKS_JUMPBOX_CLOUD", self.story.serve.told("endpoint"));
        command.env("AKS_JUMPBOX_CA_FILE", self.story.serve.ca());
        command
    }

    /// Runs a command; what it prints and writes down is looked through for secrets.
    pub fn run(&self, words: &[&str]) -> Said {
        let said = run(self.command(words), None);
        self.story.heard(&said.out);
        self.story.heard(&said.err);
        for name in ["jumpbox.azure.json", "jumpbox.azure.audit.jsonl"] {
            self.story.heard(&std::fs::read_to_string(self.folder.join(name)).unwrap_or_default());
        }
        said
    }

    /// Expects success; the one document that it prints.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        let said = self.run(&[words, &["--format", "json"]].concat());
        assert_eq!(said.code, Some(0), "{words:?}: {said}");
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{words:?}: {said}"))
    }

    /// Expects an exit code; the events that it prints.
    #[track_caller]
    pub fn events(&self, words: &[&str], code: i32) -> Vec<Value> {
        let said = self.run(&[words, &["--format", "json"]].concat());
        assert_eq!(said.code, Some(code), "{words:?}: {said}");
        let event = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        said.out.lines().map(event).collect()
    }

    /// What is written down.
    pub fn state(&self) -> Value {
        let text = std::fs::read_to_string(self.folder.join("jumpbox.azure.json")).expect("a state");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// Everything that the endpoint has, by id.
pub fn inventory(rest: &Rest<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for path in [
        "/resources",
        "/resourceGroups",
        "/providers/Microsoft.Authorization/roleAssignments",
        "/providers/Microsoft.Authorization/roleDefinitions?$filter=type%20eq%20'CustomRole'",
    ] {
        let listed = rest.get(path).json();
        all.extend(listed["value"].as_array().expect("a list").iter().map(|one| one["id"].to_string()));
    }
    // A role that can be assigned in a group alone is not in the list of the subscription.
    for group in ["rg-net", "rg-ib"] {
        let path = format!(
            "/resourceGroups/{group}/providers/Microsoft.Authorization/roleDefinitions?$filter=type%20eq%20'CustomRole'"
        );
        let listed = rest.get(&path).json();
        all.extend(listed["value"].as_array().into_iter().flatten().map(|one| one["id"].to_string()));
    }
    all.sort();
    all.dedup();
    all
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// An image with one package and a line of its own, so that no other test has made its layer.
pub fn image(name: &str) -> String {
    format!("[image]\nname = \"{name}\"\n\n[tools]\npackages = [\"jq\"]\n")
}

fn journey(topology: &str, target: &[&str], kind: &str) {
    if !can_build() {
        return;
    }
    let seed = Seed::of(topology);
    let file = seed.file();
    story_with(&["--seed", &file.display().to_string()], |story| {
        let rest = story.rest();
        let ours = Ours::new(story, topology, &image("jb"));
        let before = inventory(&rest);
        let words = |first: &'static str| [&[first][..], target].concat();

        let planned = ours.json(&[&words("deploy")[..], &["--what-if"]].concat());
        let actions: Vec<_> = planned["planned"].as_array().expect("a list").iter().collect();
        assert!(actions.iter().any(|one| one["action"] == "create"), "{planned:#}");
        assert_eq!(inventory(&rest), before, "what-if changes nothing");

        ours.events(&words("deploy"), 0);
        let template = ours.state()["template"].as_str().expect("a template").to_owned();
        let again = ours.events(&words("deploy"), 0);
        assert!(named(&again, "step").iter().all(|step| step["state"] != "done"), "{again:#?}");

        let mut build = words("build");
        build.extend(["--target", "azure"]);
        let events = ours.events(&build, 0);
        let labels: Vec<_> = named(&events, "customizer").iter().map(|one| one["name"].clone()).collect();
        assert_eq!(labels, ["Install tools", "Configure the SSH daemon", "deprovision"]);
        let done = named(&events, "done")[0];
        assert_eq!((&done["template"], &done["run_state"]), (&json!(template), &json!("Succeeded")));
        let made = done["outputs"][0]["artifact"].as_str().expect("an artifact");
        assert!(made.contains(kind), "{made}");
        let logs = done["logs"].as_array().expect("logs");
        let log = std::fs::read_to_string(ours.folder.join(logs[0].as_str().expect("a file"))).expect("read");
        assert!(log.contains("(telemetry) Finalizing"), "{log}");

        let status = ours.json(&["status"]);
        assert_eq!(status["template"]["last_run"]["run_state"], "Succeeded");
        assert_eq!(status["template"]["outputs"][0]["artifact"], made);

        // Roles are needed while images are built, and not after.
        let cleaned = ours.json(&["clean", "--yes"]);
        let removed = cleaned["removed"].as_array().expect("a list");
        assert!(!removed.is_empty(), "{cleaned:#}");
        assert!(
            removed.iter().all(|id| id.as_str().is_some_and(|id| id.contains("/roleAssignments/"))),
            "{cleaned:#}"
        );

        ours.json(&["clean", "--all", "--yes"]);
        assert_eq!(inventory(&rest), before);
        assert_eq!(ours.state()["made"], json!([]));
    });
}

#[test]
fn an_isolated_build_becomes_a_gallery_version_and_goes_without_a_trace() {
    journey("isolated", &[], "/Microsoft.Compute/galleries/gal_jb/images/jb/versions/0.0.1");
}

#[test]
fn a_private_link_build_becomes_a_managed_image_and_goes_without_a_trace() {
    journey(
        "private-link",
        &["--image-resource-group", "rg-ib"],
        "/rg-ib/providers/Microsoft.Compute/images/jb",
    );
}

#[test]
fn an_isolated_build_becomes_a_disk_and_goes_without_a_trace() {
    journey("isolated", &["--as", "vhd", "--built-in-roles"], "/vhds/");
}

#[test]
fn a_run_that_fails_is_explained_with_its_log_saved() {
    if !can_build() {
        return;
    }
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let step = "\n[[step]]\nname = \"Look for more\"\ninline = [\"echo no such tool >&2\", \"exit 3\"]\n";
        let ours = Ours::new(story, "isolated", &(image("fails") + step));
        let events = ours.events(&["build", "--target", "azure"], 1);
        let failed = events.last().expect("an end");
        assert_eq!(failed["event"], "failed");
        assert!(failed["message"].as_str().is_some_and(|text| text.contains("Failed")), "{failed:#}");
        let diagnoses = named(&events, "diagnosis");
        let told = &diagnoses.first().unwrap_or_else(|| panic!("{events:#?}"))["diagnosis"];
        assert_eq!(told["outcome"], "unexplained", "that a script ended with 3 is no reason");
        assert!(
            told["causes"][0]["evidence"].as_str().is_some_and(|text| text.contains("exit status: 3")),
            "{told:#}"
        );
        assert_eq!(told["step"]["number"], 3, "{told:#}");
        assert_eq!(ours.run(&["status"]).code, Some(1));
        let saved = ours.json(&["logs", "--output", "again"]);
        let file = saved["saved"][0].as_str().expect("a file");
        let text = std::fs::read_to_string(ours.folder.join(file)).expect("read");
        assert!(text.contains("no such tool"), "{text}");
        ours.json(&["clean", "--all", "--yes"]);
    });
}

#[test]
fn a_run_outlives_who_began_it_is_followed_by_another_and_stopped_by_a_third() {
    if !can_build() {
        return;
    }
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let step = "\n[[step]]\nname = \"Wait\"\ninline = [\"sleep 600\"]\n";
        let ours = Ours::new(story, "isolated", &(image("waits") + step));
        let build = || {
            let mut build = ours.command(&["build", "--target", "azure", "--format", "json"]);
            build.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
        };
        let first = build();
        story.wait_until("the last step runs", || {
            let status = ours.run(&["status", "--format", "json"]);
            status.code == Some(0) && status.out.contains("Customizing")
        });
        let beside = ours.run(&["clean", "--yes"]);
        assert_eq!(beside.code, Some(4), "one process works with a state: {beside}");
        // Ctrl-C leaves the run as it is, and says so; a kill says nothing.
        kill_process(Pid::from_child(&first), Signal::INT).expect("sent");
        let interrupted = first.wait_with_output().expect("it ends");
        let err = String::from_utf8_lossy(&interrupted.stderr);
        assert!(interrupted.status.code() == Some(130) && err.contains("follows it again"), "{err}");
        let mut killed = build();
        killed.kill().expect("killed");
        killed.wait().expect("it ended");
        let early = ours.run(&["clean", "--yes"]);
        assert!(early.code == Some(1) && early.err.contains("goes on"), "the run needs its roles: {early}");

        let second = build();
        ours.run(&["cancel"]);
        let ended = second.wait_with_output().expect("it ends");
        let out = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(ended.status.code(), Some(1), "{out}");
        assert!(out.lines().last().is_some_and(|line| line.contains("Canceled")), "{out}");
        let log = story.serve.log();
        let runs = log.lines().filter(|line| line.starts_with("POST ") && line.contains("/run 202"));
        assert_eq!(runs.count(), 1, "{log}");
        ours.json(&["clean", "--all", "--yes"]);
    });
}

#[test]
fn what_we_deploy_the_azure_cli_reads_and_the_other_way_round() {
    if !can_build() {
        return;
    }
    let seed = Seed::of("isolated");
    az_story_with(&["--seed", &seed.file().display().to_string()], |story, az| {
        let ours = Ours::new(story, "isolated", &image("both"));
        ours.events(&["deploy"], 0);
        let template = ours.state()["template"].as_str().expect("a template").to_owned();
        let name = template.rsplit('/').next().expect("a name");
        let shown = az.line(&format!("deployment group show -g rg-ib -n {name}"));
        assert_eq!(shown["properties"]["provisioningState"], "Succeeded");
        let rendered = ours.run(&["render", "deployment"]);
        assert_eq!(rendered.code, Some(0), "{rendered}");
        let file = story.write("deployment.json", &rendered.out);
        let told =
            az.line(&format!("deployment group what-if -g rg-ib --template-file {file} --no-pretty-print"));
        let change = &told["changes"][0];
        assert_eq!(
            change["resourceId"].as_str().map(str::to_lowercase),
            Some(template.to_lowercase()),
            "{told:#}"
        );
        let shown = az.line(&format!("image builder show -g rg-ib -n {name}"));
        assert_eq!(shown["provisioningState"], "Succeeded");

        // One that the Azure CLI makes is run, followed and cleaned up by us.
        let mut own = shown.clone();
        for only_told in ["id", "name", "type", "systemData", "provisioningState", "lastRunStatus"] {
            own.as_object_mut().expect("an object").remove(only_told);
        }
        let rest = story.rest();
        let theirs = rest.get(&template[format!("/subscriptions/{SUBSCRIPTION}").len()..]).json();
        let mut properties = theirs["properties"].clone();
        for only_told in ["provisioningState", "lastRunStatus", "exactStagingResourceGroup"] {
            properties.as_object_mut().expect("an object").remove(only_told);
        }
        let identity = theirs["identity"]["userAssignedIdentities"].as_object().expect("identities");
        let identities: serde_json::Map<_, _> = identity.keys().map(|id| (id.clone(), json!({}))).collect();
        let body = json!({
            "location": "eastus2", "properties": properties,
            "identity": { "type": "UserAssigned", "userAssignedIdentities": identities },
        });
        let file = story.write("theirs.json", &body.to_string());
        let id = template.replace(name, "theirs");
        az.ok(&[
            "resource",
            "create",
            "--id",
            &id,
            "--is-full-object",
            "--properties",
            &format!("@{file}"),
            "--api-version",
            "2025-10-01",
        ]);
        ours.run(&["deploy", "--adopt", &id]);
        let events = ours.events(&["build", "--target", "azure", "--as-deployed"], 0);
        assert_eq!(
            named(&events, "done")[0]["template"].as_str().map(str::to_lowercase),
            Some(id.to_lowercase())
        );
        az.line(&format!("image builder delete -g rg-ib -n {name}"));
        let cleaned = ours.json(&["clean", "--template", "--yes"]);
        assert!(cleaned["removed"].to_string().to_lowercase().contains("/theirs"), "{cleaned:#}");
        az.refused("image builder show -g rg-ib -n theirs", "ResourceNotFound");
        ours.json(&["clean", "--all", "--yes"]);
    });
}

#[test]
fn ctrl_c_on_a_terminal_asks_whether_the_run_is_to_stop() {
    if !can_build() {
        return;
    }
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let step = "\n[[step]]\nname = \"Wait\"\ninline = [\"sleep 600\"]\n";
        let ours = Ours::new(story, "isolated", &(image("asks") + step));
        let mut build = ours.command(&["build", "--target", "azure"]);
        build.env("TERM", "xterm");
        let mut terminal = Terminal::start(&build);
        terminal.until("[3/3] Wait");
        terminal.press("\u{3}");
        terminal.until("Stop it? [y/N]");
        terminal.press("y\n");
        let (shown, code) = terminal.end();
        assert_eq!(code, Some(130), "{shown}");
        assert!(
            shown.contains("the run was asked to stop") && shown.contains("[6/7] Image template"),
            "{shown}"
        );
        story.wait_until("the run has ended", || ours.run(&["status"]).out.contains("Canceled"));
        ours.json(&["clean", "--all", "--yes"]);
    });
}

#[test]
fn an_endpoint_that_is_not_there_and_a_wrong_secret_are_told_with_what_mends_them() {
    let seed = Seed::of("isolated");
    story_with(&["--seed", &seed.file().display().to_string()], |story| {
        let ours = Ours::new(story, "isolated", &image("nobody"));
        let mut command = ours.command(&["deploy"]);
        let said = run_with(&mut command, "AZURE_CLIENT_SECRET", "not-the-secret-at-all");
        assert_eq!(said.code, Some(4), "{said}");
        assert!(said.err.contains("hint:") && !said.err.contains("not-the-secret-at-all"), "{said}");
        let mut command = ours.command(&["deploy"]);
        let said = run_with(&mut command, "AKS_JUMPBOX_CLOUD", "https://localhost:1");
        assert_eq!(said.code, Some(4), "{said}");
        let missing = ours.run(&["deploy", "--location", "eastus2", "--subscription", "none"]);
        assert_eq!(missing.code, Some(2), "{missing}");
        assert!(missing.err.contains("--subscription"), "{missing}");
        assert!(!Path::new(&ours.folder).join("jumpbox.azure.json").exists());
    });
}

/// Runs a command with one more variable; what it prints may hold what the story does not hear.
pub fn run_with(command: &mut Command, name: &str, value: &str) -> Said {
    command.env(name, value);
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}
