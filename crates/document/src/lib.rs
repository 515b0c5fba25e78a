//! JSON (with comments) and TOML read into values that remember where they stand.
//!
//! Everything that a user writes is read through this crate, so that every complaint can point at a file,
//! a line and a column, say what is allowed there, and name the nearest right spelling. Reading is pure:
//! the caller brings the text, and no text can make a parser panic.

mod diagnostic;
mod json;
mod reader;
mod source;
mod sources;
mod spelling;
mod toml_text;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Severity};
pub use json::{parse_json, parse_lenient_json};
pub use reader::{Fields, MAX_DIAGNOSTICS, Node, Reader};
pub use source::{Position, SourceText, Span};
pub use sources::Sources;
pub use spelling::{nearest, quote};
pub use toml_text::parse_toml;
pub use value::{Kind, Member, Number, Object, Value};

/// The largest text that is read, in bytes: 64 MiB. Azure's own limit for a template is 4 MB; files of
/// service tags and exported resource lists are larger.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The deepest nesting of arrays and objects that is read.
pub const MAX_DEPTH: usize = 128;

/// The most values (members, items, arrays and objects) that a JSON text may hold. A text of [`MAX_BYTES`] could
/// otherwise take gigabytes; an export of 46 MB has a quarter of it.
pub const MAX_VALUES: usize = 6_000_000;

/// What a text was read into. There is no value only when the text is too broken to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The value; present even beside errors that reading could step over.
    pub value: Option<Value>,
    /// What is wrong with the text, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Document {
    fn broken(diagnostic: Diagnostic) -> Self {
        Self { value: None, diagnostics: vec![diagnostic] }
    }
}
