//! What is wrong with an expression, before it is known where in a file that stands.

use std::ops::Range;

use document::{Diagnostic, Span};

/// An error of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault(Box<Inner>);

/// Boxed, because it is rare and would make every result large.
#[derive(Debug, Clone, PartialEq)]
struct Inner {
    code: &'static str,
    message: String,
    expected: Option<String>,
    hint: Option<String>,
    place: Option<Range<usize>>,
}

impl Fault {
    /// An error of a kind; see [`Diagnostic::code`].
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { code, message: message.into(), expected: None, hint: None, place: None }))
    }

    /// An argument that a function cannot take.
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new("wrong-argument", message)
    }

    /// The same error, saying what is allowed.
    #[must_use]
    pub fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    /// The same error, with advice.
    #[must_use]
    pub fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error at bytes of the expression, unless it has a nearer place already.
    #[must_use]
    pub fn at(mut self, place: Range<usize>) -> Self {
        self.0.place.get_or_insert(place);
        self
    }

    /// The bytes of the expression.
    pub fn place(&self) -> Option<Range<usize>> {
        self.0.place.clone()
    }

    /// What is wrong.
    #[cfg(test)]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The error at a place in the sources.
    pub fn diagnostic(self, span: Span) -> Diagnostic {
        let Inner { code, message, expected, hint, .. } = *self.0;
        Diagnostic { expected, hint, ..Diagnostic::error(code, span, message) }
    }
}
