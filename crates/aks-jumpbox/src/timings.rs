//! Where a build's time went, as a table with bars.

use std::fmt::Write as _;

use build_engine::timeline::Part;

/// Columns of the bars.
const WIDTH: usize = 40;
/// Longest name shown whole.
const NAME: usize = 34;

/// A line for each part: name, seconds, and when it was under way. Parts below a hundredth of a second are left out.
pub fn text(timeline: &[Part]) -> String {
    let whole = timeline.last().map_or(0.0, |last| last.start_seconds + last.seconds);
    let mut text = format!("\n{:<NAME$}  seconds  from 0 to {whole:.2} s\n", "where the time went");
    rows(&mut text, timeline, 0, whole);
    text
}

fn rows(text: &mut String, parts: &[Part], depth: usize, whole: f64) {
    for part in parts.iter().filter(|part| part.seconds >= 0.005) {
        let name = shortened(&format!("{:indent$}{}", "", part.name, indent = 2 * depth));
        let (start, end) =
            (column(part.start_seconds, whole), column(part.start_seconds + part.seconds, whole));
        let bar = "█".repeat(end.saturating_sub(start).max(1));
        let _ = writeln!(text, "{name:<NAME$}  {:>7.2}  {:start$}{bar}", part.seconds, "");
        rows(text, &part.parts, depth + 1, whole);
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn column(seconds: f64, whole: f64) -> usize {
    // A cast from a float saturates, and an empty build has nothing to divide by.
    ((seconds / whole * WIDTH as f64).round() as usize).min(WIDTH)
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, start_seconds: f64, seconds: f64, parts: Vec<Part>) -> Part {
        Part { name: name.into(), start_seconds, seconds, parts }
    }

    #[test]
    fn bars_stand_where_the_parts_were() {
        let step = part("step 1: a name that is much too long to be shown", 1.0, 2.0, vec![]);
        let timeline = [
            part("base", 0.0, 1.0, vec![]),
            part("customize", 1.0, 2.0, vec![step, part("too short to tell", 3.0, 0.001, vec![])]),
            part("disk", 3.0, 1.0, vec![]),
        ];
        insta::assert_snapshot!(text(&timeline), @r"

        where the time went                 seconds  from 0 to 4.00 s
        base                                   1.00  ██████████
        customize                              2.00            ████████████████████
          step 1: a name that is much too…     2.00            ████████████████████
        disk                                   1.00                                ██████████
        ");
        assert!(text(&[]).contains("0.00 s"), "a build that failed before its first part");
    }
}
