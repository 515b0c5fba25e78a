//! Logs of both generations, of local builds, and cut off.

use super::ids;
use crate::{Diagnosis, Kind, Outcome, Step, diagnose};

const OPERATION: &str = "0a1b2c3d-0000-4000-8000-000000000000";

/// A log with a build VM that answers late, a healthy first step that prints what looks like errors, a second step that
/// fails, and a cleanup that complains.
const BUILD: &str = "\
OUT ==> azure-arm: Waiting for SSH to become available...
LOG [DEBUG] SSH handshake err: ssh: handshake failed: read tcp
LOG [DEBUG] TCP connection to SSH ip/port failed: dial tcp 10.0.1.4:22: i/o timeout
OUT ==> azure-arm: Connected to SSH!
LOG [INFO] (telemetry) Starting provisioner shell
OUT     azure-arm: E: Unable to locate package healthy
OUT ==> azure-arm: /tmp/script_1.sh: 1: az: not found
LOG [INFO] (telemetry) ending shell
LOG [INFO] (telemetry) Starting provisioner shell
OUT ==> azure-arm: Provisioning with shell script: /tmp/packer-shell3074641722
OUT ==> azure-arm: /tmp/script_2.sh: 3: jq: not found
OUT ==> azure-arm: curl: (6) Could not resolve host: packages.microsoft.com
LOG [INFO] RPC endpoint: Communicator ended with: 1
LOG [INFO] (telemetry) ending shell
OUT ==> azure-arm: Provisioning step had errors: Running the cleanup provisioner, if present...
OUT ==> azure-arm: Error deleting resource. Will retry.
LOG ERROR: -> SkuNotAvailable : while deleting
OUT Build 'azure-arm' errored after 5 minutes: Script exited with non-zero exit status: 6. Allowed exit codes are: [0]
OUT ==> Some builds didn't complete successfully and had errors:
OUT --> azure-arm: Script exited with non-zero exit status: 6. Allowed exit codes are: [0]
OUT ==> azure-arm: Connection timed out
OUT ==> Builds finished but no artifacts were created.
LOG [INFO] (telemetry) Finalizing.
";

/// A log of before 2023, with a stream in each line.
fn first_generation(log: &str) -> String {
    let line = |line: &str| match line.strip_prefix("LOG ") {
        Some(text) => {
            format!("[{OPERATION}] PACKER ERR 2020/04/30 23:28:50 packer: 2020/04/30 23:28:50 {text}\n")
        }
        None => format!("[{OPERATION}] PACKER {line}\n"),
    };
    log.lines().map(line).collect()
}

/// A log of today, with dates; these have lost the operation.
fn second_generation(log: &str) -> String {
    let line = |line: &str| match line.split_at(4) {
        ("OUT ", text) => format!("PACKER 2025/03/18 20:42:48 ui: {text}\n"),
        (_, text) => format!("PACKER 2025/03/18 20:42:48 {text}\n"),
    };
    log.lines().map(line).collect()
}

fn read(text: &str) -> Diagnosis {
    assert_eq!(Kind::of(text), Kind::Log, "{text}");
    diagnose(Kind::Log, text)
}

fn shell(number: usize, name: Option<&str>) -> Step {
    Step { number, kind: "shell".to_owned(), name: name.map(str::to_owned) }
}

#[test]
fn only_the_step_that_failed_is_blamed() {
    let windows = format!("\u{feff}{}", second_generation(BUILD).replace('\n', "\r\n"));
    let dated_once = first_generation(BUILD).replace("packer: 2020/04/30 23:28:50 ", "");
    for log in [first_generation(BUILD), dated_once, second_generation(BUILD), windows] {
        let diagnosis = read(&log);
        assert_eq!(diagnosis.outcome, Outcome::Explained);
        assert_eq!(diagnosis.step, Some(shell(2, None)), "{log}");
        assert_eq!(ids(&diagnosis.causes), ["P04", "P12", "I11"], "{diagnosis:?}");
        assert_eq!(ids(&diagnosis.consequences), ["P01"], "{diagnosis:?}");
        assert_eq!(ids(&diagnosis.noticed), ["C02", "N05", "P14", "N03", "P05", "N01"], "{diagnosis:?}");
        let cause = &diagnosis.causes[0];
        assert_eq!(cause.place.line, 12);
        assert_eq!(
            cause.place.text,
            "==> azure-arm: curl: (6) Could not resolve host: packages.microsoft.com"
        );
        assert_eq!(cause.details["host"], "packages.microsoft.com");
        assert_eq!(diagnosis.consequences[0].count, 2, "marker and summary");
        assert_eq!(diagnosis.failure.as_ref().map(|place| place.line), Some(18));
        assert!(!diagnosis.cut_off);
    }
}

