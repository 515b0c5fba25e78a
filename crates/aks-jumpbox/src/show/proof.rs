//! What was proved, and what refutes the rest.

use std::fmt::Write as _;

use network_policy::{Access, Contract, Packet, Proof, ProofVerdict};
use serde::Serialize;

use super::{excess, json, path, repair};
use crate::exit::ExitStatus;
use crate::output::{BOLD, DIM, GREEN, Output, RED, YELLOW, line};

/// A contract and the answer to it.
pub struct Answer {
    /// The contract.
    pub contract: Contract,
    /// The answer.
    pub proof: Proof,
}

/// Everything that was asked, answered.
pub struct Answers {
    /// Each contract.
    pub contracts: Vec<Answer>,
    /// What would repair those that are refuted, where that was asked.
    pub repair: Option<network_policy::Repair>,
    /// What the rules allow beyond contracts, where that was asked.
    pub excess: Option<Vec<network_policy::Excess>>,
}

impl Answers {
    /// The worse of the contracts' answer and that of the rules' excess.
    pub fn status(&self) -> ExitStatus {
        match (status(&self.contracts), self.excess.as_deref().map(excess::status)) {
            (ExitStatus::Yes, Some(excess)) => excess,
            (ExitStatus::CannotTell, Some(ExitStatus::No)) => ExitStatus::No,
            (contracts, _) => contracts,
        }
    }
}

/// `1 rule`, `2 rules`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// The answers as JSON.
#[derive(Serialize)]
pub struct Report {
    verdict: &'static str,
    contracts: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<repair::Repair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    excess: Option<Vec<excess::Excess>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assumptions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    contract: String,
    verdict: &'static str,
    packet: Option<json::Packet>,
    decided_by: Option<json::Decider>,
    #[serde(skip_serializing_if = "Option::is_none")]
    near_miss: Option<json::NearMiss>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<Lost>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    open: Vec<String>,
    certificate: Option<Vec<json::CertifiedBox>>,
}

/// Counts are strings: they are larger than numbers of JSON can be trusted to be.
#[derive(Serialize)]
struct Lost {
    packets: String,
    total: String,
    phrase: String,
}

impl Report {
    /// All answers.
    pub fn of(answers: &Answers, warnings: Vec<String>) -> Self {
        let beyond = |excess: &Vec<_>| excess.iter().map(excess::Excess::of).collect();
        Self {
            verdict: super::verdict(answers.status()),
            contracts: answers.contracts.iter().map(Row::of).collect(),
            repair: answers.repair.as_ref().map(repair::Repair::of),
            excess: answers.excess.as_ref().map(beyond),
            assumptions: assumptions(&answers.contracts),
            warnings,
        }
    }
}

impl Row {
    fn of(Answer { contract, proof }: &Answer) -> Self {
        let lost = |lost: &network_policy::Lost| Lost {
            packets: lost.packets.to_string(),
            total: lost.total.to_string(),
            phrase: lost.phrase.clone(),
        };
        let boxes = |certificate: &network_policy::Certificate| {
            certificate.boxes.iter().map(json::CertifiedBox::of).collect()
        };
        Self {
            contract: contract.to_string(),
            verdict: word(proof.verdict),
            packet: proof.packet.as_ref().map(json::Packet::of),
            decided_by: proof.decided_by.as_ref().map(json::Decider::of),
            near_miss: proof.near_miss.as_ref().map(json::NearMiss::of),
            lost: proof.lost.as_ref().map(lost),
            open: proof.open.clone(),
            certificate: proof.certificate.as_ref().map(boxes),
        }
    }
}

/// The word of the contract.
fn word(verdict: ProofVerdict) -> &'static str {
    match verdict {
        ProofVerdict::Proved => "proved",
        ProofVerdict::Refuted => "refuted",
        ProofVerdict::Depends => "depends",
    }
}

/// One refuted contract is a no; else one that depends leaves it open.
fn status(answers: &[Answer]) -> ExitStatus {
    let any = |verdict| answers.iter().any(|answer| answer.proof.verdict == verdict);
    match (any(ProofVerdict::Refuted), any(ProofVerdict::Depends)) {
        (true, _) => ExitStatus::No,
        (false, true) => ExitStatus::CannotTell,
        (false, false) => ExitStatus::Yes,
    }
}

