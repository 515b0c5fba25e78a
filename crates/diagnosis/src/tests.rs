//! Every rule, both generations of logs, answers, secrets.

mod logs;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{Diagnosis, Evidence, Finding, Kind, Outcome, Severity, diagnose, redact, rules};

/// A message for each rule and one that is nearly it.
const EXAMPLES: &str = include_str!("tests/examples.toml");

/// The names of rules, in order.
pub fn ids(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.rule.id.as_str()).collect()
}

fn all(diagnosis: &Diagnosis) -> impl Iterator<Item = &Finding> {
    let Diagnosis { causes, consequences, noticed, .. } = diagnosis;
    causes.iter().chain(consequences).chain(noticed)
}

fn is_found(id: &str, text: &str) -> bool {
    all(&diagnose(Kind::Text, text)).any(|finding| finding.rule.id == id)
}

#[test]
fn every_rule_finds_its_message_and_not_what_is_nearly_it() {
    let mut examples: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(EXAMPLES).unwrap();
    for rule in rules() {
        let example = examples.remove(&rule.id).unwrap_or_else(|| panic!("{} has no example", rule.id));
        let (hit, miss) = (&example["hit"], &example["miss"]);
        assert!(is_found(&rule.id, hit), "{} finds {hit}", rule.id);
        assert!(!is_found(&rule.id, miss), "{} does not find {miss}", rule.id);
    }
    assert!(examples.is_empty(), "{:?} are of no rule", examples.keys());
}

#[test]
fn rules_name_what_there_is_and_speak_in_sentences() {
    let known: BTreeSet<_> = rules().iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(known.len(), rules().len(), "each name once");
    let required: BTreeSet<_> = preflight::requirements().map(|requirement| requirement.id).collect();
    for rule in rules() {
        assert!(rule.below.iter().all(|id| known.contains(id.as_str())), "{}", rule.id);
        assert!(rule.requirements.iter().all(|id| required.contains(id.as_str())), "{}", rule.id);
        assert!(rule.cause.ends_with('.'), "{}: {}", rule.id, rule.cause);
        let is_blamed = rule.severity == Severity::Error;
        assert!(is_blamed || !rule.wrapper && rule.requirements.is_empty(), "{}", rule.id);
    }
    assert!(rules().iter().any(|rule| rule.evidence == Evidence::Assumed));
}

/// An answer's causes.
fn answer(text: &str) -> Diagnosis {
    assert_eq!(Kind::of(text), Kind::Body, "{text}");
    diagnose(Kind::Body, text)
}

#[test]
fn answers_of_every_form_are_read() {
    let missing = "Validation failed: 'ImageTemplate': Missing field 'identity'.";
    for body in [
        format!(r#"{{"error": {{"code": "ValidationFailed", "message": "{missing}"}}}}"#),
        format!("\u{feff}{{\"code\": \"ValidationFailed\", \"message\": \"{missing}\"}}"),
        format!(
            r#"{{"name": "g", "status": "Failed", "error": {{"code": "E", "message": "m", "details": [{{"message": "{missing}"}}]}}}}"#
        ),
        format!(
            r#"[{{"properties": {{"statusMessage": {{"error": {{"code": "E", "message": "{missing}"}}}}}}}}]"#
        ),
        format!(r#"{{"anything": "{missing}"}}"#),
    ] {
        let diagnosis = answer(&body);
        assert_eq!((ids(&diagnosis.causes), diagnosis.outcome), (vec!["S11"], Outcome::Explained), "{body}");
    }
}

/// A template as the service answers it, with these members among its properties.
fn template(members: &str) -> String {
    format!(
        r#"{{"id": "/subscriptions/s/x", "type": "Microsoft.VirtualMachineImages/imageTemplates", "properties": {{
  "customize": [{{"type": "Shell", "inline": ["test -f x || echo 'E: Unable to locate package x'"]}}],
  {members} }} }}"#
    )
}

