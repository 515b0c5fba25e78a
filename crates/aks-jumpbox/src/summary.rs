//! What a build did, gathered from its events and told at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use build_engine::egress::sentence;
use build_engine::event::{Connection, Done, Event, StepState};
use recipe::Lack;

use crate::output::{BOLD, DIM, GREEN, Output, YELLOW, bytes, duration};

/// Most refusals that are listed; `egress.json` holds all of them.
const SHOWN: usize = 8;

/// Counts as events come, from any thread.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    cached: usize,
    run: usize,
    hosts: BTreeMap<String, u64>,
    refused: Vec<String>,
    done: Option<Done>,
}

impl Tally {
    /// Takes one event into account.
    pub fn note(&self, event: &Event) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Step { state: StepState::Cached, .. } => counts.cached += 1,
            Event::Step { state: StepState::Succeeded | StepState::Failed, .. } => counts.run += 1,
            Event::Egress(connection) => counts.connection(connection),
            Event::Done(done) => counts.done = Some(done.clone()),
            _ => {}
        }
    }

    /// The end of a build that succeeded, for people; nothing when no event said that it did.
    pub fn to_text(&self, output: &Output, lacks: &[Lack], kubectl: Option<&str>) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(done) = &counts.done else { return String::new() };
        let mut text = format!(
            "\n{} {} in {}\n",
            output.paint(GREEN, "✓"),
            output.paint(BOLD, &done.image),
            duration(done.seconds)
        );
        let mut row = |label: &str, value: String| {
            let _ = writeln!(text, "  {} {value}", output.paint(DIM, &format!("{label:<10}")));
        };
        row("disk", format!("{}, of which {} take space here", bytes(done.bytes), bytes(done.allocated_bytes)));
        row("content", format!("sha256 {}", done.content_sha256));
        row("steps", format!("{} cached, {} run", counts.cached, counts.run));
        row("contacted", counts.contacted());
        if !counts.refused.is_empty() {
            row("refused", output.paint(YELLOW, &counts.refused.len().to_string()));
            counts.refused.iter().take(SHOWN).for_each(|sentence| row("", sentence.clone()));
        }
        if let Some(others) = done.outputs.get(1..).filter(|others| !others.is_empty()) {
            row("beside it", others.join(", "));
        }
        for lack in lacks {
            row("lacks", format!("{}: {}", lack.tool, lack.why));
        }
        if let Some(version) = kubectl
            && let Some(supported) = recipe::kubectl_supports(version)
        {
            row("kubectl", format!("{version}, for AKS versions {supported}"));
        }
        text.push_str("\nnext: aks-jumpbox try\n");
        text
    }
}

impl Counts {
    fn connection(&mut self, connection: &Connection) {
        if connection.refused {
            let sentence = sentence(connection);
            if !self.refused.contains(&sentence) {
                self.refused.push(sentence);
            }
        } else if connection.protocol == "tcp" {
            let host = connection.name.clone().or_else(|| connection.address.map(|address| address.to_string()));
            *self.hosts.entry(host.unwrap_or_default()).or_default() += connection.bytes_in;
        }
    }

    fn contacted(&self) -> String {
        if self.hosts.is_empty() {
            return "nothing".to_owned();
        }
        let hosts = self.hosts.iter().map(|(host, received)| format!("{host} ({})", bytes(*received)));
        hosts.collect::<Vec<_>>().join(", ")
    }
}
