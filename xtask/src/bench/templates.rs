//! How long documents take to be evaluated, by the number of their resources.

use super::{Figure, Row, checked, median};
use crate::process::cargo;

/// Shape and resources in the measurement's output, name of the row, and the seconds that are promised.
const SCENARIOS: [(&str, &str, &str, Option<f64>); 9] = [
    ("groups", "10", "templates: 10 resources of 4 rules", None),
    ("groups", "100", "templates: 100 resources of 4 rules", None),
    ("groups", "1000", "templates: 1,000 resources of 4 rules", Some(0.5)),
    ("literal", "1000", "templates: 1,000 resources of 4 rules without expressions", Some(0.5)),
    ("loop", "1000", "templates: loops over 1,000 resources of 4 rules", Some(0.5)),
    ("chain", "1000", "templates: 1,000 resources that each refer to the next", Some(0.5)),
    ("nested", "1000", "templates: 1,000 nested deployments", Some(0.5)),
    ("resources", "1000", "templates: 1,000 resources of 4 rules, no template", Some(0.5)),
    ("rules", "1000", "templates: 1,000 rules in one group", Some(0.5)),
];

/// Measures every size when one is wanted: their ratios are what tells.
pub fn measure(wanted: &dyn Fn(&str) -> bool) -> (Vec<Row>, Vec<Figure>) {
    if !SCENARIOS.iter().any(|(_, _, row, _)| wanted(row)) {
        return Default::default();
    }
    eprintln!("  templates ...");
    let arguments = ["run", "--release", "--quiet", "--package", "arm", "--example", "templates"];
    let output = checked(&mut cargo(&arguments));
    let seconds = |shape: &str, size: &str| -> Result<Vec<f64>, String> {
        let text = output.as_ref().map_err(Clone::clone)?;
        let wanted = format!("{shape}\t{size}\t");
        let line = text.lines().find_map(|line| line.strip_prefix(&wanted));
        let numbers: Option<Vec<f64>> =
            line.and_then(|numbers| numbers.split(' ').map(|number| number.parse().ok()).collect());
        numbers.ok_or_else(|| format!("not in the measurement's output: {shape} of {size}"))
    };
    let rows = SCENARIOS.map(|(shape, size, scenario, promise)| Row {
        scenario,
        by: "aks-jumpbox",
        seconds: seconds(shape, size),
        promise,
    });
    let growth = |shape: &str, large: &str, small: &str| {
        let ratio = match (median(&seconds(shape, large)), median(&seconds(shape, small))) {
            (Some(large), Some(small)) => Ok(vec![large / small]),
            _ => Err("one of them was not measured".to_owned()),
        };
        Figure::new(format!("templates: {shape}, {large} over {small}"), "times", ratio, None)
    };
    let large = SCENARIOS.iter().filter(|(_, size, ..)| *size == "1000");
    let mut figures = vec![growth("groups", "100", "10")];
    figures.extend(large.map(|(shape, ..)| growth(shape, "1000", "100")));
    (rows.into(), figures)
}
