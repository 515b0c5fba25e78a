//! How answers about networks are shown, to people and to programs.

pub mod denials;

use anstyle::Style;
use network_policy::{Direction, Protocol};

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
