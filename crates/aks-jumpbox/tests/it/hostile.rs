//! Names that would steer a terminal, in documents.

use crate::check;
use crate::program::{Answer, Place};

/// Colours what follows, starts a line that says yes, and turns the reading direction.
const HOSTILE: &str = r"Deny\u001b[31mRED\u001b[2J\n\u2713 pass: 99 pass\u202egpj\u009b2J";

const NSG: &str = include_str!("../../../../docs/examples/network/nsg.json");
const FLOWS: &str = "--nsg nsg.json --virtual-network 10.241.0.0/24 --subnet 10.241.0.0/28";

/// The example's group, in which the rule that decides has a hostile name.
fn group() -> String {
    assert!(NSG.contains("\"DenyAllInbound\""));
    NSG.lines()
        .filter(|line| !line.contains("AllowSshInbound"))
        .map(|line| line.replace("DenyAllInbound", HOSTILE) + "\n")
        .collect()
}

/// What a terminal would show as another text than was written; our own colours do not.
fn assert_harmless(answer: &Answer) {
    for text in [&answer.stdout, &answer.stderr] {
        let styles = ["0", "1", "2", "31", "32", "33"];
        let own =
            styles.iter().fold(text.clone(), |text, style| text.replace(&format!("\u{1b}[{style}m"), ""));
        let steers = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!own.chars().any(steers), "{own:?}");
        assert!(!text.contains("\u{1b}[31mRED"), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("✓ pass: 99")), "{text:?}");
    }
}

fn assert_shown(answer: &Answer) {
    assert_harmless(answer);
    assert!(answer.stdout.contains("Deny\u{fffd}[31mRED\u{fffd}[2J\u{fffd}✓ pass"), "{answer}");
}

#[test]
fn the_name_of_a_rule_does_not_steer_the_terminal() {
    let place = check::place("Disabled");
    place.write("nsg.json", &group());
    place.write("contracts.txt", "allow inbound tcp 10.241.0.5 -> 10.241.0.4:22\n");
    for colour in ["always", "never"] {
        for line in [
            "check --environment environment.toml".to_owned(),
            format!("prove {FLOWS} --contracts contracts.txt --repair --certificate"),
            format!(
                "explain {FLOWS} --direction inbound --protocol tcp --from 10.241.0.5 --to 10.241.0.4:22"
            ),
        ] {
            let answer = place.run(&format!("{line} --color {colour}"));
            assert_eq!(answer.code, Some(1), "{line}: {answer}");
            assert_shown(&answer);
            assert_eq!(answer.stdout.contains("\u{1b}["), colour == "always", "{line}: {answer}");
        }
    }
}

#[test]
fn programs_get_the_name_as_it_is() {
    let place = check::place("Disabled");
    place.write("nsg.json", &group());
    let answer = place.run("check --environment environment.toml --format json");
    assert_harmless(&answer);
    let name: String = serde_json::from_str(&format!("\"{HOSTILE}\"")).expect("a text");
    let json = answer.json();
    let rules = json["findings"].as_array().expect("findings").iter();
    let mut rules = rules.filter_map(|finding| finding["evidence"]["decided_by"]["rule"].as_str());
    assert!(rules.any(|rule| rule == name), "{answer}");
}

#[test]
fn diagnostics_of_a_broken_template_do_not_steer_the_terminal() {
    let place = Place::new();
    let raw = "\u{202e}\u{9b}2J\u{2067}";
    place.write(
        "image.json",
        &format!(
            "{{\"type\": \"Microsoft.VirtualMachineImages/imageTemplates\", \"apiVersion\": \"2024-02-01\",\n \
             \"{HOSTILE}{raw}\": 1, \"location\": 7, \"properties\": {{\"source\": {{\"type\": \"{HOSTILE}\"}}}}}}"
        ),
    );
    for line in [
        "check --template image.json",
        "check --template image.json --color always",
        "check --template image.json --format json",
    ] {
        let answer = place.run(line);
        assert_eq!(answer.code, Some(2), "{answer}");
        assert_harmless(&answer);
    }
    let answer = place.run("check --template image.json");
    assert!(answer.stderr.contains("RED\u{fffd}[2J") || answer.stderr.contains("RED [2J"), "{answer}");
}
