//! The answer as a table that fits into SPECIFICATION.md.

use std::fmt::Write as _;

use super::{Figure, Row};

/// One line for each row; other tools' times also as multiples of ours.
pub fn render(rows: &[Row]) -> String {
    let mut text = String::from(
        "| scenario | by | median s | range s | promise s | times ours |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Row { scenario, by, .. } = row;
        let _ = match (&row.seconds, row.median()) {
            (Ok(seconds), Some(median)) => {
                let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
                let most = seconds.iter().copied().fold(0.0, f64::max);
                let promise = promise(row);
                let ratio = ratio(rows, row, median);
                let [median, least, most] = [median, least, most].map(number);
                writeln!(text, "| {scenario} | {by} | {median} | {least}-{most} | {promise} | {ratio} |")
            }
            (Err(reason), _) => writeln!(text, "| {scenario} | {by} | {reason} | | {} | |", promise(row)),
            (Ok(_), None) => writeln!(text, "| {scenario} | {by} | no runs | | {} | |", promise(row)),
        };
    }
    text
}

/// Figures that are no times, one line each.
pub fn figures(figures: &[Figure]) -> String {
    let mut text = String::from("| figure | median | promise |\n|---|---|---|\n");
    for figure in figures {
        let measured = match (&figure.values, figure.median()) {
            (Err(reason), _) => reason.clone(),
            (Ok(_), median) => format!("{:.2} {}", median.unwrap_or(f64::NAN), figure.unit),
        };
        let promise = kept(figure.promise, figure.breaks_promise());
        let _ = writeln!(text, "| {} | {measured} | {promise} |", figure.what);
    }
    text
}

fn promise(row: &Row) -> String {
    kept(row.promise, row.breaks_promise())
}

fn kept(promise: Option<f64>, broken: bool) -> String {
    let kept = if broken { "not kept" } else { "kept" };
    promise.map_or_else(String::new, |most| format!("at most {}: {kept}", number(most)))
}

/// Three decimals, and of what is smaller than a tenth two digits.
fn number(value: f64) -> String {
    let mut decimals = 3;
    let mut smallest = 0.1;
    while value < smallest && decimals < 9 && value > 0.0 {
        smallest /= 10.0;
        decimals += 1;
    }
    format!("{value:.decimals$}")
}

fn ratio(rows: &[Row], row: &Row, median: f64) -> String {
    let ours = rows.iter().find(|ours| ours.scenario == row.scenario && ours.by == "aks-jumpbox");
    match ours.and_then(Row::median) {
        Some(ours) if row.by != "aks-jumpbox" && ours > 0.0 => format!("{:.2}", median / ours),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(by: &'static str, seconds: Result<Vec<f64>, String>, promise: Option<f64>) -> Row {
        Row { scenario: "jq", by, seconds, promise }
    }

    #[test]
    fn medians_ratios_and_broken_promises_are_shown() {
        let rows = [
            row("aks-jumpbox", Ok(vec![7.0, 5.0, 6.5]), Some(6.0)),
            row("packer", Ok(vec![65.0]), None),
            row("mkosi", Err("not installed".into()), None),
        ];
        let text = render(&rows);
        assert!(
            text.contains("| jq | aks-jumpbox | 6.500 | 5.000-7.000 | at most 6.000: not kept |  |"),
            "{text}"
        );
        assert!(text.contains("| jq | packer | 65.000 | 65.000-65.000 |  | 10.00 |"), "{text}");
        assert!(text.contains("| jq | mkosi | not installed |"), "{text}");
    }

    #[test]
    fn figures_have_units_and_one_that_is_missing_keeps_no_promise() {
        let all = [
            Figure::new("memory", "MB", Ok(vec![90.0]), Some(200.0)),
            Figure::new("ratio", "times", Err("needs root".into()), Some(1.25)),
        ];
        let text = figures(&all);
        assert!(text.contains("| memory | 90.00 MB | at most 200.000: kept |"), "{text}");
        assert!(text.contains("| ratio | needs root | at most 1.250: not kept |"), "{text}");
    }

    #[test]
    fn a_promise_about_what_could_not_run_is_not_kept() {
        assert!(row("aks-jumpbox", Err("no".into()), Some(1.0)).breaks_promise());
        assert!(!row("aks-jumpbox", Ok(vec![0.9]), Some(1.0)).breaks_promise());
        assert!(!row("packer", Err("not installed".into()), None).breaks_promise());
    }
}
