//! Three views of the engine's events: a redrawn terminal, plain dated lines, JSON lines.

mod lines;
mod plain;
mod terminal;
#[cfg(test)]
mod tests;

use build_engine::event::{Connection, Event, StepState};
use network_policy::{Protocol, Verdict};

use crate::output::{Format, Output, Verbosity, duration};
use lines::Lines;
use plain::Plain;
use terminal::Terminal;

/// Shows events as they come.
pub trait View: Send + Sync {
    /// Shows one event.
    fn show(&self, event: &Event);
}

/// The view that fits how the program was called.
pub fn view(output: Output) -> Box<dyn View> {
    match output.format {
        Format::Json => Box::new(Lines::new(std::io::stdout())),
        Format::Text if output.interactive && output.verbosity == Verbosity::Normal => {
            Box::new(Terminal::new(indicatif::ProgressDrawTarget::stderr(), output.error_colour))
        }
        Format::Text => Box::new(Plain::new(std::io::stderr(), output.verbosity, jiff::Timestamp::now)),
    }
}

/// Name or address, and port, as a person would write the destination.
pub fn destination(connection: &Connection) -> String {
    let host = match (&connection.name, connection.address) {
        (Some(name), _) => name.clone(),
        (None, Some(std::net::IpAddr::V6(address))) => format!("[{address}]"),
        (None, Some(address)) => address.to_string(),
        (None, None) => "an unknown host".to_owned(),
    };
    match connection.protocol {
        Protocol::Tcp => format!("{host}:{}", connection.port),
        Protocol::Udp => format!("{host}:{}/udp", connection.port),
        Protocol::Icmp => format!("{host} (ICMP)"),
        Protocol::Other(number) => format!("{host} (IP protocol {number})"),
    }
}

/// One line about a connection that was not let through; none for one that was.
fn refusal(connection: &Connection) -> Option<String> {
    let verdict = match connection.decision {
        Verdict::Allowed => return None,
        Verdict::Denied => "refused",
        Verdict::Undecided => "refused, because undecided,",
    };
    Some(format!("{verdict} {} ({})", destination(connection), connection.rule))
}

/// How a step ended: `4.2 s`, `cached, 2 h old`.
fn ending(state: StepState, seconds: Option<f64>, age: Option<u64>) -> String {
    let took = seconds.map(duration);
    match state {
        StepState::Started => "started".to_owned(),
        StepState::Succeeded => took.unwrap_or_else(|| "done".to_owned()),
        StepState::Failed => took.map_or_else(|| "failed".to_owned(), |took| format!("failed after {took}")),
        StepState::Cached => {
            age.map_or_else(|| "cached".to_owned(), |age| format!("cached, {} old", old(age)))
        }
    }
}

fn old(seconds: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "an age for people")]
    duration(seconds as f64)
}

/// Text from inside a build may hold anything; what could move the cursor or colour the terminal is left out.
fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\t' => text.push(' '),
            other if other.is_control() => {}
            other => text.push(other),
        }
    }
    text
}

/// Leaves out a control sequence (ECMA-48: `ESC [`, parameters, one final byte from `@` to `~`).
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if characters.next_if_eq(&'[').is_some() {
        for character in characters.by_ref() {
            if ('@'..='~').contains(&character) {
                break;
            }
        }
    }
}
