//! The path of one flow, layer by layer.

use std::fmt::Write as _;

use network_policy::{Decision, Direction, FieldMatch, Flow, LayerDecision, NearMiss, Verdict};
use serde::Serialize;

use super::json::{self, Decider};
use crate::output::{BOLD, DIM, GREEN, Output, RED, YELLOW, line};

/// The answer as JSON.
#[derive(Serialize)]
pub struct Report {
    decision: &'static str,
    flow: json::Flow,
    path: Vec<Step>,
    /// What would decide a flow that is not decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    open: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Step {
    #[serde(flatten)]
    decided_by: Decider,
    decision: &'static str,
    /// Whether the flow comes this far: a layer before may have refused it.
    reached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    near_miss: Option<json::NearMiss>,
}

impl Report {
    /// The decision and every layer that the flow meets.
    pub fn of(
        flow: &Flow,
        decision: &Decision,
        path: &[LayerDecision],
        open: Vec<String>,
        warnings: Vec<String>,
    ) -> Self {
        let end = end_of(path);
        let step = |(index, layer): (usize, &LayerDecision)| Step {
            decided_by: Decider::of(&layer.decided_by),
            decision: word(layer.verdict),
            reached: index <= end,
            near_miss: layer.near_miss.as_ref().map(json::NearMiss::of),
        };
        Self {
            decision: word(decision.verdict),
            flow: json::Flow::of(flow),
            path: path.iter().enumerate().map(step).collect(),
            open,
            warnings,
        }
    }
}

/// The word of the contract.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Denied => "denied",
        Verdict::Undecided => "undecided",
    }
}

/// The layer that the flow ends at: the first that refuses it, else the last.
fn end_of(path: &[LayerDecision]) -> usize {
    path.iter().position(|layer| layer.verdict == Verdict::Denied).unwrap_or(path.len())
}

/// The path for people: one line for each layer, from where the flow starts to where it ends. What would stand in the
/// way behind a refusal is shown, too. `open` is what would decide a flow that is not decided.
pub fn text(
    flow: &Flow,
    decision: &Decision,
    path: &[LayerDecision],
    open: &[String],
    output: Output,
) -> String {
    let (from, to) = ends(flow);
    let mut text =
        format!("{} {} {from}\n", super::direction(flow.direction), super::protocol(flow.protocol));
    let width = path.iter().map(|layer| super::layer(layer.decided_by.layer).len()).max().unwrap_or(0);
    let end = end_of(path);
    for (index, layer) in path.iter().enumerate() {
        let (line, would) = if index <= end { ("│", "") } else { ("┊", "not reached; would be ") };
        one(&mut text, layer, line, would, width, output);
        if let Some(near_miss) = &layer.near_miss {
            let line = if index < end { "│" } else { "┊" };
            let near = Near { rule: near_miss, decided_by: &layer.decided_by, whose: "flow" };
            near.write(&mut text, &format!("  {}   ", output.paint(DIM, line)), output);
        }
    }
    let (sign, style) = mark(decision.verdict);
    let arrived = match decision.verdict {
        Verdict::Allowed => "▼",
        Verdict::Denied => "╳",
        Verdict::Undecided => "┊",
    };
    let _ = writeln!(text, "  {}\n{to}\n", output.paint(style, arrived));
    let verdict = output.paint(style, &format!("{sign} {}", word(decision.verdict)));
    let _ = writeln!(text, "{verdict}{}", super::decision(decision, path));
    for open in open {
        let _ = writeln!(text, "  decided by: {}", line(open));
    }
    text
}

fn one(text: &mut String, layer: &LayerDecision, line: &str, would: &str, width: usize, output: Output) {
    let (mark, style) = mark(layer.verdict);
    let name = super::layer(layer.decided_by.layer);
    let _ = writeln!(text, "  {}", output.paint(DIM, line));
    let _ = writeln!(
        text,
        "  {} {name:<width$}  {would}{}{}",
        output.paint(style, mark),
        output.paint(style, word(layer.verdict)),
        super::by(&layer.decided_by)
    );
}

/// A rule that nearly decided otherwise, field by field.
pub struct Near<'a> {
    /// The rule.
    pub rule: &'a NearMiss,
    /// The rule that decided in its place.
    pub decided_by: &'a network_policy::Decider,
    /// What was decided about: `flow` or `packet`.
    pub whose: &'static str,
}

