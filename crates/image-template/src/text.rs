//! Strings of a template, which may stand for something that only a deployment knows.

use std::fmt;

/// A string as it stands in the template. It is *unknown* when it holds a `<placeholder>` that a
/// published sample wants replaced, or is an ARM expression (`[parameters('name')]`), whose value only a
/// deployment knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(String);

/// Why the value of a [`Text`] is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It holds `<...>`, to be replaced before use.
    Placeholder,
    /// It is an ARM template expression.
    Expression,
}

impl Text {
    /// The text as written, known or not.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value, when it is known.
    pub fn known(&self) -> Option<&str> {
        self.unknown().is_none().then_some(self.0.as_str())
    }

    /// Why the value is not known; `None` when it is.
    pub fn unknown(&self) -> Option<Unknown> {
        unknown(&self.0)
    }
}

/// Why `text` has no known value; `None` when it has one.
pub(crate) fn unknown(text: &str) -> Option<Unknown> {
    if text.starts_with('[') && !text.starts_with("[[") && text.ends_with(']') {
        return Some(Unknown::Expression);
    }
    let (_, rest) = text.split_once('<')?;
    rest.find('>').filter(|&end| end > 0).map(|_| Unknown::Placeholder)
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
