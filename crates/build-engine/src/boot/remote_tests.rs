use std::process::Command;

use super::*;

/// Runs a script with the shell of this machine, with an answer that is kept elsewhere and tests that are run by whoever
/// runs this: only `sudo` and the administrator's home are stood in for.
fn here(folder: &std::path::Path) -> impl FnMut(&str) -> Result<String, NoAnswer> {
    let own = folder.to_str().expect("a path").to_owned();
    move |script: &str| {
        let script = script
            .replace(FOLDER, &format!("{own}/try"))
            .replace(&format!("/home/{ADMIN}"), &own)
            .replace(&format!("sudo -n -H -u {ADMIN} "), "");
        let output = Command::new("sh").arg("-c").arg(script).output().expect("sh");
        Ok(String::from_utf8(output.stdout).expect("text"))
    }
}

fn ask_here(commands: &[&str]) -> Result<Vec<(Output, f64)>, NoAnswer> {
    let folder = tempfile::tempdir().expect("a folder");
    let commands: Vec<_> = commands.iter().map(|command| (*command).to_owned()).collect();
    ask(&commands, &mut here(folder.path()))
}

#[test]
fn what_commands_print_arrives_whole_and_apart() {
    let answers = ask_here(&[
        "echo one; echo two >&2",
        "printf 'no end of line'; exit 3",
        "kill -9 $$",
        "echo 'ä \"$HOME\"'",
    ]);
    let answers = answers.expect("answers");
    let told: Vec<_> = answers
        .iter()
        .map(|(output, _)| (output.exit, output.stdout.as_str(), output.stderr.as_str()))
        .collect();
    assert_eq!(told[0], (Some(0), "one\n", "two\n"));
    assert_eq!(told[1], (Some(3), "no end of line", ""));
    assert_eq!(told[2].0, Some(137), "timeout tells of a signal as shells do");
    assert_eq!(told[3], (Some(0), "ä \"$HOME\"\n", ""));
}

#[test]
fn an_answer_of_many_pieces_is_put_together() {
    let answers = ask_here(&["seq 1 2000", "seq 1 2000 >&2", "seq 5"]).expect("answers");
    assert_eq!(answers[0].0.stdout.len(), 4000, "the end of what is long");
    assert!(answers[0].0.stdout.ends_with("1999\n2000\n"));
    assert_eq!(answers[1].0.stderr.len(), 1000);
    assert_eq!(answers[2].0.stdout, "1\n2\n3\n4\n5\n");
}

#[test]
fn another_answer_is_none() {
    let commands = ["true".to_owned()];
    for said in ["", "bash: not found\n", "0123 4\nAAAA\n"] {
        let mut run = |_: &str| Ok::<_, NoAnswer>(said.to_owned());
        assert!(ask(&commands, &mut run).is_err(), "{said}");
    }
    // One that is cut off inside a piece, as an agent's limit would do it.
    let folder = tempfile::tempdir().expect("a folder");
    let mut whole = here(folder.path());
    let mut cut = |script: &str| whole(script).map(|said| said.chars().take(60).collect());
    assert!(ask(&["seq 1 100".to_owned()], &mut cut).is_err());
}

#[test]
fn tests_are_judged_as_over_ssh() {
    let expecting = |name: &str, run: &str, expect: &str| SmokeTest {
        name: name.to_owned(),
        run: run.to_owned(),
        expect: Some(expect.to_owned()),
    };
    let tests = [expecting("right", "echo jq-1.7", "jq-1"), expecting("wrong", "echo jq-1.7", "jq-2")];
    let posture = [
        (0, "running\n", ""),
        (
            0,
            "permitrootlogin no\npasswordauthentication yes\nx11forwarding no\nmaxauthtries 3\nkbdinteractiveauthentication no\n",
            "",
        ),
        (0, "try-password P 2026-01-01 0 99999 7 -1\n", ""),
        (255, "", "try-password@127.0.0.1: Permission denied (publickey).\n"),
        (0, "", ""),
        (0, "welcome\n", ""),
        (0, "9000000000\n", ""),
        (
            0,
            "root:x:0:0::/root:/bin/bash\ntry-admin:x:1000:1000::/home/try-admin:/bin/bash\n\ntry-admin\npacker\n",
            "",
        ),
        (0, "0123456789abcdef0123456789abcdef\n256 SHA256:one root@try (ED25519)\n", ""),
    ];
    let mut run = |script: &str| {
        let asked: Vec<_> = script.lines().filter(|line| line.starts_with("ask ")).collect();
        assert_eq!(asked.len(), tests.len() + posture.len());
        let own = [(0, "jq-1.7\n", ""), (0, "jq-1.7\n", "")];
        let all = own
            .iter()
            .chain(&posture)
            .map(|(exit, out, err)| format!("{exit} 1500 {} {}\n{out}{err}", out.len(), err.len()));
        let text = STANDARD.encode(all.collect::<String>());
        // All of it at once where it fits, which it does not quite: so the first piece alone, then the rest.
        let from =
            script.lines().find_map(|line| line.strip_prefix("tail -c +")?.split(' ').next()?.parse().ok());
        let from: usize = from.expect("where the piece begins");
        let nonce =
            script.lines().find_map(|line| line.strip_prefix("echo ")?.split(' ').next()).expect("a nonce");
        let end = text.len().min(from - 1 + PIECE);
        Ok::<_, NoAnswer>(format!("{nonce} {}\n{}\n", text.len(), &text[from - 1..end]))
    };
    let examined = examine(&tests, Some(8 << 30), &mut run).expect("an answer");
    let told: Vec<_> = examined.tests.iter().map(|test| (test.name.as_str(), test.status)).collect();
    assert_eq!(
        told,
        [
            ("right", Status::Pass),
            ("wrong", Status::Fail),
            ("no-failed-units", Status::Pass),
            ("sshd-settings", Status::Fail),
            ("password-login-refused", Status::Pass),
            ("root-login-refused", Status::Fail),
            ("disk-grew", Status::Pass),
            ("no-build-user", Status::Fail),
        ]
    );
    assert_eq!(examined.tests[5].detail, "the login succeeded");
    assert_eq!(examined.identity.map(|identity| identity.machine_id.len()), Some(32));
}
