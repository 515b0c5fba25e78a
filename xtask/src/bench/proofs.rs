//! How long decisions and proofs take, and what an SMT solver takes for the same rules in the same run.

use super::{Row, checked};
use crate::process::cargo;
use crate::python;

/// Name in the measurement's output, name of the row, and the seconds that are promised.
const SCENARIOS: &[(&str, &str, Option<f64>)] = &[
    ("a flow, 10 rules", "prove: a flow of a topology, 10 rules", None),
    ("a flow, 100 rules", "prove: a flow of a topology, 100 rules", None),
    ("a flow, 1000 rules", "prove: a flow of a topology, 1,000 rules", Some(0.002)),
    ("entangled, 10 rules", "prove: 10 entangled rules", None),
    ("entangled, 100 rules", "prove: 100 entangled rules", None),
    ("entangled, 1000 rules", "prove: 1,000 entangled rules", Some(0.060)),
    ("entangled with ports, 100 rules", "prove: 100 entangled rules with ports and protocols", None),
    ("entangled with ports, 1000 rules", "prove: 1,000 entangled rules with ports and protocols", None),
    ("entangled with unknown tags, 100 rules", "prove: 100 entangled rules with unknown tags", None),
    ("entangled with unknown tags, 1000 rules", "prove: 1,000 entangled rules with unknown tags", None),
    ("decide, 10 rules", "decide: 10 rules", None),
    ("decide, 100 rules", "decide: 100 rules", None),
    ("decide, 1000 rules", "decide: 1,000 rules", Some(0.000_005)),
];

/// Seconds after which the measurement stops the solver.
const SOLVER_LIMIT: f64 = 60.0;

/// Measures every scenario when one of them is wanted: they share one run. `SERVICE_TAGS` names Azure's file of tags.
pub fn measure(wanted: &dyn Fn(&str) -> bool, peers: bool) -> Vec<Row> {
    if !SCENARIOS.iter().any(|(_, row, _)| wanted(row)) {
        return Vec::new();
    }
    eprintln!("  proofs ...");
    let solver = if peers { python::solver().ok().flatten() } else { None };
    let arguments =
        ["run", "--release", "--quiet", "--package", "network-policy", "--example", "proofs", "--"];
    let mut command = cargo(&arguments);
    let output = match solver {
        Some(python) => checked(command.arg(python)),
        None => checked(command.arg("-")),
    };
    if let Ok(text) = &output {
        eprintln!("  service tags: {}", column(text, "tags", 1).unwrap_or("none"));
    }
    SCENARIOS.iter().flat_map(|(name, row, promise)| rows(&output, name, row, *promise)).collect()
}

/// Our row of a scenario and, where it was asked, the solver's.
fn rows(
    output: &Result<String, String>,
    name: &str,
    scenario: &'static str,
    promise: Option<f64>,
) -> Vec<Row> {
    let seconds = |text: &str, index| -> Option<Vec<f64>> {
        column(text, name, index)?.split(' ').map(|number| number.parse().ok()).collect()
    };
    let ours = output
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|text| seconds(text, 1).ok_or_else(|| format!("not in the measurement's output: {name}")));
    let theirs = output.as_ref().ok().and_then(|text| seconds(text, 2));
    let ours = Row { scenario, by: "aks-jumpbox", seconds: ours, promise };
    let theirs = theirs.map(|seconds| {
        let stopped = seconds.iter().any(|own| *own >= SOLVER_LIMIT);
        let by = if stopped { "z3, stopped after 60 s" } else { "z3" };
        Row { scenario, by, seconds: Ok(seconds), promise: None }
    });
    std::iter::once(ours).chain(theirs).collect()
}

fn column<'a>(text: &'a str, name: &str, index: usize) -> Option<&'a str> {
    let lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    lines.into_iter().find(|columns| columns.first() == Some(&name))?.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solver_that_was_not_asked_has_no_row() {
        let output = Ok("tags\treal tags\na\t0.001 0.003 0.002\t0.5\nb\t0.001\t".to_owned());
        let both = rows(&output, "a", "row", Some(0.002));
        assert_eq!((both.len(), both[0].median(), both[1].median()), (2, Some(0.002), Some(0.5)));
        assert!(!both[0].breaks_promise());
        assert_eq!(rows(&output, "b", "row", None).len(), 1);
        assert!(rows(&output, "c", "row", Some(1.0))[0].breaks_promise());
    }
}
