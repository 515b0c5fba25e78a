//! Verdicts against an SMT solver, which reads the same rules as formulas: `tests/verdicts.py`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use network_policy::ProofVerdict;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::world::policy::{self, exact_term, of, term};
use crate::world::promise::{self, Promise};
use crate::world::{PROTOCOLS, Rule, Term, World};

/// `cargo xtask test` makes it. Without it there is no comparison; in continuous integration that is a failure.
fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../python-solver/bin/python3");
    if python.is_file() {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "no {}; `cargo xtask test` makes it", python.display());
    eprintln!("SKIPPED: no z3-solver in {}; `cargo xtask test` installs it", python.display());
    None
}

fn ask(python: &Path, cases: &[Value]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verdicts.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked = json!({ "cases": cases }).to_string();
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let answer = child.wait_with_output().unwrap();
    assert!(answer.status.success(), "the solver's script failed");
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let verdicts = answer["verdicts"].as_array().unwrap();
    verdicts.iter().map(|verdict| verdict.as_str().unwrap().to_owned()).collect()
}

fn union(world: &World, terms: &[Term], certain: bool) -> Vec<(u32, u32)> {
    let bounds = terms.iter().map(|term| world.bounds(*term));
    bounds.flat_map(|(least, most)| if certain { least } else { most }).collect()
}

/// Products for protocols with ports and for those without: what ports mean for the latter is not documented.
fn products(world: &World, rule: &Rule) -> Vec<Value> {
    let ported = rule.ports != (0, u16::MAX) || rule.source_ports != (0, u16::MAX);
    let numbers: Vec<u8> = rule.protocol.map_or_else(|| PROTOCOLS.to_vec(), |only| vec![only]);
    let parts = [true, false].map(|with_ports| {
        let of_kind = |number: &&u8| (**number == 6 || **number == 17) == with_ports;
        (with_ports, numbers.iter().filter(of_kind).map(|number| (*number, *number)).collect::<Vec<_>>())
    });
    let product = |(with_ports, protocols): &(bool, Vec<(u8, u8)>), certain: bool| {
        let unsure = certain && ported && !with_ports;
        json!({
            "protocol": if unsure { Vec::new() } else { protocols.clone() },
            "source": union(world, &rule.source, certain),
            "source_port": [if *with_ports { rule.source_ports } else { (0, u16::MAX) }],
            "destination": union(world, &rule.destination, certain),
            "port": [if *with_ports { rule.ports } else { (0, u16::MAX) }],
        })
    };
    let there = parts.iter().filter(|(_, protocols)| !protocols.is_empty());
    there
        .map(|part| json!({ "allow": rule.allow, "must": product(part, true), "may": product(part, false) }))
        .collect()
}

/// Azure's default rules, which stand behind all others.
fn defaults(inbound: bool) -> Vec<Rule> {
    let rule = |allow, source, destination| Rule {
        inbound,
        allow,
        protocol: None,
        source: vec![source],
        source_ports: (0, u16::MAX),
        destination: vec![destination],
        ports: (0, u16::MAX),
    };
    let second = if inbound { (Term::Balancer, Term::Any) } else { (Term::Any, Term::Internet) };
    vec![
        rule(true, Term::Network, Term::Network),
        rule(true, second.0, second.1),
        rule(false, Term::Any, Term::Any),
    ]
}

fn layer(world: &World, rules: &[Rule], inbound: bool) -> Vec<Value> {
    let own = rules.iter().filter(|rule| rule.inbound == inbound).cloned();
    own.chain(defaults(inbound)).flat_map(|rule| products(world, &rule)).collect()
}

/// What Azure exempts from outbound rules.
fn exempt(inbound: bool) -> Vec<Value> {
    let platform = 0xa83f_8110u32;
    let all = [
        (platform, vec![6, 17], vec![53]),
        (platform, vec![17], vec![67, 68]),
        (platform, vec![6], vec![80, 443, 32526]),
        (0xa9fe_a9fe, vec![6], vec![80]),
    ];
    let single = |numbers: &[u32]| -> Vec<(u32, u32)> { numbers.iter().map(|n| (*n, *n)).collect() };
    let rule = |(address, protocols, ports): (u32, Vec<u32>, Vec<u32>)| {
        json!({ "must": {
            "protocol": single(&protocols), "destination": single(&[address]), "port": single(&ports),
        } })
    };
    if inbound { Vec::new() } else { all.into_iter().map(rule).collect() }
}

fn case(world: &World, promise: &Promise) -> Value {
    let groups = [&world.nic, &world.subnet].into_iter().flatten();
    json!({
        "layers": groups.map(|rules| layer(world, rules, promise.inbound)).collect::<Vec<_>>(),
        "contract": { "allow": promise.allow, "must": {
            "protocol": promise.protocols().iter().map(|p| (*p, *p)).collect::<Vec<_>>(),
            "source": promise::end(world, promise.from, !promise.inbound),
            "destination": promise::end(world, promise.to, promise.inbound),
            "port": [promise.ports],
        } },
        "exempt": exempt(promise.inbound),
    })
}

fn agree(worlds: impl Strategy<Value = World>, count: u32) {
    let Some(python) = python() else { return };
    let mut runner = TestRunner::new(crate::cases(count));
    let strategy = (worlds, promise::promise(exact_term().boxed()));
    let drawn: Vec<_> = (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let asked: Vec<_> = drawn.iter().map(|(world, promise)| case(world, promise)).collect();
    let verdicts = ask(&python, &asked);
    let mut seen = [0; 3];
    for ((world, promise), verdict) in drawn.iter().zip(verdicts) {
        let proof = of(world).prove(&promise.contract());
        let (ours, index) = match proof.verdict {
            ProofVerdict::Proved => ("proved", 0),
            ProofVerdict::Refuted => ("refuted", 1),
            ProofVerdict::Depends => ("depends", 2),
        };
        assert_eq!(ours, verdict, "{}\n{world:#?}\n{proof:#?}", promise.contract());
        seen[index] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "one of the verdicts never came up: {seen:?}");
}

#[test]
fn the_solver_agrees_on_small_groups() {
    agree(policy::groups(&term().boxed()), 400);
}

#[test]
fn the_solver_agrees_on_large_groups() {
    let rules = prop::collection::vec(policy::rule_of(&term().boxed()), 20..60);
    agree(rules.prop_map(|rules| World { subnet: Some(rules), ..World::default() }), 100);
}