/// What any of the answers takes for granted, each once.
fn assumptions(answers: &[Answer]) -> Vec<String> {
    let mut all: Vec<_> =
        answers.iter().flat_map(|answer| answer.proof.assumptions.iter().cloned()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The answers for people.
pub fn text(answers: &[Answer], output: Output) -> String {
    let mut text = String::new();
    for answer in answers {
        one(&mut text, answer, output);
    }
    for assumption in assumptions(answers) {
        let _ = writeln!(text, "{} {assumption}", output.paint(DIM, "assumed:"));
    }
    let count = |verdict| answers.iter().filter(|answer| answer.proof.verdict == verdict).count();
    let counts: Vec<_> = [ProofVerdict::Proved, ProofVerdict::Refuted, ProofVerdict::Depends]
        .into_iter()
        .map(|verdict| (count(verdict), word(verdict)))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let status = status(answers);
    let (mark, style) = super::mark(status);
    let verdict = output.paint(style, &format!("{mark} {}:", super::verdict(status)));
    let _ = writeln!(text, "{verdict} {}", counts.join(", "));
    text
}

const INDENT: &str = "    ";

fn one(text: &mut String, Answer { contract, proof }: &Answer, output: Output) {
    let (mark, style) = match proof.verdict {
        ProofVerdict::Proved => ("✓", GREEN),
        ProofVerdict::Refuted => ("✗", RED),
        ProofVerdict::Depends => ("?", YELLOW),
    };
    let head = output.paint(style, &format!("{mark} {:<8}", word(proof.verdict)));
    let _ = writeln!(text, "{head} {}", output.paint(BOLD, &contract.to_string()));
    if let Some(packet) = &proof.packet {
        let _ = writeln!(text, "{INDENT}{}: {}", happens(contract, proof), described(packet));
    }
    if let Some(decider) = &proof.decided_by {
        let by = super::by(decider);
        let _ =
            writeln!(text, "{INDENT}{}, {}", by.trim_start_matches([':', ' ']), super::layer(decider.layer));
    }
    if let Some(lost) = &proof.lost {
        let _ = writeln!(text, "{INDENT}{} for {}", happens(contract, proof), lost.phrase);
    }
    if let (Some(rule), Some(decided_by)) = (&proof.near_miss, &proof.decided_by) {
        path::Near { rule, decided_by, whose: "packet" }.write(text, INDENT, output);
    }
    for open in &proof.open {
        let _ = writeln!(text, "{INDENT}{} {}", output.paint(YELLOW, "decided by:"), line(open));
    }
}

/// What happens to the packets that are shown.
fn happens(contract: &Contract, proof: &Proof) -> &'static str {
    match (proof.verdict, contract.access) {
        (ProofVerdict::Refuted, Access::Allow) => "denied",
        (ProofVerdict::Refuted, Access::Deny) => "allowed",
        _ => "open",
    }
}

/// The packet, the name it asks for and whom the address belongs to.
fn described(packet: &Packet) -> String {
    let name = packet.name.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
    let owner = packet.owner.as_ref().map(|owner| format!(" ({owner})")).unwrap_or_default();
    format!("{packet}{name}{owner}")
}

/// The certificates for people: every part of the contract, and who decides about it.
pub fn certificates(answers: &[Answer], output: Output) -> String {
    let mut text = String::new();
    for Answer { contract, proof } in answers {
        let Some(certificate) = &proof.certificate else { continue };
        let _ = writeln!(text, "\ncertificate of {}", output.paint(BOLD, &contract.to_string()));
        for (index, part) in certificate.boxes.iter().enumerate() {
            let _ =
                writeln!(text, "{INDENT}{}. {}", index + 1, line(&json::CertifiedBox::of(part).describe()));
        }
        if proof.verdict == ProofVerdict::Proved {
            let checked =
                "checked: the parts lie apart, make up the contract, and each is decided as it says";
            let _ = writeln!(text, "{INDENT}{} {checked}", output.paint(GREEN, "✓"));
        }
    }
    text
}