impl Near<'_> {
    /// Writes a table, with the order of the rules as its last row when every field matches.
    pub fn write(&self, text: &mut String, indent: &str, output: Output) {
        let NearMiss { rule, priority, fields } = self.rule;
        let of_rule = priority.map(|priority| format!(" (priority {priority})")).unwrap_or_default();
        let _ = writeln!(text, "{indent}nearest rule: '{}'{of_rule}", output.paint(BOLD, &line(rule)));
        let mut rows: Vec<_> = fields
            .iter()
            .map(|FieldMatch { field, matches, rule, packet }| (*field, *matches, shown(rule), shown(packet)))
            .collect();
        if fields.iter().all(|field| field.matches == Some(true)) {
            let number =
                |priority: Option<u16>| priority.map_or("none".to_owned(), |priority| priority.to_string());
            let first = format!("{} decides first", number(self.decided_by.priority));
            rows.push(("priority", Some(false), number(*priority), first));
        }
        let field_width = rows.iter().map(|row| row.0.len()).max().unwrap_or(0).max("field".len());
        let rule_width = rows.iter().map(|row| row.2.chars().count()).max().unwrap_or(0).max("rule".len());
        let head = format!("  {:<13}{:<field_width$}  {:<rule_width$}  {}", "", "field", "rule", self.whose);
        let _ = writeln!(text, "{indent}{}", output.paint(DIM, &head));
        for (field, matches, rule, own) in rows {
            let (mark, word, style) = match matches {
                Some(true) => ("✓", "matches", GREEN),
                Some(false) => ("✗", "differs", RED),
                None => ("?", "not known", YELLOW),
            };
            let verdict = output.paint(style, &format!("{mark} {word:<11}"));
            let _ = writeln!(text, "{indent}  {verdict}{field:<field_width$}  {rule:<rule_width$}  {own}");
        }
    }
}

/// A long list of a rule's addresses says no more than its beginning.
fn shown(text: &str) -> String {
    const MOST: usize = 48;
    let text = line(text);
    if text.chars().count() <= MOST {
        return text;
    }
    text.chars().take(MOST - 1).chain(['…']).collect()
}

/// Both ends as contracts write them.
pub fn ports(flow: &Flow) -> (String, String) {
    let json::Flow { from, to, .. } = json::Flow::of(flow);
    (from, to)
}

fn ends(flow: &Flow) -> (String, String) {
    let (from, to) = ports(flow);
    match flow.direction {
        Direction::Outbound => (format!("from the build machine, {from}"), to),
        Direction::Inbound => (format!("from {from}"), format!("the build machine, {to}")),
    }
}

fn mark(verdict: Verdict) -> (&'static str, anstyle::Style) {
    match verdict {
        Verdict::Allowed => ("✓", GREEN),
        Verdict::Denied => ("✗", RED),
        Verdict::Undecided => ("?", YELLOW),
    }
}

#[cfg(test)]
mod tests {
    use clap::ColorChoice;
    use network_policy::{Decider, Destination, Direction, Layer, Protocol};

    use super::*;
    use crate::output::{Format, Verbosity};

    fn layer(
        verdict: Verdict,
        layer: Layer,
        resource: &str,
        rule: &str,
        priority: Option<u16>,
    ) -> LayerDecision {
        let (resource, rule) = (resource.to_owned(), rule.to_owned());
        LayerDecision { verdict, decided_by: Decider { layer, resource, rule, priority }, near_miss: None }
    }

    fn field(field: &'static str, matches: Option<bool>, rule: &str, packet: &str) -> FieldMatch {
        FieldMatch { field, matches, rule: rule.to_owned(), packet: packet.to_owned() }
    }

    #[test]
    fn a_path_ends_where_the_flow_does() {
        let flow = Flow {
            direction: Direction::Outbound,
            protocol: Protocol::Tcp,
            source: "10.241.0.5".parse().unwrap(),
            source_port: 50_000,
            destination: Destination::Address("20.60.0.1".parse().unwrap()),
            port: 8443,
            application: None,
        };
        let denial = layer(Verdict::Denied, Layer::SubnetNsg, "nsg-build", "DenyAll", Some(4000));
        let near_miss = NearMiss {
            rule: "AllowHttps".to_owned(),
            priority: Some(100),
            fields: vec![
                field("protocol", Some(true), "Tcp", "tcp"),
                field("destination", None, "Storage.EastUS2", "20.60.0.1"),
                field("destination port", Some(false), "443", "8443"),
            ],
        };
        let path = [
            layer(Verdict::Allowed, Layer::NicNsg, "nsg-nic", "AllowAll", Some(200)),
            LayerDecision { near_miss: Some(near_miss), ..denial },
            layer(Verdict::Denied, Layer::FirewallNetwork, "fwp-hub", "no rule allows it", None),
        ];
        let decision = Decision {
            verdict: Verdict::Denied,
            layer: Layer::SubnetNsg,
            resource: "nsg-build".to_owned(),
            rule: "DenyAll".to_owned(),
        };
        let output = Output::resolve(Format::Text, ColorChoice::Never, Verbosity::Normal);
        insta::assert_snapshot!(text(&flow, &decision, &path, &[], output));
        let coloured = Output::resolve(Format::Text, ColorChoice::Always, Verbosity::Normal);
        let plain = crate::output::shown(&text(&flow, &decision, &path, &[], coloured));
        assert!(
            plain.contains('\u{1b}') && plain.contains("denied") && plain.contains("differs"),
            "words beside colour"
        );
    }
}
