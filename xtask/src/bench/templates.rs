//! How long ARM templates take to be evaluated, by the number of their resources.

use super::{Figure, Row, checked};
use crate::process::cargo;

/// Resources in the measurement's output, name of the row, and the seconds that are promised.
const SCENARIOS: [(&str, &str, Option<f64>); 3] = [
    ("10", "templates: 10 resources of 4 rules", None),
    ("100", "templates: 100 resources of 4 rules", None),
    ("1000", "templates: 1,000 resources of 4 rules", Some(0.5)),
];

/// Measures every size when one is wanted: their ratios are what tells.
pub fn measure(wanted: &dyn Fn(&str) -> bool) -> (Vec<Row>, Vec<Figure>) {
    if !SCENARIOS.iter().any(|(_, row, _)| wanted(row)) {
        return Default::default();
    }
    eprintln!("  templates ...");
    let arguments = ["run", "--release", "--quiet", "--package", "arm", "--example", "templates"];
    let output = checked(&mut cargo(&arguments));
    let seconds = |size: &str| -> Result<Vec<f64>, String> {
        let text = output.as_ref().map_err(Clone::clone)?;
        let line = text.lines().find_map(|line| line.split_once('\t').filter(|(own, _)| *own == size));
        let numbers: Option<Vec<f64>> =
            line.and_then(|(_, numbers)| numbers.split(' ').map(|number| number.parse().ok()).collect());
        numbers.ok_or_else(|| format!("not in the measurement's output: {size}"))
    };
    let row =
        |(size, scenario, promise)| Row { scenario, by: "aks-jumpbox", seconds: seconds(size), promise };
    let growth = |[(small, ..), (large, ..)]: [&(&str, &str, Option<f64>); 2]| {
        let ratio = seconds(small).and_then(|small| Ok(vec![median(seconds(large)?) / median(small)]));
        Figure::new(format!("templates: {large} resources over {small}"), "times", ratio, None)
    };
    let [ten, hundred, thousand] = &SCENARIOS;
    (SCENARIOS.map(row).into(), vec![growth([ten, hundred]), growth([hundred, thousand])])
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}
