//! How answers about networks are shown, to people and to programs.

pub mod denials;
mod json;
pub mod path;
pub mod proof;

use anstyle::Style;
use network_policy::{Decider, Decision, Direction, Layer, Protocol};

use crate::exit::ExitStatus;
use crate::output::{GREEN, RED, YELLOW};

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

/// `'DenyAll' (priority 4000) of nsg-imagebuilder`; a phrase that stands for a rule has no quotes.
pub fn decider(by: &Decider) -> String {
    let priority = by.priority.map(|priority| format!(" (priority {priority})")).unwrap_or_default();
    let of = if by.resource.is_empty() { String::new() } else { format!(" of {}", by.resource) };
    let rule = if by.rule.contains(' ') { by.rule.clone() } else { format!("'{}'", by.rule) };
    format!("{rule}{priority}{of}")
}

/// The decision's layer and rule.
pub fn decision(decision: &Decision) -> String {
    let Decision { layer: at, resource, rule, .. } = decision;
    let by = Decider { layer: *at, resource: resource.clone(), rule: rule.clone(), priority: None };
    format!("{} ({})", decider(&by), layer(*at))
}
