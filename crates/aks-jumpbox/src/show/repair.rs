//! The rules that would make refuted contracts hold, as people and programs apply them.

use std::fmt::Write as _;

use clap::ValueEnum;
use network_policy::NewRule;
use serde::Serialize;
use serde_json::Value;

use super::{json, proof};
use crate::output::{BOLD, DIM, GREEN, Output, RED, YELLOW, line};

/// How rules to add are written for people; JSON has all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Commands of the Azure command line.
    Az,
    /// Entries of the group's `securityRules`.
    Arm,
    /// Resources of Terraform's azurerm provider.
    Terraform,
}

/// A repair as JSON.
#[derive(Serialize)]
pub struct Repair {
    summary: String,
    rules: Vec<Rule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    renumbered: Vec<Renumbered>,
    repaired: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    open: Vec<Open>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beyond: Vec<Beyond>,
}

#[derive(Serialize)]
struct Rule {
    nsg: String,
    contracts: Vec<String>,
    arm: Value,
    az: String,
    terraform: String,
}

#[derive(Serialize)]
struct Renumbered {
    nsg: String,
    rule: String,
    from: u16,
    to: u16,
    az: String,
}

#[derive(Serialize)]
struct Open {
    contract: String,
    open: Vec<String>,
}

#[derive(Serialize)]
struct Beyond {
    contract: String,
    obstacles: Vec<Obstacle>,
}

#[derive(Serialize)]
struct Obstacle {
    decided_by: Option<json::Decider>,
    setting: String,
}

impl Repair {
    /// The same, for programs.
    pub fn of(repair: &network_policy::Repair) -> Self {
        let rule = |new: &NewRule| Rule {
            nsg: new.nsg.clone(),
            contracts: new.contracts.iter().map(ToString::to_string).collect(),
            arm: serde_json::from_str(&new.to_arm_json()).unwrap_or_default(),
            az: new.to_az(),
            terraform: new.to_terraform(),
        };
        let renumbered = |moved: &network_policy::Renumbered| Renumbered {
            nsg: moved.nsg.clone(),
            rule: moved.rule.clone(),
            from: moved.from,
            to: moved.to,
            az: moved.to_az(),
        };
        let obstacle = |obstacle: &network_policy::Obstacle| Obstacle {
            decided_by: obstacle.decided_by.as_ref().map(json::Decider::of),
            setting: obstacle.setting.clone(),
        };
        let beyond = |beyond: &network_policy::Beyond| Beyond {
            contract: beyond.contract.to_string(),
            obstacles: beyond.obstacles.iter().map(obstacle).collect(),
        };
        Self {
            summary: summary(repair),
            rules: repair.rules.iter().map(rule).collect(),
            renumbered: repair.renumbered.iter().map(renumbered).collect(),
            repaired: repair.repaired.iter().map(ToString::to_string).collect(),
            open: repair
                .open
                .iter()
                .map(|(contract, open)| Open { contract: contract.to_string(), open: open.clone() })
                .collect(),
            beyond: repair.beyond.iter().map(beyond).collect(),
        }
    }
}

/// What the repair comes to, in one line.
fn summary(repair: &network_policy::Repair) -> String {
    let (rules, repaired, beyond) = (repair.rules.len(), repair.repaired.len(), repair.beyond.len());
    let (rule, contract) = (proof::count(rules, "rule"), proof::count(repaired, "contract"));
    match (rules, beyond) {
        (0, 0) if repair.open.is_empty() => "nothing is refuted".to_owned(),
        (0, _) => "no rule of a network security group repairs what is refuted".to_owned(),
        (_, 0) => format!("{rule} would repair {contract}; proved, and nothing else changes"),
        (_, _) => format!(
            "{rule} would repair {contract}, proved, and nothing else changes; {} need something else",
            proof::count(beyond, "contract")
        ),
    }
}

/// A repair for people.
pub fn text(repair: &network_policy::Repair, language: Language, output: Output) -> String {
    let mut text = format!("\n{} {}\n", output.paint(BOLD, "repair:"), summary(repair));
    for moved in &repair.renumbered {
        let why = format!("# makes room: '{}' moves from {} to {}", line(&moved.rule), moved.from, moved.to);
        let _ = writeln!(text, "\n{}\n{}", output.paint(DIM, &why), moved.to_az());
    }
    for new in &repair.rules {
        text.push('\n');
        for contract in &new.contracts {
            let _ = writeln!(text, "{}", output.paint(DIM, &format!("# for {contract}")));
        }
        let written = match language {
            Language::Az => new.to_az(),
            Language::Arm => new.to_arm_json(),
            Language::Terraform => new.to_terraform(),
        };
        let _ = writeln!(text, "{}", output.paint(GREEN, &written));
    }
    for (contract, open) in &repair.open {
        let _ = writeln!(text, "\n{} {contract}: depends then", output.paint(YELLOW, "?"));
        for open in open {
            let _ = writeln!(text, "    decided by: {}", line(open));
        }
    }
    for beyond in &repair.beyond {
        let mark = output.paint(RED, "✗");
        let _ =
            writeln!(text, "\n{mark} {}: no rule of a network security group repairs it", beyond.contract);
        for obstacle in &beyond.obstacles {
            let by = obstacle.decided_by.as_ref().map(|by| format!("stopped{}; ", super::by(by)));
            let _ = writeln!(text, "    {}{}", by.unwrap_or_default(), line(&obstacle.setting));
        }
    }
    text
}
