//! What a text is, and its lines.

use std::borrow::Cow;
use std::sync::LazyLock;

use document::{SourceText, parse_json};
use regex::Regex;

use crate::redact::{begins_key, is_key};
use crate::rules::regex;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `customization.log` or `validation.log`, or a part of one, of the service or of a local build.
    Log,
    /// What Azure answers: an error, the status of an operation, an image template.
    Body,
    /// Anything else, such as what a client printed.
    Text,
}

/// What every line of a log begins with; in excerpts the operation may be missing. Before 2023 a stream followed, since
/// then a date; a tool's own lines are `ui`.
static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^(?:\[[0-9a-fA-F-]{36}\] )?PACKER (?:(?:OUT|ERR) ?)?(?:\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2} )?(?:ui(?: error)?: )?",
    )
});

/// Lines of a log whose beginnings were cut off.
static BARE: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(?:(?:==>|-->|   ) azure-arm: |(?:\S+ \S+ )?\[INFO\] \(telemetry\) )"));

/// So many lines say what a text is.
const TELLING: usize = 2000;

impl Kind {
    /// What this text is.
    pub fn of(text: &str) -> Self {
        let is_log = |line: &str| PREFIX.is_match(line) || BARE.is_match(line);
        if without_mark(text).lines().take(TELLING).any(is_log) {
            return Self::Log;
        }
        let is_json = without_mark(text).trim_start().starts_with(['{', '['])
            && parse_json(&SourceText::new("", text)).value.is_some();
        if is_json { Self::Body } else { Self::Text }
    }
}

/// A line that signatures are looked for in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Its number in the text, from 1.
    pub number: usize,
    /// What it says, without what every line of a log begins with.
    pub text: Cow<'a, str>,
}

/// The lines of a log or of any text. Of keys that span lines only the first is there.
pub(crate) fn lines(kind: Kind, text: &str) -> Vec<Line<'_>> {
    let mut in_key = false;
    let mut all = Vec::new();
    for (at, line) in without_mark(text).lines().enumerate() {
        let hidden = in_key && !begins_key(line) && is_key(line);
        in_key = hidden || begins_key(line);
        let start = if kind == Kind::Log { PREFIX.find(line).map_or(0, |prefix| prefix.end()) } else { 0 };
        let text = if hidden { "" } else { line[start..].trim_end_matches('\r') };
        all.push(Line { number: at + 1, text: Cow::Borrowed(text) });
    }
    all
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
