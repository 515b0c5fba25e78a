//! Where signatures stand in lines.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::reading::Line;
use crate::rules::{Compiled, Group, OF_LINES, OF_WINDOWS};

/// So many lines are searched together for signatures that span lines, each half of them twice.
const WINDOW: usize = 30;

/// A signature that was found.
#[derive(Clone)]
pub(crate) struct Hit {
    pub compiled: &'static Compiled,
    /// Index of the line where it begins.
    pub line: usize,
    /// The lines that it was found in.
    pub within: Range<usize>,
}

/// Every signature in `lines`; at most once in each line, or where `whole` in all of them together.
pub(crate) fn hits(lines: &[Line<'_>], whole: bool) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        hits.extend(found(&OF_LINES, &line.text).map(|compiled| Hit {
            compiled,
            line: at,
            within: at..at + 1,
        }));
    }
    let mut known = BTreeSet::new();
    for within in windows(lines.len(), if whole { lines.len() } else { WINDOW }) {
        let text = joined(&lines[within.clone()]);
        for compiled in found(&OF_WINDOWS, &text) {
            let start = compiled.pattern.find(&text).map_or(0, |found| found.start());
            let line = within.start + text[..start].matches('\n').count();
            if known.insert((compiled.rule.id.as_str(), line)) {
                hits.push(Hit { compiled, line, within: within.clone() });
            }
        }
    }
    hits
}

/// The lines as one text.
pub(crate) fn joined(lines: &[Line<'_>]) -> String {
    lines.iter().map(|line| &*line.text).collect::<Vec<_>>().join("\n")
}

fn found(group: &'static Group, text: &str) -> impl Iterator<Item = &'static Compiled> {
    let harmless =
        |compiled: &&Compiled| compiled.unless.as_ref().is_some_and(|unless| unless.is_match(text));
    let all = group.set.matches(text).into_iter().map(|index| group.rules[index]);
    all.filter(|compiled| !harmless(compiled)).collect::<Vec<_>>().into_iter()
}

/// Overlapping ranges of `size` that cover everything below `end`.
fn windows(end: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (size / 2).max(1);
    let last = end.saturating_sub(size).div_ceil(step);
    (0..=last).map(move |index| index * step..(index * step + size).min(end))
}
