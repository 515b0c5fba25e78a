//! What is generated from the code. `docs/reference` doubles as the reviewed record of every command's help.

use std::path::Path;

use crate::program::Place;

#[test]
fn the_reference_is_what_the_code_says() {
    let place = Place::new();
    let answer = place.run("__reference fresh");
    assert_eq!(answer.code, Some(0), "{answer}");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for page in [
        "command-line.md",
        "diagnosis.md",
        "exit-codes.md",
        "flow-logs.md",
        "local-azure.md",
        "requirements.md",
        "templates.md",
    ] {
        let kept = std::fs::read_to_string(kept.join(page)).expect("the page is there");
        assert!(
            kept == place.read(&format!("fresh/{page}")),
            "{page} is out of date: run `cargo xtask docs`"
        );
    }
}

#[test]
fn every_command_has_a_manual_page_and_examples() {
    let place = Place::new();
    let answer = place.run("man pages");
    assert_eq!(answer.code, Some(0), "{answer}");
    for command in [
        "init",
        "doctor",
        "build",
        "try",
        "check",
        "prove",
        "explain",
        "diagnose",
        "render",
        "serve",
        "cache",
        "completions",
        "man",
    ] {
        let page = place.read(&format!("pages/aks-jumpbox-{command}.1"));
        assert!(page.contains("xample"), "{command} shows an example");
    }
}

#[test]
fn completions_know_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let answer = place.run(&format!("completions {shell}"));
        assert_eq!(answer.code, Some(0), "{answer}");
        assert!(answer.stdout.contains("doctor"), "{shell}");
    }
}
