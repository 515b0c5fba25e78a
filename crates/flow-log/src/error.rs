//! What is wrong with a log, and where.

use document::{Diagnostic, Position, SourceText};

/// Why a text is not a flow log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LogError {
    /// Where it stands in the whole log.
    pub position: Position,
    /// What is wrong.
    pub message: String,
    /// What is allowed there.
    pub expected: Option<String>,
}

impl LogError {
    pub(crate) fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into(), expected: None }
    }

    pub(crate) fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// A complaint about a place in a record that begins at `start` of the log.
    pub(crate) fn within(start: Position, record: &SourceText, found: &Diagnostic) -> Self {
        Self {
            position: moved(start, record.position(found.span.start)),
            message: found.message.clone(),
            expected: found.expected.clone(),
        }
    }
}

/// A place of a record as a place of the log.
pub(crate) fn moved(start: Position, inside: Position) -> Position {
    match inside.line {
        1 => Position { line: start.line, column: start.column + inside.column - 1 },
        _ => Position { line: start.line + inside.line - 1, column: inside.column },
    }
}
