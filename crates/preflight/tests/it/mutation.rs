//! Every part of a good environment taken away or altered in turn, and what is noticed.
//!
//! The snapshots group the mutations by what is said of them. A mutation under `nothing` must not matter; each of the
//! others must name what it breaks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use document::Diagnostic;
use preflight::{Report, Status};
use serde_json::Value;

use crate::world::World;

/// What a check says of each requirement; an error is what makes the program say that a file is wrong.
pub type Said = Result<Vec<(&'static str, Status)>, String>;

pub fn said(report: &Report) -> Vec<(&'static str, Status)> {
    report.findings.iter().map(|finding| (finding.requirement.id, finding.status())).collect()
}

/// What is said otherwise than of a good environment.
fn difference(good: &Said, said: Said) -> String {
    let said = match said {
        Ok(said) => said,
        Err(refused) => return refused,
    };
    let changed = said.iter().filter(|one| !good.as_ref().is_ok_and(|good| good.contains(one)));
    let changed: Vec<_> = changed.map(|(id, status)| format!("{id} {status:?}")).collect();
    if changed.is_empty() { "nothing".to_owned() } else { changed.join("\n") }
}

/// What makes the program say that a file is wrong.
pub fn refusal(found: &[Diagnostic]) -> Option<String> {
    let codes: Vec<_> = found.iter().filter(|found| found.is_error()).map(|found| found.code).collect();
    (!codes.is_empty()).then(|| format!("refused: {}", codes.join(", ")))
}

/// The mutations of a value by what is said of each, as text.
pub fn survey(value: &Value, ask: impl Fn(&Value) -> Said) -> String {
    let good = ask(value);
    let ask = |value: &Value| difference(&good, ask(value));
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut places = Vec::new();
    collect(value, "", "", &mut places);
    for (label, pointer) in places {
        let mut without = value.clone();
        remove(&mut without, &pointer);
        groups.entry(ask(&without)).or_default().push(format!("without {label}"));
        let mut altered = value.clone();
        let place = altered.pointer_mut(&pointer).expect("a place");
        if alter(place, pointer.rsplit('/').next().unwrap_or_default()) {
            let shown = format!("{label} = {place}");
            groups.entry(ask(&altered)).or_default().push(shown);
        }
    }
    let mut out = String::new();
    for (said, mutations) in groups {
        let _ = write!(out, "{said}\n    {}\n", mutations.join("\n    "));
    }
    out
}

/// Every place inside a value, by what a reader calls it and as a JSON pointer.
fn collect(value: &Value, label: &str, pointer: &str, out: &mut Vec<(String, String)>) {
    let mut inner = |name: &str, key: &str, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        let (label, pointer) = (format!("{label}{name}"), format!("{pointer}/{key}"));
        out.push((label.clone(), pointer.clone()));
        collect(value, &label, &pointer, out);
    };
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let named = ["name", "id", "namespace"].iter().find_map(|key| item[*key].as_str());
                let named = named.filter(|name| !name.starts_with('['));
                let named = named.map(|name| name.rsplit('/').next().unwrap_or_default().to_owned());
                let name = named.unwrap_or_else(|| index.to_string());
                inner(&format!("[{name}]"), &index.to_string(), item);
            }
        }
        Value::Object(members) => {
            // The name of the parent says enough.
            members.iter().for_each(|(key, value)| inner(&format!(".{key}"), key, value));
        }
        _ => {}
    }
}

fn remove(value: &mut Value, pointer: &str) {
    let (parent, key) = pointer.rsplit_once('/').expect("a place inside");
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent).expect("a parent") {
        Value::Array(items) => drop(items.remove(key.parse().expect("a place"))),
        Value::Object(members) => drop(members.remove(&key)),
        _ => {}
    }
}

/// Makes a scalar another one of its kind.
fn alter(value: &mut Value, key: &str) -> bool {
    *value = match &*value {
        Value::Bool(flag) => (!*flag).into(),
        Value::Number(number) => (number.as_i64().unwrap_or_default() + 1).into(),
        Value::String(text) => other(text, key).into(),
        _ => return false,
    };
    true
}

/// Another text of the same kind.
fn other(text: &str, key: &str) -> String {
    const PAIRS: [(&str, &str); 8] = [
        ("Allow", "Deny"),
        ("Inbound", "Outbound"),
        ("Tcp", "Udp"),
        ("Enabled", "Disabled"),
        ("Registered", "NotRegistered"),
        ("V2", "V1"),
        ("Https", "Http"),
        ("VirtualAppliance", "None"),
    ];
    for (one, other) in PAIRS {
        match text {
            text if text == one => return other.to_owned(),
            text if text == other => return one.to_owned(),
            _ => {}
        }
    }
    match text {
        "*" if key == "protocol" => "Udp".to_owned(),
        "*" if key.contains("Port") => "1".to_owned(),
        "*" => "10.9.9.0/28".to_owned(),
        text if text.parse::<u16>().is_ok_and(|port| port < 65_535) => {
            (text.parse::<u16>().unwrap_or_default() + 1).to_string()
        }
        text if text.ends_with("/0") => "10.0.0.0/8".to_owned(),
        text if text.contains('/') && text.starts_with("10.") => "10.9.9.0/28".to_owned(),
        text if text.starts_with("10.") => "10.9.9.9".to_owned(),
        text if text.starts_with('[') => "altered".to_owned(),
        text => format!("{text}x"),
    }
}

#[test]
fn what_matters_in_resources_is_noticed() {
    for (name, world) in [("private-link", World::private_link()), ("isolated", World::isolated())] {
        let resources = Value::Array(world.resources.clone());
        let found = survey(&resources, |mutated| {
            let mut world = world.clone();
            world.resources = mutated.as_array().expect("resources").clone();
            world.said()
        });
        insta::assert_snapshot!(name, found);
    }
}
