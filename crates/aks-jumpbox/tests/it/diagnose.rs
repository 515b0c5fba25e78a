//! Why a build failed.

use build_engine::error::{BuildError, StepFailure};
use build_engine::event::{Phase, Stream};
use build_engine::log::PackerLog;
use egress_gateway::{Layer, Outcome};

use crate::check;
use crate::program::Place;

const OPERATION: &str = "0a1b2c3d-0000-4000-8000-000000000000";

/// A build whose build VM nobody reached.
const NO_SSH: &str = "\
[0a1b2c3d-0000-4000-8000-000000000000] PACKER 2025/03/18 20:42:48 ui: ==> azure-arm: Waiting for SSH to become available...
[0a1b2c3d-0000-4000-8000-000000000000] PACKER 2025/03/18 20:42:49 [DEBUG] TCP connection to SSH ip/port failed: dial tcp 10.241.0.5:22: i/o timeout
[0a1b2c3d-0000-4000-8000-000000000000] PACKER 2025/03/18 21:02:48 ui error: ==> azure-arm: Timeout waiting for SSH.
[0a1b2c3d-0000-4000-8000-000000000000] PACKER 2025/03/18 21:03:10 ui error: Build 'azure-arm' errored after 25 minutes: Timeout waiting for SSH.
[0a1b2c3d-0000-4000-8000-000000000000] PACKER 2025/03/18 21:03:10 ui: ==> Builds finished but no artifacts were created.
[0a1b2c3d-0000-4000-8000-000000000000] PACKER 2025/03/18 21:03:10 [INFO] (telemetry) Finalizing.
";

/// A step that cannot fetch a tool, after one that printed an error and went on; its token must not be shown.
const STEP: &str = "\
PACKER 2025/03/18 20:42:48 [INFO] (telemetry) Starting provisioner shell
PACKER 2025/03/18 20:42:48 ui error: ==> azure-arm: E: Unable to locate package optional
PACKER 2025/03/18 20:42:49 [INFO] (telemetry) ending shell
PACKER 2025/03/18 20:42:49 [INFO] (telemetry) Starting provisioner shell
PACKER 2025/03/18 20:42:50 ui error: ==> azure-arm: /tmp/script_2.sh: 1: jq: not found
PACKER 2025/03/18 20:42:50 ui error: ==> azure-arm: curl: (6) Could not resolve host: get.example.org https://user:S3cret@get.example.org
PACKER 2025/03/18 20:42:51 [INFO] (telemetry) ending shell
PACKER 2025/03/18 20:42:51 ui error: ==> azure-arm: Provisioning step had errors: Running the cleanup provisioner, if present...
PACKER 2025/03/18 20:42:59 ui error: Build 'azure-arm' errored after 5 minutes: Script exited with non-zero exit status: 6. Allowed exit codes are: [0]
PACKER 2025/03/18 20:42:59 ui error: --> azure-arm: Script exited with non-zero exit status: 6. Allowed exit codes are: [0]
PACKER 2025/03/18 20:43:00 [INFO] (telemetry) Finalizing.
";

/// A place with a file.
fn with(name: &str, text: &str) -> Place {
    let place = Place::new();
    place.write(name, text);
    place
}

#[test]
fn the_cause_comes_first_with_its_line_and_its_fix() {
    insta::assert_snapshot!(with("customization.log", STEP).run("diagnose customization.log"));
}

#[test]
fn programs_get_every_finding_and_no_secret() {
    let answer = with("customization.log", STEP).run("diagnose customization.log --format json");
    let json = answer.json();
    assert_eq!((answer.code, &json["outcome"]), (Some(0), &"explained".into()), "{answer}");
    assert_eq!(json["step"], serde_json::json!({"number": 2, "type": "shell", "name": null}));
    let cause = &json["causes"][0];
    assert_eq!(cause["rule"], "P04", "{answer}");
    assert_eq!((&cause["file"], &cause["line"]), (&"customization.log".into(), &6.into()));
    assert_eq!((&cause["severity"], &cause["evidence_level"]), (&"error".into(), &"assumed".into()));
    assert_eq!(cause["details"]["host"], "get.example.org");
    assert_eq!(cause["requirements"][0]["id"], "nsg.outbound.custom-dns");
    assert_eq!(cause["requirements"][0]["status"], "skipped", "nothing was asked: {answer}");
    assert_eq!(
        (&json["consequences"][0]["rule"], &json["consequences"][0]["count"]),
        (&"P01".into(), &2.into())
    );
    assert_eq!(json["noticed"][0]["rule"], "P14", "{answer}");
    assert!(!answer.stdout.contains("S3cret"), "{answer}");
}

