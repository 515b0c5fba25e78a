//! What flow logs say was denied.

use std::fmt::Write as _;

use flow_log::{Class, Counts, Denied, Finding, Peer, Query, Summary};
use jiff::Timestamp;
use network_policy::{Direction, Protocol};
use serde::Serialize;

use crate::exit::ExitStatus;
use crate::output::{BOLD, DIM, Output, RED, Verbosity, YELLOW, line};

/// Most denials of a class that are listed for people; `--verbose` and JSON list all.
const SHOWN: usize = 12;

/// The answer as JSON.
#[derive(Serialize)]
pub struct Report {
    verdict: &'static str,
    denied: Vec<Row>,
    records: u64,
    entries: u64,
    of_subnet: u64,
    denied_entries: u64,
    findings: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    direction: &'static str,
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    port: u16,
    count: u64,
    first: String,
    last: String,
    resource: String,
    rule: String,
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Report {
    /// The same answer as the exit code's.
    pub fn of(summary: &Summary, status: ExitStatus) -> Self {
        let Counts { records, entries, of_subnet, denied } = summary.counts;
        Self {
            verdict: super::verdict(status),
            denied: summary.denied.iter().map(Row::of).collect(),
            records,
            entries,
            of_subnet,
            denied_entries: denied,
            findings: summary.findings.iter().map(finding).collect(),
        }
    }
}

impl Row {
    fn of(denied: &Denied) -> Self {
        let (name, address) = match &denied.peer {
            Peer::Name(name) => (Some(name.clone()), None),
            Peer::Address(address) => (None, Some(address.to_string())),
        };
        Self {
            direction: super::direction(denied.direction),
            protocol: super::protocol(denied.protocol),
            name,
            address,
            port: denied.port,
            count: denied.count,
            first: denied.first.to_string(),
            last: denied.last.to_string(),
            resource: denied.resource.clone(),
            rule: denied.rule.clone(),
            class: denied.class.word(),
            reason: denied.class.reason().map(str::to_owned),
        }
    }
}

/// The answer for people.
pub fn text(summary: &Summary, query: &Query, status: ExitStatus, output: Output) -> String {
    let mut text = String::new();
    for (word, title, mark, style) in [
        ("needed", "a build needs these, and they were denied", "✗", RED),
        ("unclassified", "denied, and not known to be needed or harmless", "?", YELLOW),
        ("noise", "denied, and harmless", "·", DIM),
    ] {
        let rows: Vec<_> = summary.denied.iter().filter(|denied| denied.class.word() == word).collect();
        if !rows.is_empty() {
            let _ = writeln!(text, "{}", output.paint(BOLD, title));
            let mark = output.paint(style, mark);
            let most = if output.verbosity == Verbosity::Verbose { usize::MAX } else { SHOWN };
            rows_of_class(&mut text, &rows, &mark, most, output);
            text.push('\n');
        }
    }
    for finding in summary.findings.iter().map(finding) {
        let _ = writeln!(text, "{} {finding}", output.paint(YELLOW, "note:"));
    }
    let _ = writeln!(text, "{}", output.paint(DIM, &what_was_read(summary.counts, query)));
    let (mark, style) = super::mark(status);
    let _ = writeln!(
        text,
        "{} {}",
        output.paint(style, &format!("{mark} {}:", super::verdict(status))),
        conclusion(summary)
    );
    text
}

fn rows_of_class(text: &mut String, rows: &[&Denied], mark: &str, most: usize, output: Output) {
    let ends: Vec<_> = rows.iter().take(most).map(|denied| end(denied)).collect();
    let width = ends.iter().map(|end| end.chars().count()).max().unwrap_or(0);
    let mut said = None;
    for (denied, end) in rows.iter().zip(&ends) {
        let Denied { count, rule, resource, .. } = denied;
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        let (rule, resource) = (line(rule), line(resource));
        let of = if resource.is_empty() { String::new() } else { format!(" ({resource})") };
        let when = output.paint(DIM, &span(denied.first, denied.last));
        let _ = writeln!(text, "  {mark} {end:<width$}  {times:>9}  {when}  {rule}{of}");
        let reason = denied.class.reason();
        if let Some(reason) = reason.filter(|_| reason != said) {
            let _ = writeln!(text, "      {}", output.paint(DIM, reason));
        }
        said = reason;
    }
    if rows.len() > most {
        let entries: u64 = rows[most..].iter().map(|denied| denied.count).sum();
        let _ = writeln!(
            text,
            "    and {} more, logged {entries} times; --verbose lists them",
            rows.len() - most
        );
    }
}

/// `outbound tcp 20.60.0.1:443`, `inbound tcp 60001 from 10.241.0.6`.
fn end(denied: &Denied) -> String {
    let Denied { direction, protocol, peer, port, .. } = denied;
    let protocol_name = super::protocol(*protocol);
    let portless = !matches!(protocol, Protocol::Tcp | Protocol::Udp);
    match (direction, peer) {
        (Direction::Outbound, _) if portless => format!("outbound {protocol_name} {peer}"),
        (Direction::Outbound, Peer::Address(address)) if address.is_ipv6() => {
            format!("outbound {protocol_name} [{address}]:{port}")
        }
        (Direction::Outbound, _) => format!("outbound {protocol_name} {peer}:{port}"),
        (Direction::Inbound, _) if portless => format!("inbound {protocol_name} from {peer}"),
        (Direction::Inbound, _) => format!("inbound {protocol_name} {port} from {peer}"),
    }
}

/// Whole seconds of UTC; one instant where both are the same.
fn span(first: Timestamp, last: Timestamp) -> String {
    let shown = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let (first, last) = (shown(first), shown(last));
    if first == last {
        return first;
    }
    let same_day = first[..10] == last[..10];
    format!("{first} to {}", if same_day { &last[11..] } else { &last })
}

fn what_was_read(counts: Counts, query: &Query) -> String {
    let Counts { records, entries, of_subnet, denied } = counts;
    let subnet: Vec<_> = query.subnet.iter().map(ToString::to_string).collect();
    let whose = if subnet.is_empty() {
        "in the window".to_owned()
    } else {
        format!("of {} in the window", subnet.join(", "))
    };
    let records = counted(records, "record");
    format!("{records}: {entries} flows logged, {of_subnet} {whose}, {denied} denied; times are UTC")
}

fn conclusion(summary: &Summary) -> String {
    let count =
        |wanted: fn(&Class) -> bool| summary.denied.iter().filter(|denied| wanted(&denied.class)).count();
    let needed = count(|class| matches!(class, Class::Needed(_)));
    let open = count(|class| matches!(class, Class::Unclassified));
    let plural = |number: usize| if number == 1 { "kind of flow" } else { "kinds of flow" };
    match (needed, open) {
        _ if summary.counts.of_subnet == 0 => "the logs hold no flow of the subnet in this window".to_owned(),
        (0, 0) => "nothing that a build needs was denied".to_owned(),
        (0, open) => format!("{open} {} denied that may or may not be needed", plural(open)),
        (needed, _) => format!("{needed} {} denied that a build needs", plural(needed)),
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn finding(finding: &Finding) -> String {
    match finding {
        Finding::BreaksOff { file, position } => format!(
            "{file}:{}:{}: the log breaks off here: it was still being written, or copied in part",
            position.line, position.column
        ),
        Finding::PassedOver { category, records } => {
            format!(
                "passed over {} of {category}, which is read for no decision",
                counted(*records, "record")
            )
        }
        Finding::TooMany { entries } => {
            format!(
                "{entries} more denied entries are counted and not listed: there are too many different ones"
            )
        }
    }
}
