//! Findings of `check`, for people and for programs.

use std::fmt::Write as _;

use anstyle::Style;
use network_policy::Decider;
use preflight::{Finding, Report, Requirement, Severity, Status, Subject};
use serde::Serialize;
use serde_json::Value;

use super::json;
use crate::output::{BOLD, DIM, GREEN, Output, RED, YELLOW, line};

/// The report as JSON.
#[derive(Serialize)]
pub struct Json {
    verdict: String,
    topology: String,
    findings: Vec<Row>,
    assumptions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    id: &'static str,
    status: String,
    title: &'static str,
    detail: String,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<Repair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

#[derive(Serialize)]
struct Evidence {
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<json::Packet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<json::Decider>,
}

/// What would make a finding pass.
#[derive(Serialize)]
pub(super) struct Repair {
    /// In words.
    pub summary: String,
    /// As a resource, or several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arm: Option<Value>,
    /// As commands, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub az: Option<String>,
}

impl Json {
    /// The whole report.
    pub fn of(report: &Report, subject: &Subject<'_>, verdict: Status, warnings: Vec<String>) -> Self {
        Self {
            verdict: verdict.to_string(),
            topology: report.topology.to_string(),
            findings: report.findings.iter().map(|finding| Row::of(finding, subject)).collect(),
            assumptions: report.assumptions(),
            warnings,
        }
    }
}

impl Row {
    fn of(finding: &Finding, subject: &Subject<'_>) -> Self {
        let Finding { requirement, outcome } = finding;
        let place = place(finding, subject);
        let evidence = Evidence {
            packet: outcome.evidence.packet.as_ref().map(json::Packet::of),
            decided_by: outcome.evidence.decided_by.as_ref().map(json::Decider::of),
        };
        Self {
            id: requirement.id,
            status: finding.status().to_string(),
            title: requirement.title,
            detail: outcome.detail.clone(),
            source: requirement.source,
            evidence: Some(evidence).filter(|all| all.packet.is_some() || all.decided_by.is_some()),
            repair: repair(finding, subject),
            file: place.as_ref().map(|(file, ..)| file.clone()),
            line: place.as_ref().map(|(_, line, _)| *line),
            column: place.as_ref().map(|(.., column)| *column),
        }
    }
}

/// File, line and column of what decides.
pub(super) fn place(finding: &Finding, subject: &Subject<'_>) -> Option<(String, usize, usize)> {
    let sources = subject.network.as_ref()?.inventory.sources();
    let (text, span) = sources.find(finding.outcome.span?)?;
    let at = text.position(span.start);
    Some((text.name().to_owned(), at.line, at.column))
}

/// What would make a finding pass: its resources, and the commands that do the same.
pub(super) fn repair(finding: &Finding, subject: &Subject<'_>) -> Option<Repair> {
    let own = finding.outcome.repair.as_ref()?;
    let mut resources = preflight::resources(&own.changes, subject);
    let arm = match resources.len() {
        0 => None,
        1 => resources.pop(),
        _ => Some(Value::Array(resources)),
    };
    Some(Repair { summary: own.summary.clone(), arm, az: own.to_az(subject) })
}

/// A mark that is understood without its colour.
pub(super) fn mark(status: Status) -> (&'static str, Style) {
    match status {
        Status::Pass => ("✓", GREEN),
        Status::Fail => ("✗", RED),
        Status::Warn => ("!", YELLOW),
        Status::Undecided => ("?", YELLOW),
        Status::Skipped => ("-", DIM),
    }
}

/// The report for people: a line for each area, and whatever in it is not met.
pub fn text(report: &Report, subject: &Subject<'_>, verdict: Status, output: Output) -> String {
    let mut text = format!("{} {}\n", output.paint(BOLD, "topology:"), report.topology);
    let mut areas: Vec<&str> = report.findings.iter().map(|finding| finding.requirement.area()).collect();
    areas.dedup();
    for area in areas {
        let findings: Vec<_> =
            report.findings.iter().filter(|finding| finding.requirement.area() == area).collect();
        let _ = writeln!(text, "{:<12} {}", area, counts(&findings, output));
        for finding in findings {
            one(&mut text, finding, subject, output);
        }
    }
    for assumption in report.assumptions() {
        let _ = writeln!(text, "{} {}", output.paint(DIM, "assumed:"), line(&assumption));
    }
    let all: Vec<_> = report.findings.iter().collect();
    let (sign, style) = mark(verdict);
    let head = output.paint(style, &format!("{sign} {verdict}:"));
    let _ = writeln!(text, "{head} {}", counts(&all, output));
    text
}

/// How many findings have each status that any has.
pub(super) fn tally(findings: &[&Finding]) -> Vec<(Status, usize)> {
    let words = [Status::Pass, Status::Fail, Status::Warn, Status::Undecided, Status::Skipped];
    let count = |status| findings.iter().filter(|finding| finding.status() == status).count();
    words.into_iter().map(|status| (status, count(status))).filter(|(_, count)| *count > 0).collect()
}

fn counts(findings: &[&Finding], output: Output) -> String {
    let parts = tally(findings).into_iter().map(|(status, count)| {
        let (sign, style) = mark(status);
        output.paint(style, &format!("{sign} {count} {status}"))
    });
    parts.collect::<Vec<_>>().join("  ")
}

/// Who decided, and in which layer.
pub(super) fn decided(by: &Decider) -> String {
    let who = super::by(by);
    format!("decided {}, {}", who.trim_start_matches([':', ' ']), super::layer(by.layer))
}

const INDENT: &str = "    ";

fn one(text: &mut String, finding: &Finding, subject: &Subject<'_>, output: Output) {
    let status = finding.status();
    if status == Status::Pass || status == Status::Skipped {
        return;
    }
    let (sign, style) = mark(status);
    let Finding { requirement, outcome } = finding;
    let head = output.paint(style, &format!("{sign} {}", requirement.id));
    let _ = writeln!(text, "  {head} {}", output.paint(BOLD, requirement.title));
    let _ = writeln!(text, "{INDENT}{}", line(&outcome.detail));
    if let Some(packet) = &outcome.evidence.packet {
        let _ = writeln!(text, "{INDENT}packet: {packet}");
    }
    if let Some(by) = &outcome.evidence.decided_by {
        let _ = writeln!(text, "{INDENT}{}", decided(by));
    }
    if let Some((file, row, column)) = place(finding, subject) {
        let _ =
            writeln!(text, "{INDENT}{}", output.paint(DIM, &format!("at {}:{row}:{column}", line(&file))));
    }
    if let Some(repair) = repair(finding, subject) {
        let _ = writeln!(text, "{INDENT}{} {}", output.paint(GREEN, "repair:"), line(&repair.summary));
        for command in repair.az.iter().flat_map(|az| az.lines()) {
            let _ = writeln!(text, "{INDENT}  {command}");
        }
    }
}

/// A requirement of the catalogue as JSON.
#[derive(Serialize)]
pub struct Entry {
    /// Its id.
    pub id: &'static str,
    /// What is required.
    pub title: &'static str,
    /// `required` or `advised`.
    pub severity: &'static str,
    /// The shapes it applies to.
    pub topologies: Vec<String>,
    /// The systems it applies to.
    pub systems: Vec<&'static str>,
    /// The page it comes from.
    pub source: &'static str,
    /// What is taken for granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumption: Option<&'static str>,
}

/// The catalogue.
pub fn catalogue() -> Vec<Entry> {
    preflight::requirements().map(entry).collect()
}

fn entry(requirement: &'static Requirement) -> Entry {
    Entry {
        id: requirement.id,
        title: requirement.title,
        severity: match requirement.severity {
            Severity::Required => "required",
            Severity::Advised => "advised",
        },
        topologies: requirement.topologies.iter().map(ToString::to_string).collect(),
        systems: requirement
            .systems
            .iter()
            .map(|system| match system {
                preflight::Os::Linux => "linux",
                preflight::Os::Windows => "windows",
            })
            .collect(),
        source: requirement.source,
        assumption: requirement.assumption,
    }
}

/// The catalogue for people.
pub fn list(output: Output) -> String {
    let mut text = String::new();
    for entry in catalogue() {
        let _ = writeln!(text, "{}", output.paint(BOLD, entry.id));
        let _ = writeln!(text, "{INDENT}{}", entry.title);
        let applies =
            format!("{}; {}; {}", entry.severity, entry.topologies.join(", "), entry.systems.join(", "));
        let _ = writeln!(text, "{INDENT}{}", output.paint(DIM, &applies));
        let _ = writeln!(text, "{INDENT}{}", output.paint(DIM, entry.source));
    }
    text
}
