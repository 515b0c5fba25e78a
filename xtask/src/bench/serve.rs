//! How fast `serve` is, and beside it the plainest server that keeps documents.

use super::{Bench, Figure, Row, checked};
use crate::process::cargo;

/// Name in the measurement's output, name of the row, by whom, and the seconds that are promised.
const TIMES: [(&str, &str, &str, Option<f64>); 13] = [
    ("start, new state", "serve: from start to ready, new state", "aks-jumpbox", Some(0.15)),
    ("start, 100000 resources", "serve: from start to ready, 100,000 resources", "aks-jumpbox", Some(0.15)),
    ("GET p50", "serve: GET, half of them", "aks-jumpbox", None),
    ("peer GET p50", "serve: GET, half of them", "http.server", None),
    ("GET p99", "serve: GET, 99 of 100", "aks-jumpbox", None),
    ("peer GET p99", "serve: GET, 99 of 100", "http.server", None),
    ("PUT p50", "serve: PUT, half of them", "aks-jumpbox", None),
    ("peer PUT p50", "serve: PUT, half of them", "http.server", None),
    ("PUT p99", "serve: PUT, 99 of 100", "aks-jumpbox", None),
    ("peer PUT p99", "serve: PUT, 99 of 100", "http.server", None),
    (
        "list page of 1000, 100000 resources",
        "serve: a page of 1,000 of 100,000 groups",
        "aks-jumpbox",
        Some(0.1),
    ),
    ("delete one of 100000", "serve: DELETE of one of 100,000 groups", "aks-jumpbox", Some(0.02)),
    ("list page of all types", "serve: a page of all resources", "aks-jumpbox", Some(0.1)),
];

/// The same for rates, which have no promise: the clients share the processors.
const RATES: [(&str, &str); 4] = [
    ("GET rate", "serve: GET by 4 clients"),
    ("peer GET rate", "serve: the same by http.server"),
    ("PUT rate", "serve: PUT by 4 clients"),
    ("peer PUT rate", "serve: the same by http.server, which checks nothing"),
];

/// Measures everything when some of it is wanted: it is one run.
pub fn measure(bench: &Bench, wanted: &dyn Fn(&str) -> bool) -> (Vec<Row>, Vec<Figure>) {
    if !TIMES.iter().map(|(_, row, ..)| row).chain(RATES.iter().map(|(_, row)| row)).any(|row| wanted(row)) {
        return Default::default();
    }
    eprintln!("  serve ...");
    let arguments =
        ["run", "--release", "--quiet", "--package", "local-azure", "--example", "requests", "--"];
    let output = checked(cargo(&arguments).arg(&bench.program));
    let numbers = |name: &str| -> Result<Vec<f64>, String> {
        let text = output.as_ref().map_err(Clone::clone)?;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}\t")));
        let numbers = line.and_then(|line| line.split(' ').map(|number| number.parse().ok()).collect());
        numbers.ok_or_else(|| format!("not in the measurement's output: {name}"))
    };
    let row = |(name, scenario, by, promise)| Row { scenario, by, seconds: numbers(name), promise };
    let figure = |(name, what)| Figure::new(what, "requests a second", numbers(name), None);
    (TIMES.map(row).into(), RATES.map(figure).into())
}
