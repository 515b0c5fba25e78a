//! From signatures to causes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::body::Body;
use crate::log::{Shape, Step};
use crate::reading::{Kind, Line, lines};
use crate::rules::{Compiled, Input, Rule, Severity, regex};
use crate::scan::{Hit, hits, joined};

/// How much of a text is shown on either side of a signature, in characters.
const AROUND: usize = 200;

/// So many lines that a step printed are shown where nothing else explains its failure.
const PRINTED: usize = 10;

/// Why a build failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Whether it is known.
    pub outcome: Outcome,
    /// The step that failed, where a log tells.
    pub step: Option<Step>,
    /// Whether the log ends before it tells how the build did.
    pub cut_off: bool,
    /// What says that the build failed.
    pub failure: Option<Place>,
    /// Why it did, the likeliest first. Where nothing is known, what only says that something failed.
    pub causes: Vec<Finding>,
    /// What followed from that.
    pub consequences: Vec<Finding>,
    /// What was found and explains nothing.
    pub noticed: Vec<Finding>,
    /// What the step that failed printed last.
    pub printed: Vec<String>,
    /// Where the text says that the whole log is.
    pub log: Option<String>,
}

/// Whether a failure is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is.
    Explained,
    /// It is not.
    Unexplained,
    /// The text tells of none.
    NoFailure,
}

/// A place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// What stands there, without secrets.
    pub text: String,
}

/// A rule whose signature was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// Where it was found, or where it says most.
    pub place: Place,
    /// What the signature names, such as `host`.
    pub details: BTreeMap<String, String>,
    /// How often it was found.
    pub count: usize,
}

static LOG: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?:https://[a-z0-9.]+/|/subscriptions/[^\s?'\x22]*/containers/)packerlogs/[0-9a-fA-F-]{36}/(?:customization|validation)\.log",
    )
});

/// Says why a build failed, from a whole text.
pub fn diagnose(kind: Kind, text: &str) -> Diagnosis {
    match (kind, (kind == Kind::Body).then(|| Body::read(text)).flatten()) {
        (_, Some(body)) => {
            let order = |line| body.failed.then_some((0, line));
            let outcome = if body.failed { Outcome::Unexplained } else { Outcome::NoFailure };
            Search { lines: &body.lines, kind: Kind::Body }.diagnosis(order, outcome)
        }
        (Kind::Log, _) => log(&lines(Kind::Log, text)),
        // What is said to be an answer and is none is a text.
        _ => Search { lines: &lines(Kind::Text, text), kind: Kind::Text }
            .diagnosis(|line| Some((0, line)), Outcome::Unexplained),
    }
}

fn log(lines: &[Line<'_>]) -> Diagnosis {
    let shape = Shape::of(lines);
    let outcome = if shape.failure.is_some() { Outcome::Unexplained } else { Outcome::NoFailure };
    let search = Search { lines, kind: Kind::Log };
    let diagnosis = search.diagnosis(|line| shape.rank(line), outcome);
    let said = shape.failure.and_then(|at| lines.get(at));
    Diagnosis {
        cut_off: shape.cut_off,
        failure: said.map(|line| Place { line: line.number, text: shown(&line.text) }),
        printed: if outcome == Outcome::NoFailure { Vec::new() } else { shape.printed(lines, PRINTED) },
        step: shape.step,
        ..diagnosis
    }
}

/// Lines, and what is looked for in them.
struct Search<'a> {
    lines: &'a [Line<'a>],
    kind: Kind,
}

/// Hits of one rule.
struct Found {
    compiled: &'static Compiled,
    best: Hit,
    /// The rank of `best`.
    shown: (usize, usize),
    /// The best rank of all.
    rank: (usize, usize),
    count: usize,
}

