//! Where in a log a build failed.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnose::shown;
use crate::reading::Line;
use crate::rules::regex;

/// The step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number among those of the log, from 1; in the log of a local build the customizer's or validator's own.
    pub number: usize,
    /// Its type in the log's words, such as `shell`.
    pub kind: String,
    /// Its name, where the log tells one; `deprovision` for the hidden last step.
    pub name: Option<String>,
}

/// A log by its parts. All are indices of lines.
pub(crate) struct Shape {
    /// The line that says first that the build failed; the end of a log that is cut off.
    pub failure: Option<usize>,
    /// Whether the log ends before it tells how the build did.
    pub cut_off: bool,
    /// Where the last provisioner before the failure starts.
    start: Option<usize>,
    /// Where it ends, if it does.
    end: Option<usize>,
    /// That provisioner, if it is what failed.
    pub step: Option<Step>,
    /// Lines that say what the failure was.
    said: Vec<usize>,
}

static FAILURE: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?:==> )?(?:[a-z-]+: )?(?:Build '[^']*' errored|Some builds didn't complete)"));
static CANCELLED: LazyLock<Regex> = LazyLock::new(|| regex("Cancelling build after receiving terminated"));
static SAID: LazyLock<Regex> = LazyLock::new(|| regex("^--> |machine readable: [^,]*,error"));
/// Scripts print after their own mark, so that theirs are not taken for these.
static TELEMETRY: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(?:packer\S*: )?(?:plugin: )?(?:\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2} )?\[INFO\] \(telemetry\) (?P<what>Starting provisioner|ending|Finalizing)[ .]*(?P<kind>[a-z-]*)",
    )
});
/// How a local build names the step that failed.
static LOCAL: LazyLock<Regex> =
    LazyLock::new(|| regex(r"errored: (?:step|validator) (?P<number>\d+) '(?P<name>.*?)' failed"));
static PROVISIONING: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        "Provisioning step had errors|Script exited with non-zero exit status|build's total time .* is over",
    )
});
static HIDDEN: LazyLock<Regex> = LazyLock::new(|| regex(r"DeprovisioningScript|-deprovision\+user"));
/// What a script printed, or the tool about it.
static OUTPUT: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:==>|   ) azure-arm: (?P<said>.*\S.*)$"));

impl Shape {
    pub(crate) fn of(lines: &[Line<'_>]) -> Self {
        let first = |pattern: &Regex| lines.iter().position(|line| pattern.is_match(&line.text));
        let marker = first(&FAILURE).or_else(|| first(&CANCELLED));
        let finished = lines.iter().any(|line| told(line).is_some_and(|(what, _)| what == "Finalizing"));
        let cut_off = marker.is_none() && !finished;
        let failure = marker.or_else(|| cut_off.then_some(lines.len()));
        let before = &lines[..failure.unwrap_or_default()];
        let mut starts = 0;
        let mut last = None;
        for (at, line) in before.iter().enumerate() {
            match told(line) {
                Some(("Starting provisioner", kind)) => {
                    starts += 1;
                    last = Some((at, kind, None));
                }
                Some(("ending", _)) => last = last.map(|(start, kind, end)| (start, kind, end.or(Some(at)))),
                _ => {}
            }
        }
        let is_said = |line: &Line<'_>| SAID.is_match(&line.text) || FAILURE.is_match(&line.text);
        let said = lines.iter().enumerate().filter(|(_, line)| is_said(line)).map(|(at, _)| at).collect();
        let (start, end) = (last.map(|(start, ..)| start), last.and_then(|(.., end)| end));
        let mut shape = Self { failure, cut_off, start, end, step: None, said };
        shape.step = last.and_then(|(_, kind, _)| shape.failed_step(starts, kind, lines));
        shape
    }

    /// The last provisioner, unless it ended and nothing says that it failed.
    fn failed_step(&self, number: usize, kind: &str, lines: &[Line<'_>]) -> Option<Step> {
        let after = lines.get(self.start?..)?;
        let within = lines.get(self.start?..self.end.or(self.failure)?.min(lines.len()))?;
        let failed = self.end.is_none() || after.iter().any(|line| PROVISIONING.is_match(&line.text));
        let local = after.iter().find_map(|line| LOCAL.captures(&line.text));
        let hidden = within.iter().any(|line| HIDDEN.is_match(&line.text));
        let kind = kind.to_owned();
        match local {
            Some(named) => Some(Step {
                number: named["number"].parse().unwrap_or(number),
                kind,
                name: Some(shown(&named["name"])),
            }),
            None if failed => Some(Step { number, kind, name: hidden.then(|| "deprovision".to_owned()) }),
            None => None,
        }
    }

    /// How near a line is to the failure: those that say it, the step that failed, what was done between both. None for
    /// lines that cannot be why.
    pub(crate) fn rank(&self, line: usize) -> Option<(usize, usize)> {
        let failure = self.failure?;
        if self.said.binary_search(&line).is_ok() {
            return Some((0, failure.abs_diff(line)));
        }
        let in_step = self.end.is_none_or(|end| line <= end);
        let near = in_step == self.step.is_some();
        let between = (self.start.unwrap_or(0)..failure).contains(&line);
        between.then(|| (if near { 1 } else { 2 }, failure - line))
    }

    /// The last lines that the step printed before it failed.
    pub(crate) fn printed(&self, lines: &[Line<'_>], most: usize) -> Vec<String> {
        let end = self.end.or(self.failure).unwrap_or_default().min(lines.len());
        let within = lines.get(self.start.unwrap_or(0)..end).unwrap_or_default();
        let said = within.iter().rev().filter(|line| !FAILURE.is_match(&line.text));
        let said = said.filter_map(|line| Some(shown(&OUTPUT.captures(&line.text)?["said"])));
        let mut last: Vec<_> = said.take(most).collect();
        last.reverse();
        last
    }
}

fn told<'a>(line: &'a Line<'_>) -> Option<(&'a str, &'a str)> {
    let found = TELEMETRY.captures(&line.text)?;
    Some((found.name("what")?.as_str(), found.name("kind")?.as_str()))
}
