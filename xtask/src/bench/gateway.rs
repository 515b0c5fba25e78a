//! What the egress gateway costs: the same transfers directly and through it, in turns.

use super::{Row, checked};
use crate::process::cargo;

/// What is promised of a scenario, given the direct runs.
enum Promise {
    /// A part of the direct throughput.
    Throughput(f64),
    /// Direct, and as many seconds more.
    Beyond(f64),
    /// Nothing: measured to be known.
    None,
}

/// Name in the measurement's output, name of the row, and the promise.
const SCENARIOS: &[(&str, &str, Promise)] = &[
    ("curl 1 GB at 10 Gbit/s", "gateway: 1 GB by curl, 10 Gbit/s line", Promise::Throughput(0.9)),
    ("curl 1 GB to /dev/null", "gateway: 1 GB by curl to /dev/null", Promise::None),
    ("curl 1 GB to a file", "gateway: 1 GB by curl to a file", Promise::Throughput(0.9)),
    ("4 GiB from memory to memory", "gateway: 4 GiB from memory to memory", Promise::None),
    ("1000 connections in turn", "gateway: 1000 connections in turn", Promise::Beyond(1.0)),
    ("100 curls at once", "gateway: 100 curls at once", Promise::Throughput(1.0)),
];

/// Measures every scenario when one of them is wanted: they share one run.
pub fn measure(wanted: &dyn Fn(&str) -> bool) -> Vec<Row> {
    if !SCENARIOS.iter().any(|(_, row, _)| wanted(row)) {
        return Vec::new();
    }
    eprintln!("  gateway ...");
    let arguments = ["run", "--release", "--quiet", "--package", "egress-gateway", "--example", "throughput"];
    let output = checked(&mut cargo(&arguments));
    SCENARIOS.iter().flat_map(|(name, row, promise)| rows(&output, name, row, promise)).collect()
}

/// The two rows of a scenario. The gateway's own is judged.
fn rows(output: &Result<String, String>, name: &str, scenario: &'static str, promise: &Promise) -> [Row; 2] {
    let found = output.as_ref().map_err(Clone::clone).and_then(|text| {
        seconds(text, name).ok_or_else(|| format!("not in the measurement's output: {name}"))
    });
    let (direct, through) = match found {
        Ok((direct, through)) => (Ok(direct), Ok(through)),
        Err(reason) => (Err(reason.clone()), Err(reason)),
    };
    let direct = Row { scenario, by: "direct", seconds: direct, promise: None };
    let most = match (promise, direct.median()) {
        (Promise::None, _) => None,
        (Promise::Throughput(part), Some(median)) => Some(median / part),
        (Promise::Beyond(more), Some(median)) => Some(median + more),
        // What did not run keeps no promise.
        (_, None) => Some(0.0),
    };
    [Row { scenario, by: "aks-jumpbox", seconds: through, promise: most }, direct]
}

/// Seconds of the direct runs and of those through the gateway.
fn seconds(output: &str, name: &str) -> Option<(Vec<f64>, Vec<f64>)> {
    let mut columns = output
        .lines()
        .map(|line| line.split('\t'))
        .find_map(|mut columns| (columns.next() == Some(name)).then_some(columns))?;
    let mut numbers =
        || -> Option<Vec<f64>> { columns.next()?.split(' ').map(|text| text.parse().ok()).collect() };
    Some((numbers()?, numbers()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_judged_by_the_direct_runs() {
        let output = Ok("a\t1.0 3.0 2.0\t2.0 2.2 2.1\nb\t1\t2".to_owned());
        let judged = |promise| {
            let [ours, direct] = rows(&output, "a", "row", &promise);
            assert_eq!((ours.median(), direct.median(), direct.promise), (Some(2.1), Some(2.0), None));
            ours.breaks_promise()
        };
        assert!(!judged(Promise::Throughput(0.9)));
        assert!(judged(Promise::Throughput(0.99)));
        assert!(!judged(Promise::Beyond(0.2)));
        assert!(judged(Promise::Beyond(0.0)));
        assert!(!judged(Promise::None));
    }

    #[test]
    fn what_did_not_run_keeps_no_promise() {
        for output in [Err("no curl".to_owned()), Ok("b\t1\t2".to_owned()), Ok("a\t1\tx".to_owned())] {
            let [ours, _] = rows(&output, "a", "row", &Promise::Throughput(0.9));
            assert!(ours.breaks_promise());
        }
    }
}