impl Search<'_> {
    /// Ranks what is found: lines without a rank are no reason. `otherwise` is the outcome where nothing explains.
    fn diagnosis(&self, rank: impl Fn(usize) -> Option<(usize, usize)>, otherwise: Outcome) -> Diagnosis {
        let hits = hits(self.lines, self.kind == Kind::Body).into_iter().filter(|hit| self.applies(hit));
        let ranked = hits.map(|hit| {
            let rank = rank(hit.line).filter(|_| hit.compiled.rule.severity == Severity::Error);
            (hit, rank)
        });
        let (candidates, others): (Vec<_>, Vec<_>) = ranked.partition(|(_, rank)| rank.is_some());
        let candidates = by_rule(candidates.into_iter().filter_map(|(hit, rank)| Some((hit, rank?))));
        let others = by_rule(others.into_iter().map(|(hit, _)| {
            let rank = (0, hit.line);
            (hit, rank)
        }));
        let blamed: Vec<_> = candidates.iter().map(|found| found.compiled.rule.id.clone()).collect();
        let yields = |rule: &Rule| rule.below.iter().any(|id| blamed.contains(id));
        let (mut causes, mut consequences): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .partition(|found| !found.compiled.rule.wrapper && !yields(found.compiled.rule));
        let outcome = if causes.is_empty() { otherwise } else { Outcome::Explained };
        if causes.is_empty() {
            causes = std::mem::take(&mut consequences);
        }
        let noticed = others.into_iter().filter(|found| !blamed.contains(&found.compiled.rule.id)).collect();
        let told = |all: Vec<Found>| all.iter().map(|found| self.finding(found)).collect();
        Diagnosis {
            outcome,
            step: None,
            cut_off: false,
            failure: None,
            causes: told(causes),
            consequences: told(consequences),
            noticed: told(noticed),
            printed: Vec::new(),
            log: self.lines.iter().find_map(|line| Some(LOG.find(&line.text)?.as_str().to_owned())),
        }
    }

    /// A log is not searched for what is only told elsewhere: scripts print everything.
    fn applies(&self, hit: &Hit) -> bool {
        self.kind != Kind::Log || matches!(hit.compiled.rule.input, Input::Log | Input::Run)
    }

    /// Secrets are hidden before anything is cut, so that no half of one is left.
    fn finding(&self, found: &Found) -> Finding {
        let text = crate::redact(&joined(&self.lines[found.best.within.clone()]));
        let captures = found.compiled.pattern.captures(&text);
        let start = captures.as_ref().and_then(|all| all.get(0)).map_or(0, |all| all.start());
        let names = found.compiled.pattern.capture_names().flatten();
        let group = |name: &str| Some(captures.as_ref()?.name(name)?.as_str().to_owned());
        let details = names.filter_map(|name| Some((name, group(name)?))).map(|(name, value)| {
            let value = value.trim_end_matches(['.', ',', ';', ':', '\'', '"', ')']);
            (name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(), value.to_owned())
        });
        Finding {
            rule: found.compiled.rule,
            place: Place {
                line: self.lines.get(found.best.line).map_or(0, |line| line.number),
                text: shortened(&text, start),
            },
            details: details.collect(),
            count: found.count,
        }
    }
}

/// Hits by rule, the best of each, in the order of their ranks; without those that are too few.
fn by_rule(hits: impl Iterator<Item = (Hit, (usize, usize))>) -> Vec<Found> {
    let mut all: BTreeMap<&str, Found> = BTreeMap::new();
    for (hit, rank) in hits {
        let new = Found { compiled: hit.compiled, best: hit.clone(), shown: rank, rank, count: 0 };
        let found = all.entry(&hit.compiled.rule.id).or_insert(new);
        found.count += 1;
        // What a step printed says more than the summary, which comes first in rank.
        if (rank.0 == 0, rank) < (found.shown.0 == 0, found.shown) {
            (found.best, found.shown) = (hit, rank);
        }
        found.rank = found.rank.min(rank);
    }
    let mut all: Vec<_> =
        all.into_values().filter(|found| found.count >= found.compiled.rule.min_count).collect();
    all.sort_by_key(|found| found.rank);
    all
}

/// What stands in a text, as it may be shown.
pub(crate) fn shown(text: &str) -> String {
    shortened(&crate::redact(text), 0)
}

/// What stands around a place, on one line.
fn shortened(text: &str, at: usize) -> String {
    let (before, after) = text.split_at_checked(at).unwrap_or(("", text));
    let from = before.char_indices().rev().nth(AROUND - 1).map_or(0, |(at, _)| at);
    let to = after.char_indices().nth(AROUND).map_or(after.len(), |(at, _)| at);
    let part = format!("{}{}", &before[from..], &after[..to]);
    let words = part.split_whitespace().collect::<Vec<_>>().join(" ");
    let (open, close) = (if from > 0 { "…" } else { "" }, if to < after.len() { "…" } else { "" });
    format!("{open}{words}{close}")
}
