//! `cargo xtask bench`: what SPECIFICATION.md promises, measured, beside other tools in the same run.
//!
//! Wall-clock times on a shared machine vary by a quarter; medians of several runs and ratios within one run are
//! what is compared.

mod deploy;
mod gateway;
mod jump_box;
mod memory;
mod ours;
mod peers;
mod proofs;
mod prove;
mod rootless;
mod serve;
mod table;
mod templates;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::Stop;
use crate::host;
use crate::process::{command, output, target};

/// How often, what, and beside whom.
struct Options {
    runs: usize,
    only: Option<String>,
    peers: bool,
}

/// What a measurement found.
pub struct Row {
    /// What was done.
    pub scenario: &'static str,
    /// By which program.
    pub by: &'static str,
    /// Seconds of each run, or why there are none.
    pub seconds: Result<Vec<f64>, String>,
    /// The most that SPECIFICATION.md allows, in seconds.
    pub promise: Option<f64>,
}

/// A measured figure that is no time.
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// Its unit.
    pub unit: &'static str,
    /// The value of each run, or why there is none.
    pub values: Result<Vec<f64>, String>,
    /// The most that SPECIFICATION.md allows.
    pub promise: Option<f64>,
}

impl Figure {
    fn new(
        what: impl Into<String>,
        unit: &'static str,
        values: Result<Vec<f64>, String>,
        promise: Option<f64>,
    ) -> Self {
        Self { what: what.into(), unit, values, promise }
    }

    /// The middle of the runs.
    pub fn median(&self) -> Option<f64> {
        median(&self.values)
    }

    /// As for a row.
    pub fn breaks_promise(&self) -> bool {
        breaks(self.promise, self.median())
    }
}

fn median(values: &Result<Vec<f64>, String>) -> Option<f64> {
    let mut values = values.clone().ok()?;
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// What could not be measured keeps no promise.
fn breaks(promise: Option<f64>, median: Option<f64>) -> bool {
    promise.is_some_and(|most| median.is_none_or(|median| median > most))
}

/// Folders of one bench run, and our release binary.
pub struct Bench {
    /// Throw-away folder.
    pub folder: PathBuf,
    /// Our binary.
    pub program: PathBuf,
    /// How many times each scenario runs.
    pub runs: usize,
}

/// Measures and prints.
pub fn run(words: &[&str]) -> Result<(), Stop> {
    let options = parse(words)?;
    let program = host::program(true)?;
    let folder = target().join("bench");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)
        .map_err(|error| Stop::not_able(format!("cannot make {}: {error}", folder.display())))?;
    let bench = Bench { folder, program, runs: options.runs };
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| name.contains(only));
    let mut rows = ours::measure(&bench, &wanted);
    let mut figures = Vec::new();
    if wanted(rootless::ROOTLESS) {
        rows.extend(rootless::measure(&bench));
    }
    if wanted(jump_box::JUMP_BOX) {
        let (more, found) = jump_box::measure(&bench);
        rows.extend(more);
        figures.extend(found);
    }
    if options.peers {
        rows.extend(peers::measure(&bench, &wanted));
    }
    rows.extend(prove::measure(&bench, &wanted));
    rows.extend(gateway::measure(&wanted));
    rows.extend(proofs::measure(&wanted, options.peers));
    rows.extend(deploy::measure(&bench, &wanted));
    let (more, found) = serve::measure(&bench, &wanted);
    rows.extend(more);
    figures.extend(found);
    let (more, found) = templates::measure(&wanted);
    rows.extend(more);
    figures.extend(found);
    println!("\n{}", table::render(&rows));
    if !figures.is_empty() {
        println!("{}", table::figures(&figures));
    }
    let rows = rows.iter().filter(|row| row.breaks_promise()).map(|row| row.scenario);
    let figures = figures.iter().filter(|figure| figure.breaks_promise()).map(|figure| figure.what.as_str());
    let broken: Vec<_> = rows.chain(figures).collect();
    if broken.is_empty() {
        Ok(())
    } else {
        Err(Stop::failed(format!("not as promised: {}", broken.join(", "))))
    }
}

fn parse(words: &[&str]) -> Result<Options, Stop> {
    let mut options = Options { runs: 3, only: None, peers: true };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--runs" => {
                let runs = words.next().and_then(|text| text.parse().ok()).filter(|&runs| runs > 0);
                options.runs = runs.ok_or_else(|| Stop::usage("--runs takes a number from 1"))?;
            }
            "--only" => {
                let only =
                    words.next().ok_or_else(|| Stop::usage("--only takes a part of a scenario's name"))?;
                options.only = Some((*only).to_owned());
            }
            "--no-peers" => options.peers = false,
            other => return Err(Stop::usage(format!("bench does not know `{other}`"))),
        }
    }
    Ok(options)
}

impl Row {
    /// The middle of the runs.
    pub fn median(&self) -> Option<f64> {
        median(&self.seconds)
    }

    /// Whether a promise was made and is not kept: a scenario that could not run keeps none.
    pub fn breaks_promise(&self) -> bool {
        breaks(self.promise, self.median())
    }
}

impl Bench {
    /// A folder of its own for one use.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Stop> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)
            .map_err(|error| Stop::not_able(format!("cannot make {}: {error}", folder.display())))?;
        Ok(folder)
    }

    /// Times `runs` commands, each made by `prepare` outside the measured time, with cold file caches where we may.
    pub fn time(
        &self,
        mut prepare: impl FnMut(usize) -> Result<Command, String>,
    ) -> Result<Vec<f64>, String> {
        (0..self.runs).map(|run| time(&mut prepare(run)?)).collect()
    }
}

/// How long a command takes, in seconds, with cold file caches where we may.
fn time(command: &mut Command) -> Result<f64, String> {
    drop_caches();
    let began = Instant::now();
    checked(command)?;
    Ok(began.elapsed().as_secs_f64())
}

/// Runs a command; an error is the last line it printed.
pub fn checked(command: &mut Command) -> Result<String, String> {
    let ran = output(command).map_err(|stop| stop.message)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if ran.status.success() {
        return Ok(text(&ran.stdout));
    }
    let said = if ran.stderr.is_empty() { text(&ran.stdout) } else { text(&ran.stderr) };
    Err(format!("{}: {}", ran.status, said.lines().last().unwrap_or("it said nothing")))
}

/// Writes a file of the bench.
pub fn write(file: &Path, text: &str) -> Result<(), Stop> {
    std::fs::write(file, text)
        .map_err(|error| Stop::not_able(format!("cannot write {}: {error}", file.display())))
}

/// Only root may; elsewhere the runs are simply warm.
fn drop_caches() {
    let _ = command("sync", &[]).status();
    let _ = std::fs::write("/proc/sys/vm/drop_caches", "3");
}
