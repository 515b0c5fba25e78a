//! What is wrong with a text, where, and what would be right.

use std::fmt::Write as _;

use crate::{SourceText, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The document can be used; its author would want to know.
    Warning,
    /// The document cannot be used.
    Error,
}

/// One complaint about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable name of the kind of complaint, such as `unknown-field`.
    pub code: &'static str,
    /// What is wrong, as a lower-case sentence.
    pub message: String,
    /// The value complained about, such as `properties.customize[2].inline`; empty for the whole document.
    pub path: String,
    /// Where it stands.
    pub span: Span,
    /// What is allowed there.
    pub expected: Option<String>,
    /// What to write instead, or what to do.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at the top of a document; the other parts are set by the methods below.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            path: String::new(),
            span,
            expected: None,
            hint: None,
        }
    }

    /// A warning at the top of a document.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// The same complaint about the value at `path`.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same complaint, saying what is allowed.
    #[must_use]
    pub fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// The same complaint, with advice.
    #[must_use]
    pub fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the document cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The complaint as plain text: place, message, the line with a mark, then what is allowed and the hint.
    /// Ends with a newline.
    pub fn render(&self, source: &SourceText) -> String {
        const WIDTH: usize = 120;
        let at = source.position(self.span.start);
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let mut out = format!(
            "{}:{}:{}: {severity}: {} [{}]\n",
            source.name(),
            at.line,
            at.column,
            on_one_line(&self.message),
            self.code
        );
        // A long line is shown from just before the place that matters.
        let skip = (at.column - 1).saturating_sub(WIDTH / 2);
        let line: String = source.line(at.line).chars().skip(skip).take(WIDTH).collect();
        let line = on_one_line(&line);
        let rest = line.chars().count().saturating_sub(at.column - 1 - skip);
        let covered = source.text().get(self.span.start..self.span.end).unwrap_or_default();
        let mark = covered.lines().next().map_or(0, |text| text.chars().count()).clamp(1, rest.max(1));
        let gutter = " ".repeat(at.line.to_string().len());
        let _ = writeln!(out, " {} | {line}", at.line);
        let _ = writeln!(out, " {gutter} | {}{}", " ".repeat(at.column - 1 - skip), "^".repeat(mark));
        let notes = [
            ("at", (!self.path.is_empty()).then_some(&self.path)),
            ("expected", self.expected.as_ref()),
            ("hint", self.hint.as_ref()),
        ];
        for (label, text) in notes {
            if let Some(text) = text {
                let _ = writeln!(out, " {gutter} = {label}: {}", on_one_line(text));
            }
        }
        out
    }
}

/// Messages hold names that documents chose: no part of one may pass for a line of its own.
fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
