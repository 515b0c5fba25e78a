//! Three views of the engine's events: a redrawn terminal, plain dated lines, JSON lines. The first shows work in Azure, too.

mod azure;
mod lines;
mod plain;
mod terminal;
#[cfg(test)]
mod tests;

use build_engine::egress::sentence;
use build_engine::event::{Connection, Event, StepState};

use crate::output::{Format, Output, Verbosity, duration};
use lines::Lines;
use plain::Plain;

pub use terminal::Terminal;

/// Shows events as they come.
pub trait View: Send + Sync {
    /// Shows one event.
    fn show(&self, event: &Event);
}

/// A line that is redrawn for work in Azure, where somebody watches.
pub fn watched(output: Output) -> Option<Terminal> {
    let watched =
        output.format == Format::Text && output.interactive && output.verbosity == Verbosity::Normal;
    watched.then(|| Terminal::new(indicatif::ProgressDrawTarget::stderr(), output.error_colour))
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

/// One line about a connection that was kept from leaving; none for one that was let through, nor for the question
/// about a name, since what matters is whether it is then dialled.
fn refusal(connection: &Connection) -> Option<String> {
    (connection.refused && connection.protocol != "dns").then(|| sentence(connection))
}

/// Name or address, and port.
fn destination(connection: &Connection) -> String {
    let address = connection.address.map(|address| address.to_string());
    let host = connection.name.clone().or(address).unwrap_or_default();
    format!("{host}:{}/{}", connection.port, connection.protocol)
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
