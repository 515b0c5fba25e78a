//! Why a build failed, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use diagnosis::{Diagnosis, Evidence, Finding, Outcome, Severity};
use preflight::{Report, Status};
use serde::Serialize;

use super::{check, json};
use crate::output::{BOLD, DIM, GREEN, Output, RED, Verbosity, YELLOW, line};

/// Most causes that are told for people; `--verbose` and JSON tell all.
const SHOWN: usize = 4;

/// What is shown.
pub struct Answer<'a> {
    /// What was found.
    pub diagnosis: &'a Diagnosis,
    /// The name of what was read.
    pub file: &'a str,
    /// What `check` finds, where documents were given.
    pub report: Option<&'a Report>,
}

/// The answer as JSON.
#[derive(Serialize)]
pub struct Json {
    outcome: &'static str,
    step: Option<Step>,
    cut_off: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Place>,
    causes: Vec<Row>,
    consequences: Vec<Row>,
    noticed: Vec<Row>,
    printed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Step {
    number: usize,
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
}

#[derive(Serialize)]
struct Place {
    line: usize,
    text: String,
}

#[derive(Serialize)]
struct Row {
    rule: &'static str,
    phase: &'static str,
    severity: &'static str,
    evidence_level: &'static str,
    cause: &'static str,
    fix: &'static str,
    file: String,
    line: usize,
    evidence: String,
    details: BTreeMap<String, String>,
    count: usize,
    requirements: Vec<Requirement>,
}

/// A requirement that would explain a failure when it is not met.
#[derive(Serialize)]
struct Requirement {
    id: String,
    status: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<json::Decider>,
}

impl Json {
    /// The whole answer.
    pub fn of(answer: &Answer<'_>, warnings: Vec<String>) -> Self {
        let Diagnosis { outcome, step, cut_off, failure, causes, consequences, noticed, printed, log } =
            answer.diagnosis;
        let rows = |all: &[Finding]| all.iter().map(|finding| answer.row(finding)).collect();
        let step = step.clone().map(|step| Step { number: step.number, kind: step.kind, name: step.name });
        let failure = failure.clone().map(|place| Place { line: place.line, text: place.text });
        Self {
            outcome: word(*outcome),
            step,
            cut_off: *cut_off,
            failure,
            causes: rows(causes),
            consequences: rows(consequences),
            noticed: rows(noticed),
            printed: printed.clone(),
            log: log.clone(),
            warnings,
        }
    }
}

/// The outcome's word in the JSON contract.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Explained => "explained",
        Outcome::Unexplained => "unexplained",
        Outcome::NoFailure => "no-failure",
    }
}

impl<'a> Answer<'a> {
    fn row(&self, finding: &Finding) -> Row {
        let rule = finding.rule;
        Row {
            rule: &rule.id,
            phase: rule.phase.as_str(),
            severity: rule.severity.as_str(),
            evidence_level: rule.evidence.as_str(),
            cause: &rule.cause,
            fix: &rule.fix,
            file: self.file.to_owned(),
            line: finding.place.line,
            evidence: finding.place.text.clone(),
            details: finding.details.clone(),
            count: finding.count,
            requirements: self.requirements(finding),
        }
    }

    /// What `check` says about the requirements of a rule; those that do not apply to the build are not among them.
    fn requirements(&self, finding: &Finding) -> Vec<Requirement> {
        if self.report.is_none() {
            let skipped = |id: &String| Requirement {
                id: id.clone(),
                status: Status::Skipped.to_string(),
                detail: "no environment or template was given".to_owned(),
                decided_by: None,
            };
            return finding.rule.requirements.iter().map(skipped).collect();
        }
        let joined = self.joined(finding).map(|found| Requirement {
            id: found.requirement.id.to_owned(),
            status: found.status().to_string(),
            detail: found.outcome.detail.clone(),
            decided_by: found.outcome.evidence.decided_by.as_ref().map(json::Decider::of),
        });
        joined.collect()
    }

