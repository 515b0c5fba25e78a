//! What a check found.

use std::fmt;

use document::Span;
use network_policy::{Decider, Packet};

use crate::repair::Change;
use crate::{Requirement, Severity, Subject, Topology};

/// Whether a requirement is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is.
    Pass,
    /// It is not.
    Fail,
    /// It is not, and a build may succeed all the same.
    Warn,
    /// Documents were given and lack a value that would decide it.
    Undecided,
    /// No document of the kind was given.
    Skipped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::Undecided => "undecided",
            Self::Skipped => "skipped",
        })
    }
}

/// What shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// A packet that is treated so.
    pub packet: Option<Packet>,
    /// Who decides about it.
    pub decided_by: Option<Decider>,
}

/// What would make a requirement met.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// In words.
    pub summary: String,
    /// As commands of `az`, a line each.
    pub az: Option<String>,
    /// As changes of resources, all of which are needed; none where it is in words alone.
    pub changes: Vec<Change>,
}

impl Repair {
    /// A repair in words alone.
    pub fn in_words(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), az: None, changes: Vec::new() }
    }

    /// The same with the command that does it.
    #[must_use]
    pub fn by(mut self, az: String) -> Self {
        self.az = Some(az);
        self
    }

    /// The same with a change that does it.
    #[must_use]
    pub fn changing(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Both.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        let az = [self.az, other.az].into_iter().flatten().collect::<Vec<_>>().join("\n");
        Self {
            summary: format!("{}; {}", self.summary, other.summary),
            az: Some(az).filter(|az| !az.is_empty()),
            changes: self.changes.into_iter().chain(other.changes).collect(),
        }
    }

    /// The commands that do it; for flows those that add security rules.
    pub fn to_az(&self, subject: &Subject<'_>) -> Option<String> {
        let own = self.az.iter().cloned();
        let rules = crate::repair::found(&self.changes, subject).into_iter().flat_map(|found| {
            let moves = found.renumbered.iter().map(network_policy::Renumbered::to_az).collect::<Vec<_>>();
            moves
                .into_iter()
                .chain(found.rules.iter().map(network_policy::NewRule::to_az).collect::<Vec<_>>())
        });
        let all: Vec<_> = own.chain(rules).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }
}

/// What asking a requirement gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether it is met.
    pub status: Status,
    /// Why, in a sentence without a full stop.
    pub detail: String,
    /// What shows it.
    pub evidence: Box<Evidence>,
    /// What would make it met.
    pub repair: Option<Box<Repair>>,
    /// What decides it, in the inventory's sources.
    pub span: Option<Span>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

impl Outcome {
    fn new(status: Status, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            evidence: Box::default(),
            repair: None,
            span: None,
            assumptions: Vec::new(),
        }
    }

    /// It is met.
    pub fn pass(detail: impl Into<String>) -> Self {
        Self::new(Status::Pass, detail)
    }

    /// It is not.
    pub fn fail(detail: impl Into<String>) -> Self {
        Self::new(Status::Fail, detail)
    }

    /// It is not, and a build may succeed all the same.
    pub fn warn(detail: impl Into<String>) -> Self {
        Self::new(Status::Warn, detail)
    }

    /// A value is missing.
    pub fn undecided(detail: impl Into<String>) -> Self {
        Self::new(Status::Undecided, detail)
    }

    /// No document tells of it.
    pub fn skipped(detail: impl Into<String>) -> Self {
        Self::new(Status::Skipped, detail)
    }

    /// With what would make it met.
    #[must_use]
    pub fn repaired(mut self, repair: Repair) -> Self {
        self.repair = Some(Box::new(repair));
        self
    }

    /// With its place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }
}

/// What asking gave, or why it could not be asked.
pub(crate) type Asked = Result<Outcome, Outcome>;

/// A requirement and what asking it gave.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was asked.
    pub requirement: &'static Requirement,
    /// The answer.
    pub outcome: Outcome,
}

impl Finding {
    /// Its status: what is only advised cannot fail.
    pub fn status(&self) -> Status {
        match (self.outcome.status, self.requirement.severity) {
            (Status::Fail, Severity::Advised) => Status::Warn,
            (status, _) => status,
        }
    }
}

/// All findings, in the order of the catalogue.
#[derive(Clone, Debug)]
pub struct Report {
    /// The shape that was checked.
    pub topology: Topology,
    /// One for each requirement that applies.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The verdict: fail, else undecided, else pass. With `strict`, what was skipped is undecided.
    pub fn verdict(&self, strict: bool) -> Status {
        let any = |wanted| self.findings.iter().any(|finding| finding.status() == wanted);
        if any(Status::Fail) {
            Status::Fail
        } else if any(Status::Undecided) || strict && any(Status::Skipped) {
            Status::Undecided
        } else {
            Status::Pass
        }
    }

    /// What was taken for granted, each once.
    pub fn assumptions(&self) -> Vec<String> {
        let own = |finding: &Finding| {
            let stated = finding.requirement.assumption.map(str::to_owned);
            let asked = finding.outcome.status != Status::Skipped;
            finding.outcome.assumptions.iter().cloned().chain(stated.filter(|_| asked)).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.findings.iter().flat_map(own).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