#[test]
fn the_rule_that_blocks_ssh_stands_beside_the_timeout() {
    let place = check::place("Disabled");
    let nsg = place
        .read("nsg.json")
        .lines()
        .filter(|line| !line.contains("AllowSshInbound"))
        .collect::<Vec<_>>()
        .join("\n");
    place.write("nsg.json", &nsg);
    place.write("customization.log", NO_SSH);
    insta::assert_snapshot!(place.run("diagnose customization.log --environment environment.toml"));
    let json = place.run("diagnose customization.log --environment environment.toml --format json").json();
    let all = json["causes"][0]["requirements"].as_array().expect("requirements");
    let status = |id: &str| all.iter().find(|found| found["id"] == id).map(|found| found["status"].clone());
    assert_eq!(status("nsg.inbound.ssh-to-build-vm"), Some("fail".into()), "{json:#}");
    assert_eq!(status("nsg.outbound.ssh-to-build-vm"), Some("pass".into()), "{json:#}");
    assert_eq!(status("nsg.inbound.ssh-from-container"), None, "of another topology: {json:#}");
    let wrong = place.run("diagnose customization.log --environment nowhere.toml");
    assert_eq!(wrong.code, Some(2), "{wrong}");
}

#[test]
fn exit_codes_tell_what_is_known() {
    let answer = |text: &str| with("file", text).run("diagnose file");
    let unknown = answer("nothing that anybody has seen before");
    assert_eq!(unknown.code, Some(3), "{unknown}");
    let wrapper = answer(
        r#"{"status": "Failed", "error": {"code": "PackerBuildFailed", "message": "look at the log"}}"#,
    );
    assert_eq!(wrapper.code, Some(3), "{wrapper}");
    assert!(wrapper.stdout.contains("B02") && wrapper.stdout.contains("customization.log"), "{wrapper}");
    let fine = answer(r#"{"name": "g", "status": "Succeeded"}"#);
    assert_eq!(fine.code, Some(0), "{fine}");
    assert!(fine.stdout.contains("no-failure"), "{fine}");
    assert_eq!(answer(" \r\n").code, Some(2));
    assert_eq!(answer("\0ELF").code, Some(2));
    assert_eq!(Place::new().run("diagnose nowhere.log").code, Some(2));
    let none = Place::new().run("diagnose nowhere.log --format json");
    assert_eq!(none.json()["error"]["category"], "input", "{none}");
}

#[test]
fn standard_input_and_bytes_that_are_no_characters_are_read() {
    let place = Place::new();
    let mut log = NO_SSH.as_bytes().to_vec();
    log.extend(b"PACKER 2025/03/18 21:03:10 ui:     azure-arm: caf\xe9\n");
    std::fs::write(place.path().join("log"), log).expect("written");
    let answer = place.run_with_input("diagnose - --format json", "log");
    assert_eq!(answer.code, Some(0), "{answer}");
    let json = answer.json();
    assert_eq!(
        (&json["causes"][0]["rule"], &json["causes"][0]["file"]),
        (&"C01".into(), &"standard input".into())
    );
    assert_eq!(json["step"], serde_json::Value::Null);
}

#[test]
fn no_line_of_a_log_steers_the_terminal() {
    let log = STEP.replace("jq: not found", "\u{1b}[2J\u{1b}]0;x\u{7}jq: not found");
    let answer = with("log", &log).run("diagnose log");
    assert!(
        !answer.stdout.contains('\u{1b}') && !answer.stdout.contains('\u{7}'),
        "{answer:?}",
        answer = answer.stdout
    );
}

/// What the engine itself writes about a step that was refused a connection.
#[test]
fn a_local_build_is_explained_by_what_refused_its_step() {
    let place = Place::new();
    let mut log = PackerLog::create(&place.path().join("customization.log"), OPERATION).expect("made");
    let refused = egress_gateway::Connection {
        step: 2,
        name: Some("get.helm.sh".to_owned()),
        address: None,
        port: 443,
        protocol: "tcp".to_owned(),
        decision: Outcome::Denied,
        layer: Layer::SubnetNsg,
        rule: "DenyAllOutbound".to_owned(),
        bytes_out: 0,
        bytes_in: 0,
        count: 1,
        resource: "nsg-imagebuilder".to_owned(),
        note: None,
        refused: true,
    };
    let failure = StepFailure {
        index: 2,
        name: "Install helm".to_owned(),
        phase: Phase::Customize,
        reason: "Script exited with non-zero exit status: 35. Allowed exit codes are: [0]".to_owned(),
        last_lines: Vec::new(),
        refused: vec![refused],
        hint: None,
    };
    log.say("Install jq: a layer of 30 seconds ago is reused").expect("written");
    log.telemetry("Starting provisioner", "shell").expect("written");
    log.output(Stream::Stderr, "curl: (35) Recv failure: Connection reset by peer").expect("written");
    log.telemetry("ending", "shell").expect("written");
    log.errored(&BuildError::Step(Box::new(failure))).expect("written");
    log.finish().expect("written");

    let answer = place.run("diagnose customization.log --format json");
    let json = answer.json();
    assert_eq!(
        json["step"],
        serde_json::json!({"number": 2, "type": "shell", "name": "Install helm"}),
        "{answer}"
    );
    assert_eq!(json["causes"][0]["rule"], "E01", "{answer}");
    assert_eq!(json["causes"][0]["details"]["endpoint"], "get.helm.sh:443", "{answer}");
    assert_eq!(answer.code, Some(0), "{answer}");
}