#[test]
fn of_a_template_only_what_failed_is_read() {
    let fine = answer(&template(
        r#""provisioningState": "Succeeded", "lastRunStatus": {"runState": "Succeeded", "message": ""}"#,
    ));
    assert_eq!((fine.outcome, all(&fine).count()), (Outcome::NoFailure, 0), "{fine:?}");

    let failed = answer(&template(
        r#""provisioningState": "Failed",
  "provisioningError": {"provisioningErrorCode": "BadStagingResourceGroup", "message": "The staging group is not empty."}"#,
    ));
    assert_eq!(ids(&failed.causes), ["S17"], "{failed:?}");
    assert_eq!(failed.causes[0].place.line, 4, "{failed:?}");

    let silent = answer(&template(r#""lastRunStatus": {"runState": "Failed", "message": "no idea"}"#));
    assert_eq!((silent.outcome, all(&silent).count()), (Outcome::Unexplained, 0), "{silent:?}");
}

#[test]
fn a_wrapper_is_blamed_only_when_nothing_else_is_there_and_explains_nothing() {
    let message = "Failed while waiting for packerizer: Packer build command has failed: exit status 1. Image Build log \
                   location: https://abc123.blob.core.windows.net/packerlogs/00000000-0000-0000-0000-000000000001/customization.log?sv=1&sig=S3cret. OperationId: g.";
    let run = |message: &str| {
        answer(&template(&format!(r#""lastRunStatus": {{"runState": "Failed", "message": "{message}"}}"#)))
    };
    let alone = run(message);
    assert_eq!((ids(&alone.causes), alone.outcome), (vec!["B01"], Outcome::Unexplained), "{alone:?}");
    let log = "https://abc123.blob.core.windows.net/packerlogs/00000000-0000-0000-0000-000000000001/customization.log";
    assert_eq!(alone.log.as_deref(), Some(log));
    assert_eq!(alone.causes[0].details["code"], "1");
    let with = run(&format!("{message}\\nTimeout waiting for microservice to complete"));
    assert_eq!((ids(&with.causes), ids(&with.consequences)), (vec!["B03"], vec!["B01"]), "{with:?}");
    assert_eq!(with.outcome, Outcome::Explained);
    assert!(!format!("{alone:?}{with:?}").contains("S3cret"));
}

#[test]
fn what_runs_or_ended_well_tells_of_no_failure() {
    for body in [
        r#"{"name": "g", "status": "InProgress", "startTime": "2025-01-01T00:00:00Z"}"#,
        r#"{"name": "g", "status": "Succeeded", "error": null}"#,
        r#"{"id": "/t", "properties": {"status": {"code": "Healthy", "message": "Trigger is active."}}}"#,
    ] {
        assert_eq!(answer(body).outcome, Outcome::NoFailure, "{body}");
    }
    // Nobody knows what these are about.
    for body in ["{}", "[]", r#"{"a": 1}"#] {
        assert_eq!(answer(body).outcome, Outcome::Unexplained, "{body}");
    }
    assert_eq!(diagnose(Kind::Text, "all is well").outcome, Outcome::Unexplained);
    assert_eq!(diagnose(Kind::Body, "Timeout waiting for SSH.").outcome, Outcome::Explained);
}

#[test]
fn the_more_precise_rule_is_blamed() {
    let order = |text: &str| {
        let diagnosis = diagnose(Kind::Text, text);
        (ids(&diagnosis.causes).join(" "), ids(&diagnosis.consequences).join(" "))
    };
    let pair = |causes: &str, consequences: &str| (causes.to_owned(), consequences.to_owned());
    let waagent = "/tmp/DeprovisioningScript.sh: 3: /usr/sbin/waagent: not found";
    assert_eq!(order(waagent), pair("D01", "P12"));
    let case =
        "Validation failed: 'ImageTemplate.properties': Field 'distribute[0].type' has a bad value: ''.";
    assert_eq!(order(case), pair("S10", "S09"));
    let remote = "WinRM connection err: Post \"https://10.0.1.4:5986/wsman\": context deadline exceeded";
    assert_eq!(order(remote), pair("C03", "B03"));
    assert_eq!(order("/tmp/script_1.sh: 2: [[: not found"), pair("P20", "P12"));
    assert_eq!(order("Upload failed: scp: /etc/motd: Permission denied"), pair("P08", "P13"));
    assert_eq!(order("E: Unable to acquire the dpkg frontend lock (/x), are you root?"), pair("P13", ""));
}

/// Each secret stands in a line that a rule finds.
const SECRETS: [&str; 13] = [
    "Could not connect to https://sa.blob.core.windows.net/c/f?sv=2024&sig=Ab%2Bc%2FdS3cret%3D&se=2025",
    "Connection timed out: DefaultEndpointsProtocol=https;AccountKey=S3cretS3cret==;EndpointSuffix=core.windows.net",
    "Connection timed out, Authorization: Bearer abc.S3cret",
    "Connection timed out, bearer 0123456789S3cret0123",
    "Connection timed out eyJhbGciOiJub25lIn0.eyJhIjoiUzNjcmV0In0.S3cret",
    "Could not connect to http://user:p@ssS3cret@proxy.example.org:3128",
    "Could not connect to https://S3crettoken@git.example.org/x.git",
    "Connection timed out: {\"password\": \"my S3cret\"}",
    "--client-secret S3cret: not found",
    "Connection timed out password=S3cret",
    "Connection timed out sig%3DS3cret",
    "Connection timed out: curl -u user:S3cret https://example.org",
    "Connection timed out -----BEGIN OPENSSH PRIVATE KEY----- S3cret",
];

#[test]
fn no_secret_is_shown() {
    for line in SECRETS {
        assert!(!redact(line).contains("S3cret"), "{}", redact(line));
        let shown = format!("{:?}", diagnose(Kind::Text, line));
        assert!(shown.contains("***") && !shown.contains("S3cret"), "{shown}");
        let body = format!("{{\"error\": {{\"message\": {line:?}}}}}");
        let shown = format!("{:?}", answer(&body));
        assert!(!shown.contains("S3cret"), "{shown}");
    }
    let key = format!(
        "before\n-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\nafter",
        "MIIEpAIBAAKCAQEA\n".repeat(9)
    );
    assert_eq!(redact(&key), "before\n-----BEGIN RSA PRIVATE KEY-----***\nafter");
    let text = format!("QuotaExceeded\n{key}\nquota limit of x Cores");
    let shown = format!("{:?}", diagnose(Kind::Text, &text));
    assert!(shown.contains("I10") && !shown.contains("MIIEp"), "{shown}");
    let kept = "E: Could not get lock /var/lib/dpkg/lock-frontend, 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(redact(kept), kept);
}

#[test]
fn evidence_is_cut_around_the_signature() {
    let line = format!("{}Network is unreachable{}", "é".repeat(5000), "x".repeat(5000));
    let diagnosis = diagnose(Kind::Text, &line);
    let text = &diagnosis.causes[0].place.text;
    assert!(
        text.contains("Network is unreachable") && text.starts_with("…é") && text.ends_with("x…"),
        "{text}"
    );
    assert!(text.chars().count() <= 402, "{}", text.chars().count());
}

fn piece() -> impl Strategy<Value = String> {
    let known: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(EXAMPLES).unwrap();
    let mut pieces: Vec<String> = known.into_values().flat_map(BTreeMap::into_values).collect();
    let more = [
        "\n",
        "\r\n",
        "[",
        "{\"error\":",
        "\"",
        "PACKER ",
        "[INFO] (telemetry) Starting provisioner shell",
        "[INFO] (telemetry) ending shell",
        "Build 'azure-arm' errored",
        "--> azure-arm: ",
        "sig=",
        "-----BEGIN RSA PRIVATE KEY-----",
    ];
    pieces.extend(more.map(str::to_owned));
    prop_oneof![prop::sample::select(pieces), any::<String>()]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        for kind in [Kind::Log, Kind::Body, Kind::Text, Kind::of(&text)] {
            let diagnosis = diagnose(kind, &text);
            prop_assert_eq!(diagnosis.outcome == Outcome::Explained, diagnosis.causes.iter().any(|cause| !cause.rule.wrapper));
        }
    }
}
