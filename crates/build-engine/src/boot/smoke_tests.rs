use super::*;

fn output(exit: i32, stdout: &str, stderr: &str) -> Output {
    Output { exit: Some(exit), stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

fn test(expect: Option<&str>) -> SmokeTest {
    SmokeTest { name: "jq".to_owned(), run: "jq --version".to_owned(), expect: expect.map(str::to_owned) }
}

#[test]
fn a_smoke_test_needs_success_and_the_expected_text() {
    let cases = [
        (None, output(0, "jq-1.7\nmore\n", ""), Status::Pass, "jq-1.7"),
        (None, output(0, "", ""), Status::Pass, ""),
        (Some("jq-1"), output(0, "", "jq-1.7\n"), Status::Pass, "jq-1.7"),
        (Some("\"jq\""), output(0, "{\n  \"jq\": 1\n}\n", ""), Status::Pass, "\"jq\": 1"),
        (
            Some("jq-2"),
            output(0, "jq-1.7\n", ""),
            Status::Fail,
            "`jq --version` did not print \"jq-2\": jq-1.7",
        ),
        (
            Some("jq"),
            output(127, "", "sh: jq: not found\n"),
            Status::Fail,
            "`jq --version` exited with 127: sh: jq: not found",
        ),
    ];
    for (expect, output, status, detail) in cases {
        assert_eq!(judge(&test(expect), &output), (status, detail.to_owned()));
    }
    let killed = Output { exit: None, stdout: String::new(), stderr: String::new() };
    assert_eq!(judge(&test(None), &killed).0, Status::Fail);
}

#[test]
fn failed_units_are_named_and_an_unknown_state_is_no_pass() {
    assert_eq!(judge_units(&output(0, "running\n", "")), (Status::Pass, "running".to_owned()));
    let degraded = "degraded\nchrony.service loaded failed failed chrony\nx.mount loaded failed failed /x\n";
    let (status, detail) = judge_units(&output(0, degraded, ""));
    assert_eq!(
        (status, detail.as_str()),
        (Status::Fail, "the system is degraded; failed: chrony.service, x.mount")
    );
    assert_eq!(judge_units(&output(0, "starting\n", "")).0, Status::Fail);
    assert_eq!(judge_units(&output(0, "", "")).0, Status::Fail);
    assert_eq!(judge_units(&output(255, "running\n", "Connection closed")).0, Status::Fail);
}

#[test]
fn every_wrong_setting_is_named() {
    let right = |tries: u32| {
        format!(
            "port 22\nx11forwarding no\nmaxauthtries {tries}\npasswordauthentication no\n\
             kbdinteractiveauthentication no\npermitrootlogin no\n"
        )
    };
    for tries in [3, 6] {
        assert_eq!(wrong_settings(&right(tries)), Vec::<String>::new(), "6 is the most that is allowed");
    }
    let wrong = "x11forwarding yes\nmaxauthtries 10\nkbdinteractiveauthentication no\npermitrootlogin without-password\n";
    assert_eq!(
        wrong_settings(wrong),
        [
            "x11forwarding is yes, not no",
            "maxauthtries is 10, not 6",
            "passwordauthentication is not set, should be no",
            "permitrootlogin is without-password, not no",
        ]
    );
}

#[test]
fn only_a_refusal_without_passwords_passes() {
    let refused = |methods: &str| output(255, "", &format!("u@127.0.0.1: Permission denied ({methods}).\n"));
    let no_passwords = ["password", "keyboard-interactive"];
    assert_eq!(judge_refusal(&refused("publickey"), &no_passwords).0, Status::Pass);
    assert_eq!(judge_refusal(&refused("publickey,password"), &no_passwords).0, Status::Fail);
    assert_eq!(judge_refusal(&refused("publickey,keyboard-interactive"), &no_passwords).0, Status::Fail);
    assert_eq!(judge_refusal(&output(0, "", ""), &no_passwords).0, Status::Fail);
    assert_eq!(judge_refusal(&output(255, "", "Connection reset by peer\n"), &[]).0, Status::Fail);
    assert_eq!(judge_refusal(&output(142, "Please login as the user", ""), &[]).0, Status::Fail);
}

#[test]
fn growth_is_beyond_the_whole_image() {
    assert_eq!(judge_growth(3 << 30, 2 << 30).0, Status::Pass);
    assert_eq!(judge_growth(2 << 30, 2 << 30).0, Status::Fail);
}

#[test]
fn people_and_forgotten_homes_are_found() {
    let base = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n\
                svc:x:1500:1500::/home/svc:/usr/sbin/nologin\n\
                try-admin:x:1000:1000::/home/try-admin:/bin/bash\ntry-password:x:1001:1001::/home/try-password:/bin/bash";
    let clean = format!("{base}\n\nsvc\ntry-admin\ntry-password\n");
    assert_eq!(judge_users(&clean).0, Status::Pass);
    let left = format!("{base}\npacker:x:1002:1002::/home/packer:/bin/sh\n\npacker\nbuilder\ntry-admin\n");
    assert_eq!(
        judge_users(&left),
        (Status::Fail, "left in the image: account packer, /home/builder".to_owned())
    );
}

#[test]
fn one_shared_identity_is_enough_to_fail() {
    let identity = |id: &str, keys: &[&str]| Identity {
        machine_id: id.to_owned(),
        host_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let first = identity("a", &["k1", "k2"]);
    assert_eq!(judge_identities(&first, &identity("b", &["k3", "k4"])).0, Status::Pass);
    assert_eq!(judge_identities(&first, &identity("a", &["k3"])).0, Status::Fail);
    assert_eq!(judge_identities(&first, &identity("b", &["k3", "k2"])).0, Status::Fail);
}