#[test]
fn a_script_that_says_nothing_known_is_shown_with_what_it_printed() {
    let log = BUILD.replace("jq: not found", "no luck").replace("Could not resolve host", "gave up on");
    let diagnosis = read(&second_generation(&log.replace("SkuNotAvailable", "Other")));
    assert_eq!(diagnosis.outcome, Outcome::Unexplained);
    assert_eq!(ids(&diagnosis.causes), ["P01"], "{diagnosis:?}");
    assert_eq!(diagnosis.causes[0].details["code"], "6");
    let printed = ["/tmp/script_2.sh: 3: no luck", "curl: (6) gave up on: packages.microsoft.com"];
    assert_eq!(diagnosis.printed[1..], printed, "{diagnosis:?}");
}

#[test]
fn a_failure_before_any_step_has_none() {
    let log = "\
OUT ==> azure-arm: Waiting for SSH to become available...
LOG [DEBUG] SSH handshake err: ssh: handshake failed: read tcp
OUT ==> azure-arm: Timeout waiting for SSH.
OUT Build 'azure-arm' errored after 20 minutes: Timeout waiting for SSH.
OUT --> azure-arm: Timeout waiting for SSH.
LOG [INFO] (telemetry) Finalizing.
";
    for log in [first_generation(log), second_generation(log)] {
        let diagnosis = read(&log);
        assert_eq!(
            (ids(&diagnosis.causes), diagnosis.step.is_none()),
            (vec!["C01", "C02"], true),
            "{diagnosis:?}"
        );
        assert_eq!(diagnosis.causes[0].count, 3);
        let required = &diagnosis.causes[0].rule.requirements;
        assert!(required.iter().any(|id| id == "nsg.inbound.ssh-to-build-vm"), "{required:?}");
    }
}

#[test]
fn the_hidden_last_step_has_a_name() {
    let log = "\
LOG [INFO] (telemetry) Starting provisioner shell
LOG [INFO] (telemetry) ending shell
LOG [INFO] (telemetry) Starting provisioner shell
OUT     azure-arm: /tmp/DeprovisioningScript.sh: 3: /usr/sbin/waagent: not found
LOG [INFO] (telemetry) ending shell
OUT Build 'azure-arm' errored: Script exited with non-zero exit status: 127. Allowed exit codes are: [0]
LOG [INFO] (telemetry) Finalizing.
";
    let diagnosis = read(&second_generation(log));
    assert_eq!(diagnosis.step, Some(shell(2, Some("deprovision"))));
    assert_eq!(ids(&diagnosis.causes), ["D01"], "{diagnosis:?}");
    assert_eq!(ids(&diagnosis.consequences), ["P01", "P12"], "{diagnosis:?}");
    assert_eq!(diagnosis.consequences[1].place.line, 4, "what was printed says more than the exit code");
}

#[test]
fn a_failure_after_the_last_step_is_of_no_step() {
    let log = "\
LOG [INFO] (telemetry) Starting provisioner shell
OUT     azure-arm: E: Unable to locate package optional
LOG [INFO] (telemetry) ending shell
LOG ERROR: -> OperationNotAllowed : Creation of managed images are not supported for virtual machine with TrustedLaunch
OUT Build 'azure-arm' errored: OperationNotAllowed
LOG [INFO] (telemetry) Finalizing.
";
    let diagnosis = read(&second_generation(log));
    assert_eq!((ids(&diagnosis.causes), diagnosis.step), (vec!["I23", "P14"], None));
}

