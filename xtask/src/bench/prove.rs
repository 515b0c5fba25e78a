//! `prove` and `check` as a script calls them: a whole process, from its start to its answer, with warm file caches.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::{Bench, Row, checked, write};
use crate::process::{command, root};

const SMALL: &str = "prove --nsg, the example's 8 rules and 9 contracts";
const LARGE: &str = "prove --nsg, 1,000 rules and the example's contracts";
const CHECK: &str = "check, a hub and a spoke of templates";
const RUNS: usize = 20;
/// Seconds.
const PROMISE: f64 = 0.02;
const CHECK_PROMISE: f64 = 0.05;

/// Measures both groups and the check of the example's templates.
pub fn measure(bench: &Bench, wanted: &dyn Fn(&str) -> bool) -> Vec<Row> {
    let example = root().join("docs/examples/network");
    let scenarios = [(SMALL, 0), (LARGE, 992)];
    let row = |(scenario, more): (&'static str, usize)| {
        eprintln!("  {scenario} ...");
        Row { scenario, by: "aks-jumpbox", seconds: seconds(bench, &example, more), promise: Some(PROMISE) }
    };
    let mut rows: Vec<_> = scenarios.into_iter().filter(|(scenario, _)| wanted(scenario)).map(row).collect();
    if wanted(CHECK) {
        eprintln!("  {CHECK} ...");
        let mut check = command(&bench.program, &["check", "--environment"]);
        check.arg(root().join("docs/examples/hub-and-spoke/environment.toml"));
        rows.push(Row {
            scenario: CHECK,
            by: "aks-jumpbox",
            seconds: repeated(&mut check),
            promise: Some(CHECK_PROMISE),
        });
    }
    rows
}

/// Seconds of a whole process, again and again, after once to warm up.
fn repeated(process: &mut Command) -> Result<Vec<f64>, String> {
    checked(process)?;
    (0..RUNS)
        .map(|_| {
            let began = Instant::now();
            checked(process)?;
            Ok(began.elapsed().as_secs_f64())
        })
        .collect()
}

fn seconds(bench: &Bench, example: &Path, more: usize) -> Result<Vec<f64>, String> {
    let nsg = std::fs::read_to_string(example.join("nsg.json")).map_err(|error| error.to_string())?;
    let file = bench.folder.join(format!("nsg-{more}.json"));
    // The example's permissions, 100 to 120, move behind the others, so that each of those counts.
    let nsg = nsg.replace("\"priority\": 1", "\"priority\": 31");
    let rules = "\"securityRules\": [";
    write(&file, &nsg.replacen(rules, &format!("{rules}{}", filler(more)), 1))
        .map_err(|stop| stop.message)?;
    let mut prove = command(
        &bench.program,
        &["prove", "--virtual-network", "10.241.0.0/24", "--subnet", "10.241.0.0/28"],
    );
    prove.arg("--nsg").arg(&file).arg("--contracts").arg(example.join("contracts.txt"));
    repeated(&mut prove)
}

/// Rules asked before the example's that change no answer: one port is refused, another allowed, network by network.
fn filler(count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        let (access, port) = if index % 2 == 0 { ("Deny", 8443) } else { ("Allow", 443) };
        let (high, low) = (index / 256, index % 256);
        let _ = writeln!(
            text,
            r#"{{"name": "rule-{index}", "properties": {{"priority": {}, "direction": "Outbound", "access": "{access}",
            "protocol": "Tcp", "sourceAddressPrefix": "10.241.0.0/28", "sourcePortRange": "*",
            "destinationAddressPrefix": "20.{high}.{low}.0/24", "destinationPortRange": "{port}"}}}},"#,
            200 + index
        );
    }
    text
}
