//! Commands about this machine.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sandbox::Files;

use crate::program::Place;

#[test]
fn doctor_names_what_is_missing_and_what_installs_it() {
    let place = Place::without_programs();
    let answer = place.run("doctor --format json");
    assert_eq!(answer.code, Some(4), "{answer}");
    let json = answer.json();
    assert_eq!(json["ready"], false);
    let missing = json["missing"].as_array().expect("a list");
    let bootstrap = missing.iter().find(|missing| missing["what"] == "mmdebstrap").expect("it is missing");
    assert_eq!(bootstrap["needed_for"], "making the base from the distribution's packages");
    let install = bootstrap["install"].as_str().expect("a command");
    assert!(install.ends_with("apt-get install --yes mmdebstrap"), "{install}");

    let packages = place.run("doctor --packages");
    assert_eq!(packages.code, Some(4), "{packages}");
    assert!(packages.stdout.lines().any(|name| name == "mmdebstrap"), "{packages}");
    assert!(packages.stdout.lines().all(|name| !name.contains(' ')), "{packages}");
    let text = place.run("doctor").stdout;
    assert!(text.contains("To install what is missing:\n"), "{text}");
}

#[test]
fn the_cache_is_where_it_was_named_and_empty_at_first() {
    let place = Place::new();
    assert_eq!(place.run("cache path").stdout, "[HOME]/.cache/aks-jumpbox\n");
    assert_eq!(place.run("cache path --cache-dir elsewhere").stdout, "elsewhere\n");
    let list = place.run("cache list --format json");
    assert_eq!(list.json()["entries"], serde_json::json!([]), "{list}");
    assert_eq!(place.run("cache prune").stdout, "freed 0 B\n");
    assert!(!place.path().join(".cache").exists(), "looking makes nothing");
}

#[test]
fn wrong_arguments_are_wrong_questions_in_both_forms() {
    let place = Place::new();
    let text = place.run("biuld");
    assert_eq!(text.code, Some(2), "{text}");
    assert!(text.stderr.contains("'build'"), "the nearest command is named: {text}");
    let json = place.run("build --format json --targett azure");
    assert_eq!(json.code, Some(2), "{json}");
    assert_eq!(json.json()["error"]["category"], "input");
    let nothing = place.run("");
    assert_eq!(nothing.code, Some(2), "{nothing}");
    assert_eq!(place.run("--help").code, Some(0));
}

#[test]
fn colour_only_where_it_was_asked_for() {
    let place = Place::new();
    assert!(!place.run("try").stderr.contains('\u{1b}'));
    assert!(place.run("try --color always").stderr.contains("\u{1b}["));
    assert!(!place.run("try --color always --format json").stdout.contains('\u{1b}'));
}

/// What `doctor` looks for, and the package that brings it.
const TOOLS: [(&str, &str); 12] = [
    ("mmdebstrap", "mmdebstrap"),
    ("gpgv", "gpgv"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("mke2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("mformat", "mtools"),
    ("mcopy", "mtools"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("setpriv", "util-linux"),
];

#[test]
fn doctor_names_each_tool_that_alone_is_missing() {
    let place = Place::with_only_these_programs(&TOOLS.map(|(program, _)| program));
    let Some(all_there) = place.run_without_sbin("doctor --format json") else {
        eprintln!("SKIPPED: no mount namespace can be made here, and so no folder be hidden");
        return;
    };
    let missing = |answer: &crate::program::Answer| -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let json = answer.json();
        let rows = json["missing"].as_array().expect("a list").iter();
        let rows = rows.map(|row| (text(&row["what"]), text(&row["install"])));
        rows.filter(|(what, _)| TOOLS.iter().any(|(program, _)| program == what)).collect()
    };
    assert_eq!(missing(&all_there), [], "{all_there}");
    assert!(all_there.json()["notes"][0]["detail"].is_string(), "{all_there}");
    for (program, package) in TOOLS {
        std::fs::rename(place.path().join("bin").join(program), place.path().join("away")).expect("away");
        let answer = place.run_without_sbin("doctor --format json").expect("as before");
        assert_eq!(answer.code, Some(4), "{program}: {answer}");
        let install = format!("apt-get install --yes {package}");
        let found = missing(&answer);
        assert!(
            matches!(found.as_slice(), [(what, how)] if what == program && how.ends_with(&install)),
            "{program}: {answer}"
        );
        let text = place.run_without_sbin("doctor").expect("as before").stdout;
        assert!(text.contains(&format!("✗ {program}, for ")) && text.contains(&install), "{program}: {text}");
        std::fs::rename(place.path().join("away"), place.path().join("bin").join(program)).expect("back");
    }
}

/// Stands for QEMU: says which files it can open, in the folder where it was started and elsewhere, and ends.
const CURIOUS: &str = r#"#!/bin/sh
for file in image.raw secret seed.img key /etc/passwd; do
    for place in "${0%/bin/*}/$file" "$file"; do
        (: < "$place") 2>&- && echo "reads $place"
        (: >> "$place") 2>&- && echo "writes $place"
    done
done
for own in overlay.qcow2 variables.fd new; do (: >> $own) 2>&- && echo "writes $own"; done
exit 3
"#;

#[test]
fn what_runs_an_image_opens_no_file_but_its_own() {
    let place = Place::new();
    place.write("image.raw", &"\0".repeat(1 << 20));
    place.write("secret", "secret");
    place.write("bin/qemu-system-x86_64", CURIOUS);
    let program = place.path().join("bin/qemu-system-x86_64");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("changed");
    let path = format!("{}:{}", place.path().join("bin").display(), std::env::var("PATH").expect("a PATH"));
    let answer = place.with_path(path).run("try image.raw");
    if answer.stderr.contains("not installed") || answer.stderr.contains("firmware") {
        eprintln!("SKIPPED: this machine lacks what `try` needs: {answer}");
        return;
    }
    if without_files("/bin/true") {
        eprintln!("SKIPPED: this kernel has no landlock");
        return;
    }
    let opened = "): reads [HOME]/image.raw\nreads seed.img\nwrites overlay.qcow2\nwrites variables.fd\n\n";
    assert!(answer.stderr.contains(opened), "{answer}");
}

/// Whether a program runs that may not open any file, itself included.
fn without_files(program: &str) -> bool {
    let only = Files::default().only().expect("arguments");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aks-jumpbox"));
    command.args(&only[1..]).arg(program).output().is_ok_and(|output| output.status.success())
}

/// As `doctor` advises where a login session's group cannot be divided.
#[test]
fn a_group_that_systemd_delegates_bounds_the_memory_of_builds() {
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !controllers.split_whitespace().any(|name| name == "memory") {
        eprintln!("SKIPPED: this machine has no control groups of version 2 that bound memory");
        return;
    }
    let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user"] };
    let scope = ["--scope", "--quiet", "--collect", "--property=Delegate=yes"];
    let in_scope = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("systemd-run");
        command.args(user).args(scope).arg(program).args(arguments).output()
    };
    if !in_scope("true", &[]).is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no systemd starts a scope here");
        return;
    }
    let output =
        in_scope(env!("CARGO_BIN_EXE_aks-jumpbox"), &["doctor", "--format", "json"]).expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("of memory at once") && !said.contains("no limit of memory"), "{said}");
}