#[test]
fn a_log_that_is_cut_off_says_so() {
    let healthy = "\
LOG [INFO] (telemetry) Starting provisioner shell
OUT     azure-arm: E: Unable to locate package optional
LOG [INFO] (telemetry) ending shell
LOG [INFO] (telemetry) Finalizing.
";
    let whole = read(&second_generation(healthy));
    assert_eq!((whole.outcome, ids(&whole.noticed)), (Outcome::NoFailure, vec!["P14"]), "{whole:?}");
    let running: String = healthy.lines().take(2).map(|line| line.to_owned() + "\n").collect();
    let cut = read(&second_generation(&running));
    assert_eq!(
        (cut.cut_off, cut.outcome, ids(&cut.causes)),
        (true, Outcome::Explained, vec!["P14"]),
        "{cut:?}"
    );
    assert_eq!(cut.step, Some(shell(1, None)));
    let silent = read(&second_generation(&running.replace("E: Unable to locate", "reading")));
    assert_eq!((silent.cut_off, silent.outcome), (true, Outcome::Unexplained), "{silent:?}");
}

#[test]
fn a_cancelled_build_did_not_end_well() {
    let log = "\
LOG [INFO] (telemetry) Starting provisioner shell
LOG Cancelling build after receiving terminated
LOG [INFO] (telemetry) Finalizing.
";
    let diagnosis = read(&second_generation(log));
    assert_eq!(
        (diagnosis.outcome, ids(&diagnosis.noticed)),
        (Outcome::Unexplained, vec!["C07"]),
        "{diagnosis:?}"
    );
}

#[test]
fn a_local_build_names_its_step_and_what_refused_it() {
    let log = format!(
        "\
[{OPERATION}] PACKER 2025/06/01 12:00:00 ui: ==> azure-arm: Base: a layer of 30 seconds ago is reused
[{OPERATION}] PACKER 2025/06/01 12:00:01 [INFO] (telemetry) Starting provisioner shell
[{OPERATION}] PACKER 2025/06/01 12:00:01 ui error: ==> azure-arm: curl: (7) Failed to connect
[{OPERATION}] PACKER 2025/06/01 12:00:02 [INFO] (telemetry) ending shell
[{OPERATION}] PACKER 2025/06/01 12:00:02 ui error: ==> azure-arm: Build 'azure-arm' errored: step 2 'Install helm' failed: get.helm.sh:443 refused by the egress policy (nsg-imagebuilder) (DenyAll); Script exited with non-zero exit status: 7. Allowed exit codes are: [0]
[{OPERATION}] PACKER 2025/06/01 12:00:02 ui error: ==> azure-arm: Some builds didn't complete successfully and had errors:
[{OPERATION}] PACKER 2025/06/01 12:00:02 [INFO] (telemetry) Finalizing.
[{OPERATION}] PACKER Done exporting Packer logs to Azure Storage.
"
    );
    let diagnosis = read(&log);
    assert_eq!(diagnosis.step, Some(shell(2, Some("Install helm"))));
    assert_eq!(
        (ids(&diagnosis.causes), ids(&diagnosis.consequences)),
        (vec!["E01"], vec!["P01"]),
        "{diagnosis:?}"
    );
    assert_eq!(diagnosis.causes[0].details["endpoint"], "get.helm.sh:443");
}

#[test]
fn signatures_that_span_lines_are_found_once_and_at_their_first_line() {
    let padding = "OUT     azure-arm: x\n".repeat(50);
    let log = format!("{padding}LOG ERROR: -> RequestDisallowedByPolicy : Resource\n{padding}");
    let log = log.replacen("Resource\n", "Resource\nLOG   -> policy 'Key vaults should not be public'\n", 1);
    let diagnosis = read(&second_generation(&log));
    assert_eq!(ids(&diagnosis.causes), ["I08"], "{diagnosis:?}");
    assert_eq!((diagnosis.causes[0].place.line, diagnosis.causes[0].count), (51, 1));
    assert_eq!(ids(&diagnosis.consequences), ["I09"]);
}
