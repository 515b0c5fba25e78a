//! Booting an image and testing it, for `try` and for `build --smoke-test`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use build_engine::boot::{self, Event, SmokeTest, Status, TestResult, TryReport, TrySpec};
use build_engine::cancel::Cancel;
use build_engine::manifest::{Manifest, TestNote};

use crate::errors::{Category, Failure, Problem};
use crate::output::{BOLD, DIM, GREEN, Output, RED, YELLOW, duration};

/// An image to be tried; its serial logs go into `try/` beside it.
pub fn spec(image: &Path, tests: Vec<TestNote>, cancel: &Cancel) -> TrySpec {
    let folder = image.parent().map_or_else(PathBuf::new, Path::to_owned);
    let mut spec = TrySpec::new(image.to_owned(), folder.join("try"));
    let test = |TestNote { name, run, expect, .. }| SmokeTest { name, run, expect };
    spec.tests = tests.into_iter().map(test).collect();
    spec.cancel = cancel.flag();
    spec
}

/// Boots and tests, telling what happens.
///
/// # Errors
/// When the image does not come so far that it could be tested.
pub fn run(spec: &TrySpec, output: Output) -> Result<TryReport, Failure> {
    Ok(boot::try_image(spec, &|event| show(event, output))?)
}

fn show(event: &Event, output: Output) {
    match event {
        Event::Accelerator { accelerator, reason } => {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            output.note(&format!("booting with {accelerator}{reason}"));
        }
        Event::Stage { boot, stage, seconds } => {
            output.note(&format!("  boot {boot}: {stage} after {}", duration(*seconds)));
        }
        Event::Restarted { boot, reason } => output.note(&format!("  boot {boot}: starting again: {reason}")),
        Event::Ready { boot, seconds } => {
            output.note(&format!("  boot {boot}: answered over SSH after {}", duration(*seconds)));
        }
        Event::TestStarted { name } => output.note(&format!("  test: {name}")),
        // The table at the end holds the results.
        Event::TestEnded(_) => {}
    }
}

/// Every test and how it ended.
pub fn table(report: &TryReport, output: Output) -> String {
    let how = report.accelerator.map_or_else(|| "in Azure".to_owned(), |how| format!("with {how}"));
    let image = output.paint(BOLD, &report.image);
    let mut text = format!("\n{image}  booted in {} {how}\n", duration(report.boot_seconds));
    let width = report.tests.iter().map(|test| test.name.chars().count()).max().unwrap_or(0);
    for TestResult { name, status, detail, .. } in &report.tests {
        let mark = match status {
            Status::Pass => output.paint(GREEN, "✓"),
            Status::Fail => output.paint(RED, "✗"),
            Status::Skip => output.paint(YELLOW, "-"),
        };
        let mut lines = detail.lines();
        let first = output.paint(DIM, lines.next().unwrap_or_default());
        let _ = writeln!(text, "  {mark} {name:<width$}  {first}");
        if *status == Status::Fail {
            lines.for_each(|line| {
                let _ = writeln!(text, "    {:width$}  {line}", "");
            });
        }
    }
    let failed = failed(report).count();
    let total = report.tests.len();
    let _ = match failed {
        0 => writeln!(text, "{} all {total} tests passed", output.paint(GREEN, "✓")),
        _ => writeln!(text, "{} {failed} of {total} tests failed", output.paint(RED, "✗")),
    };
    text
}

fn failed(report: &TryReport) -> impl Iterator<Item = &TestResult> {
    report.tests.iter().filter(|test| test.status == Status::Fail)
}

/// Why the report is no success; none when every test passed.
pub fn failure(report: &TryReport) -> Option<Failure> {
    let failed: Vec<_> = failed(report).map(|test| format!("{}: {}", test.name, test.detail)).collect();
    let message =
        format!("{} of {} smoke tests failed: {}", failed.len(), report.tests.len(), failed.join("; "));
    (!failed.is_empty()).then(|| {
        Problem::new(Category::Build, message)
            .hint("look around in the image with `aks-jumpbox try --shell`")
            .into()
    })
}

/// Writes the results of the manifest's own tests into it.
pub fn note(manifest: &mut Manifest, report: &TryReport) {
    for test in &mut manifest.smoke_tests {
        let result = report.tests.iter().find(|result| result.name == test.name);
        test.status = result.map(|result| {
            match result.status {
                Status::Pass => "pass",
                Status::Fail => "fail",
                Status::Skip => "skip",
            }
            .to_owned()
        });
    }
}