    fn joined(&self, finding: &Finding) -> impl Iterator<Item = &'a preflight::Finding> {
        let all = self.report.into_iter().flat_map(|report| &report.findings);
        let ids = &finding.rule.requirements;
        all.filter(|found| ids.iter().any(|id| id == found.requirement.id))
    }

    /// The answer for people: why, where, what mends it; the rest in a line each.
    pub fn text(&self, output: Output) -> String {
        let mut text = String::new();
        self.head(&mut text, output);
        let causes = &self.diagnosis.causes;
        let most = if output.verbosity == Verbosity::Verbose { usize::MAX } else { SHOWN };
        for finding in causes.iter().take(most) {
            self.cause(&mut text, finding, output);
        }
        if causes.len() > most {
            let _ = writeln!(text, "and {} more; --verbose tells them", causes.len() - most);
        }
        if self.diagnosis.outcome == Outcome::Unexplained && !self.diagnosis.printed.is_empty() {
            let _ = writeln!(text, "{}", output.paint(BOLD, "it printed last:"));
            for printed in &self.diagnosis.printed {
                let _ = writeln!(text, "    {}", line(printed));
            }
        }
        brief(&mut text, "what followed:", &self.diagnosis.consequences, output);
        brief(&mut text, "also seen:", &self.diagnosis.noticed, output);
        if let Some(log) =
            self.diagnosis.log.as_ref().filter(|_| self.diagnosis.outcome == Outcome::Unexplained)
        {
            let _ = writeln!(text, "{} {}", output.paint(BOLD, "the whole log:"), line(log));
        }
        let (sign, style, said) = self.conclusion();
        let verdict = output.paint(style, &format!("{sign} {}:", word(self.diagnosis.outcome)));
        let _ = writeln!(text, "{verdict} {said}");
        text
    }

    /// Where it failed.
    fn head(&self, text: &mut String, output: Output) {
        if let Some(step) = &self.diagnosis.step {
            let name = step.name.as_ref().map(|name| format!(" '{}'", line(name))).unwrap_or_default();
            let _ = writeln!(
                text,
                "{} step {} ({}){name}",
                output.paint(BOLD, "failed in:"),
                step.number,
                line(&step.kind)
            );
        }
        if let Some(failure) = &self.diagnosis.failure {
            let place = output.paint(DIM, &format!("{}:{}:", line(self.file), failure.line));
            let _ = writeln!(text, "{place} {}", line(&failure.text));
        }
        if self.diagnosis.cut_off {
            let note = "the log ends before it tells how the build did; its end is taken for the failure";
            let _ = writeln!(text, "{} {note}", output.paint(YELLOW, "note:"));
        }
    }

    fn cause(&self, text: &mut String, finding: &Finding, output: Output) {
        let rule = finding.rule;
        let head = output.paint(RED, &format!("✗ {}", rule.id));
        let _ = writeln!(text, "{head} {}", output.paint(BOLD, &rule.cause));
        let place = output.paint(DIM, &format!("{}:{}:", line(self.file), finding.place.line));
        let _ = writeln!(text, "    {place} {}", line(&finding.place.text));
        for (name, value) in &finding.details {
            let _ = writeln!(text, "    {name}: {}", line(value));
        }
        let _ = writeln!(text, "    {} {}", output.paint(GREEN, "fix:"), rule.fix);
        if rule.evidence == Evidence::Assumed {
            let note = "nobody has verified that this message means that";
            let _ = writeln!(text, "    {} {note}", output.paint(YELLOW, "unverified:"));
        }
        self.checked(text, finding, output);
    }

    /// What `check` found about it, or how to ask.
    fn checked(&self, text: &mut String, finding: &Finding, output: Output) {
        if self.report.is_none() && !finding.rule.requirements.is_empty() {
            let ids = finding.rule.requirements.join(", ");
            let _ = writeln!(text, "    {} --environment FILE checks {ids}", output.paint(DIM, "ask:"));
        }
        let mut met = Vec::new();
        for found in self.joined(finding) {
            if found.status() == Status::Pass {
                met.push(found.requirement.id);
                continue;
            }
            let (sign, style) = check::mark(found.status());
            let head = output.paint(style, &format!("{sign} {}", found.requirement.id));
            let _ = writeln!(text, "    {head} {}", line(&found.outcome.detail));
            if let Some(by) = &found.outcome.evidence.decided_by {
                let _ = writeln!(text, "        {}", check::decided(by));
            }
            if let Some(repair) = &found.outcome.repair {
                let _ =
                    writeln!(text, "        {} {}", output.paint(GREEN, "repair:"), line(&repair.summary));
            }
        }
        if !met.is_empty() {
            let (sign, style) = check::mark(Status::Pass);
            let _ = writeln!(text, "    {} {}", output.paint(style, &format!("{sign} met:")), met.join(", "));
        }
    }

    fn conclusion(&self) -> (&'static str, anstyle::Style, String) {
        let Diagnosis { outcome, causes, .. } = self.diagnosis;
        match (outcome, causes.as_slice()) {
            (Outcome::Explained, [first, ..]) => ("✓", GREEN, format!("{} is the likeliest", first.rule.id)),
            (Outcome::NoFailure, _) => ("✓", GREEN, "the file tells of no failed build".to_owned()),
            (_, []) => ("?", YELLOW, "no known signature is in it".to_owned()),
            (_, [..]) => {
                ("?", YELLOW, "it says that something failed, and nothing known says why".to_owned())
            }
        }
    }
}

/// A line for each.
fn brief(text: &mut String, title: &str, findings: &[Finding], output: Output) {
    let is_told = |finding: &&Finding| {
        finding.rule.severity != Severity::Noise || output.verbosity == Verbosity::Verbose
    };
    let told: Vec<_> = findings.iter().filter(is_told).collect();
    if told.is_empty() {
        return;
    }
    let _ = writeln!(text, "{}", output.paint(BOLD, title));
    for finding in told {
        let times = if finding.count > 1 { format!(", {} times", finding.count) } else { String::new() };
        let place = output.paint(DIM, &format!("line {}{times}", finding.place.line));
        let _ = writeln!(text, "    {} {} {place}", finding.rule.id, finding.rule.cause);
    }
}
