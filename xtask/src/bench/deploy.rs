//! A deployment against the local Azure in the same process: what our own part of it takes.

use std::process::Command;

use super::{Bench, Row, checked};

const NEW: &str = "deploy: everything new, without waiting";
const AGAIN: &str = "deploy: nothing changed";

/// Measures what is wanted.
pub fn measure(bench: &Bench, wanted: &dyn Fn(&str) -> bool) -> Vec<Row> {
    let mut rows = Vec::new();
    if wanted(NEW) {
        eprintln!("  {NEW} ...");
        let seconds = (0..bench.runs).map(|run| own_seconds(bench, run)).collect();
        rows.push(Row { scenario: NEW, by: "aks-jumpbox", seconds, promise: Some(1.0) });
    }
    if wanted(AGAIN) {
        eprintln!("  {AGAIN} ...");
        let first = own_seconds(bench, 0);
        let seconds = first.and_then(|_| bench.time(|_| deploy(bench, 0)));
        rows.push(Row { scenario: AGAIN, by: "aks-jumpbox", seconds, promise: Some(0.2) });
    }
    rows
}

/// A deployment with a cache, and so an Azure, of its own.
fn deploy(bench: &Bench, run: usize) -> Result<Command, String> {
    let folder = bench.folder(&format!("deploy-{run}")).map_err(|stop| stop.message)?;
    let mut command = Command::new(&bench.program);
    command.args(["deploy", "--target", "local", "--location", "eastus2", "--format", "json", "--cache-dir"]);
    command.arg(folder.join("cache")).arg("--state").arg(folder.join("state.json")).current_dir(&folder);
    Ok(command)
}

/// What a deployment took without the waits that the endpoint asked for, as its last line says.
fn own_seconds(bench: &Bench, run: usize) -> Result<f64, String> {
    let text = checked(&mut deploy(bench, run)?)?;
    let last = text.lines().last().unwrap_or_default();
    let number = |name: &str| {
        let (_, rest) = last.split_once(&format!("\"{name}\":"))?;
        rest.split([',', '}']).next()?.parse::<f64>().ok()
    };
    match (number("seconds"), number("waited_seconds")) {
        (Some(seconds), Some(waited)) => Ok(seconds - waited),
        _ => Err(format!("no times in {last}")),
    }
}
