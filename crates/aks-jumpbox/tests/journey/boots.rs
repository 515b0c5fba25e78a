//! Finished disks, booted and tested as a user would.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::terminal::Terminal;
use crate::world::{World, fresh};

/// `try` on an image; its answer and the status of every test.
fn try_image(world: &World, image: &str, options: &str) -> (Output, Value, BTreeMap<String, String>) {
    let line = format!("try {image} --format json {options}");
    let output = world.command(&line).output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let tests = answer["tests"].as_array().expect("tests").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let tests = tests.map(|test| (text(&test["name"]), text(&test["status"]))).collect();
    (output, answer, tests)
}

#[test]
fn the_default_jump_box_boots_and_passes_every_test() {
    let Some(world) = World::ready() else { return };
    let rendered = world.command("render template").output().expect("the program runs");
    world.write("image.json", &rendered.stdout);
    let built = world.command("build --quiet").output().expect("the program runs");
    let said = String::from_utf8_lossy(&built.stderr).into_owned() + &String::from_utf8_lossy(&built.stdout);
    assert_eq!(built.status.code(), Some(0), "{said}");
    for lacking in ["kubelogin", "helm", "for AKS versions 1."] {
        assert!(said.contains(lacking), "{lacking}: {said}");
    }
    // The recipe and the template that it stands for are one build.
    assert_eq!(world.build("--until 2 --output again", 0).states(), ["cached", "cached"]);

    let image = world.path("out/aks-jumpbox.vhd");
    let before = fs::metadata(&image).and_then(|meta| meta.modified()).expect("an image");
    let (output, answer, tests) = try_image(&world, "", "--junit junit.xml");
    assert_eq!(output.status.code(), Some(0), "{answer:#}");
    assert!(tests.values().all(|status| status == "pass"), "{answer:#}");
    let expected = [
        "az answers",
        "kubectl answers",
        "kustomize answers",
        "kubectx answers",
        "kubens answers",
        "jq answers",
        "git answers",
        "tmux answers",
        "dig answers",
        "mtr answers",
        "tcpdump answers",
        "nc answers",
        "openssl answers",
        "sshd-settings",
        "password-login-refused",
        "root-login-refused",
        "no-failed-units",
        "disk-grew",
        "fresh-identity",
    ];
    for name in expected {
        assert!(tests.contains_key(name), "{name}: {tests:?}");
    }
    assert!(answer["boot_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{answer:#}");
    let junit = world.read("junit.xml");
    assert!(junit.contains("failures=\"0\"") && junit.contains("az answers"), "{junit}");
    let after = fs::metadata(&image).and_then(|meta| meta.modified()).expect("an image");
    assert_eq!(after, before, "the image stays as it was built");
}

#[test]
fn an_image_that_lets_passwords_in_boots_and_fails() {
    let Some(world) = World::ready() else { return };
    let open = "printf 'PasswordAuthentication yes\\nPermitRootLogin yes\\n' | \
                sudo tee /etc/ssh/sshd_config.d/00-open.conf > /dev/null";
    world.steps(&json!([fresh("open the door", &[open])]));
    world.build("", 0);
    let (output, answer, tests) = try_image(&world, "out/image.vhd", "--junit junit.xml");
    assert_eq!(output.status.code(), Some(1), "{answer:#}");
    for name in ["sshd-settings", "password-login-refused", "root-login-refused"] {
        assert_eq!(tests.get(name).map(String::as_str), Some("fail"), "{name}: {answer:#}");
    }
    for name in ["no-failed-units", "disk-grew", "fresh-identity"] {
        assert_eq!(tests.get(name).map(String::as_str), Some("pass"), "{name}: {answer:#}");
    }
    assert!(!world.read("junit.xml").contains("failures=\"0\""));
}

#[test]
fn a_build_boots_its_own_image_and_keeps_the_results() {
    let Some(world) = World::ready() else { return };
    let recipe = "[image]\nname = \"small\"\n[tools]\npackages = [\"jq\"]\n[[smoke_test]]\nname = \"jq counts\"\n\
                  run = \"jq -n '40 + 2'\"\nexpect = \"42\"\n";
    world.write("jumpbox.toml", recipe);
    let output = world.command("build --smoke-test --format json").output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let last: Value = serde_json::from_str(text.lines().last().expect("events")).expect("JSON");
    assert_eq!((&last["event"], &last["image"]), (&json!("done"), &json!("out/small.vhd")));
    let manifest = world.json("out/manifest.json");
    let tests = manifest["smoke_tests"].as_array().expect("a list");
    assert!(tests.iter().any(|test| test["name"] == "jq counts"), "{manifest:#}");
    assert!(tests.iter().all(|test| test["status"] == "pass"), "{manifest:#}");
    assert_eq!(manifest["warnings"], json!([]), "our own scripts do the same here and in Azure");

    // A person looks around in it.
    let mut terminal = Terminal::start(&world.command("try out/small.vhd --shell"));
    terminal.until("$ ");
    terminal.press("echo answer-$((40 + 2)); id -un | tr a-z A-Z\n");
    terminal.until("TRY-ADMIN");
    terminal.press("exit\n");
    let (seen, code) = terminal.end();
    assert!(seen.contains("answer-42"), "{seen}");
    assert_eq!(code, Some(0), "{seen}");
}
