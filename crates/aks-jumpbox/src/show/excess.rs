//! What rules allow beyond contracts.

use std::fmt::Write as _;

use serde::Serialize;

use super::json;
use crate::exit::ExitStatus;
use crate::output::{BOLD, DIM, Output, RED, YELLOW, line};

/// What one rule allows beyond the contracts, as JSON.
#[derive(Serialize)]
pub struct Excess {
    direction: &'static str,
    decided_by: Option<json::Decider>,
    /// `allowed` for certain, or `undecided`.
    decision: &'static str,
    /// Counts are strings: they are larger than numbers of JSON can be trusted to be.
    packets: String,
    total: String,
    /// Whether a contract needs the rule for other packets.
    needed: bool,
    boxes: Vec<json::CertifiedBox>,
}

impl Excess {
    /// The same, for programs.
    pub fn of(excess: &network_policy::Excess) -> Self {
        Self {
            direction: super::direction(excess.direction),
            decided_by: excess.decided_by.as_ref().map(json::Decider::of),
            decision: if excess.certain { "allowed" } else { "undecided" },
            packets: excess.packets.to_string(),
            total: excess.total.to_string(),
            needed: excess.needed,
            boxes: excess.boxes.iter().map(json::CertifiedBox::of).collect(),
        }
    }
}

/// What is allowed for certain is a no; what may be leaves it open.
pub fn status(all: &[network_policy::Excess]) -> ExitStatus {
    match (all.is_empty(), all.iter().any(|excess| excess.certain)) {
        (true, _) => ExitStatus::Yes,
        (false, true) => ExitStatus::No,
        (false, false) => ExitStatus::CannotTell,
    }
}

/// Most boxes of a rule that are shown; JSON has all.
const SHOWN: usize = 3;

/// The report for people, the largest first.
pub fn text(all: &[network_policy::Excess], output: Output) -> String {
    let mut text = format!("\n{}\n", output.paint(BOLD, "allowed, though no contract asks for it:"));
    if all.is_empty() {
        text += "    nothing\n";
    }
    for (index, excess) in all.iter().enumerate() {
        let (mark, style) = if excess.certain { ("✗", RED) } else { ("?", YELLOW) };
        let by =
            excess.decided_by.as_ref().map(|by| format!("{}, {}", super::by(by), super::layer(by.layer)));
        let by = by.unwrap_or_else(|| ", for nothing is in the way".to_owned());
        let direction = super::direction(excess.direction);
        let head = format!("{mark} {}. {direction}{by}", index + 1);
        let _ = writeln!(text, "{}: {} of all packets", output.paint(style, &head), share(excess));
        for part in excess.boxes.iter().take(SHOWN) {
            let _ = writeln!(text, "       {}", line(&json::CertifiedBox::of(part).extent()));
        }
        if excess.boxes.len() > SHOWN {
            let more = format!("and {} more parts", excess.boxes.len() - SHOWN);
            let _ = writeln!(text, "       {}", output.paint(DIM, &more));
        }
        if !excess.needed
            && excess.decided_by.as_ref().is_some_and(|by| by.priority.is_some_and(|at| at < 65_000))
        {
            text += "       no contract needs this rule\n";
        }
    }
    text
}

/// A share of all packets that there are.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn share(excess: &network_policy::Excess) -> String {
    let percent = excess.packets as f64 / excess.total.max(1) as f64 * 100.0;
    if percent >= 0.01 { format!("{percent:.2} %") } else { "less than 0.01 %".to_owned() }
}
