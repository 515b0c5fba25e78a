//! How answers about networks are shown, to people and to programs.

pub mod check;
pub mod denials;
pub mod diagnosis;
pub mod excess;
mod json;
pub mod page;
pub mod path;
pub mod proof;
pub mod repair;
pub mod sarif;

use anstyle::Style;
use network_policy::{Decider, Decision, Direction, Layer, LayerDecision, Protocol};

use crate::exit::ExitStatus;
use crate::output::{GREEN, RED, YELLOW, line};

/// The verdict that an exit code stands for, in the words of the JSON contract.
pub fn verdict(status: ExitStatus) -> &'static str {
    match status {
        ExitStatus::Yes => "pass",
        ExitStatus::No => "fail",
        _ => "undecided",
    }
}

/// A mark that is understood without its colour.
pub fn mark(status: ExitStatus) -> (&'static str, Style) {
    match status {
        ExitStatus::Yes => ("✓", GREEN),
        ExitStatus::No => ("✗", RED),
        _ => ("?", YELLOW),
    }
}

/// The word for a direction.
pub fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// The word for a protocol.
pub fn protocol(protocol: Protocol) -> String {
    match protocol {
        Protocol::Tcp => "tcp".to_owned(),
        Protocol::Udp => "udp".to_owned(),
        Protocol::Icmp => "icmp".to_owned(),
        Protocol::Other(number) => format!("ip-{number}"),
    }
}

/// The layer's name in the JSON contract.
pub fn layer_id(layer: Layer) -> &'static str {
    match layer {
        Layer::Admin => "admin",
        Layer::NicNsg => "nic-nsg",
        Layer::SubnetNsg => "subnet-nsg",
        Layer::Route => "route",
        Layer::FirewallNetwork => "firewall-network",
        Layer::FirewallApplication => "firewall-application",
        Layer::Platform => "platform",
    }
}

/// The layer's name for people.
pub fn layer(layer: Layer) -> &'static str {
    match layer {
        Layer::Admin => "security admin rules",
        Layer::NicNsg => "NSG of the interface",
        Layer::SubnetNsg => "NSG of the subnet",
        Layer::Route => "routes",
        Layer::FirewallNetwork => "firewall, network rules",
        Layer::FirewallApplication => "firewall, application rules",
        Layer::Platform => "platform",
    }
}

/// What follows the word of a verdict: ` by 'DenyAll' (priority 4000) of nsg-imagebuilder`, or, where a phrase stands for
/// the rule, `: no rule allows it (fwp-hub)`.
pub fn by(by: &Decider) -> String {
    let Decider { resource, rule, priority, .. } = by;
    let (resource, rule) = (line(resource), line(rule));
    // An id says no more to a person than its last part; JSON has the whole.
    let resource = resource.rsplit('/').next().unwrap_or_default();
    let is_name = priority.is_some() || !rule.contains(' ');
    let priority = priority.map(|priority| format!(" (priority {priority})")).unwrap_or_default();
    match (is_name, resource.is_empty()) {
        (true, true) => format!(" by '{rule}'{priority}"),
        (true, false) => format!(" by '{rule}'{priority} of {resource}"),
        (false, true) => format!(": {rule}"),
        (false, false) => format!(": {rule} ({resource})"),
    }
}

/// Who decided, and in which layer; the path knows the rule's priority.
pub fn decision(decision: &Decision, path: &[LayerDecision]) -> String {
    let Decision { layer: at, resource, rule, .. } = decision;
    let known = path.iter().map(|layer| &layer.decided_by).find(|by| by.layer == *at && by.rule == *rule);
    let priority = known.and_then(|by| by.priority);
    let by = Decider { layer: *at, resource: resource.clone(), rule: rule.clone(), priority };
    format!("{}, {}", self::by(&by), layer(*at))
}
