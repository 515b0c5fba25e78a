//! Turns values into typed ones and collects everything that is wrong on the way.
//!
//! A reading function takes a [`Node`], asks the [`Reader`] for what should be there and gets `None` when
//! it is not; the reader has then noted why. Nothing stops at the first error.

use std::ops::RangeInclusive;

use crate::{Diagnostic, Kind, Member, Severity, Span, Value, nearest, quote};

/// The most complaints that a [`Reader`] keeps; a hostile text could cause millions.
pub const MAX_DIAGNOSTICS: usize = 200;

/// A value and the path that leads to it.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// The value.
    pub value: &'a Value,
    /// The path, such as `properties.customize[2]`; empty for the whole document.
    pub path: String,
}

impl<'a> Node<'a> {
    /// The whole document.
    pub fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    /// Where the value stands.
    pub fn span(&self) -> Span {
        self.value.span
    }

    /// The value of a member.
    #[must_use]
    pub fn member(&self, member: &'a Member) -> Self {
        Self { value: &member.value, path: join(&self.path, &member.key) }
    }

    /// An item of an array.
    #[must_use]
    pub fn item(&self, index: usize, value: &'a Value) -> Self {
        Self { value, path: format!("{}[{index}]", self.path) }
    }
}

/// The path of a member. A name that is not a plain word is quoted.
fn join(path: &str, key: &str) -> String {
    let plain =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-$".contains(&byte));
    match (plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{}]", quote(key).replace('`', "'")),
    }
}

/// The members of an object whose names have been checked.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    node: Node<'a>,
    members: Vec<(&'static str, &'a Member)>,
}

impl<'a> Fields<'a> {
    /// The object itself.
    pub fn node(&self) -> &Node<'a> {
        &self.node
    }

    /// The member called `name`, which must be one of the allowed names.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        self.member(name).map(|member| self.node.member(member))
    }

    /// The member called `name`, with the place of its name.
    pub fn member(&self, name: &str) -> Option<&'a Member> {
        self.members.iter().find(|(allowed, _)| *allowed == name).map(|&(_, member)| member)
    }

    /// The path that a member called `name` has or would have.
    pub fn path(&self, name: &str) -> String {
        join(&self.node.path, name)
    }

    /// The members that are there, under their right names.
    pub fn present(&self) -> impl Iterator<Item = (&'static str, &'a Member)> + '_ {
        self.members.iter().copied()
    }
}

/// Collects complaints while a document is read.
#[derive(Debug)]
pub struct Reader {
    diagnostics: Vec<Diagnostic>,
    surplus: usize,
    unknown_fields: Severity,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader for which an unknown field is an error.
    pub fn new() -> Self {
        Self { diagnostics: Vec::new(), surplus: 0, unknown_fields: Severity::Error }
    }

    /// Sets how bad an unknown field is. As a warning, a field in the wrong case is used as if it were right.
    pub fn unknown_fields_are(&mut self, severity: Severity) {
        self.unknown_fields = severity;
    }

    /// Notes a complaint. Beyond [`MAX_DIAGNOSTICS`] they are only counted.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        } else {
            self.surplus += 1;
        }
    }

    /// Notes an error about a value, and what is expected there.
    pub fn error(&mut self, code: &'static str, node: &Node<'_>, message: impl Into<String>, expected: &str) {
        self.report(Diagnostic::error(code, node.span(), message).at(&node.path).expecting(expected));
    }

    /// All complaints in the order of the text, errors before warnings at the same place.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics
            .sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.severity != Severity::Error));
        if self.surplus > 0 {
            let message = format!("{} more problems are not shown", self.surplus);
            self.diagnostics.push(Diagnostic::error("too-many", Span::default(), message));
        }
        self.diagnostics
    }

    fn wrong_type(&mut self, node: &Node<'_>, expected: &'static str) {
        self.error("wrong-type", node, format!("this is {}", node.value.describe()), expected);
    }

    /// The members of an object, each of which must be one of `allowed`.
    pub fn fields<'a>(&mut self, node: &Node<'a>, allowed: &[&'static str]) -> Option<Fields<'a>> {
        let Some(object) = node.value.as_object() else {
            self.wrong_type(node, "an object");
            return None;
        };
        let mut members: Vec<(&'static str, &Member)> = Vec::new();
        for member in object {
            if let Some(&name) = allowed.iter().find(|&&name| name == member.key) {
                members.push((name, member));
            }
        }
        for member in object {
            if allowed.contains(&member.key.as_str()) {
                continue;
            }
            let recased = allowed.iter().find(|name| name.eq_ignore_ascii_case(&member.key));
            self.unknown_field(node, member, allowed, recased.copied());
            if let Some(&name) = recased
                && self.unknown_fields == Severity::Warning
                && !members.iter().any(|&(present, _)| present == name)
            {
                members.push((name, member));
            }
        }
        Some(Fields { node: node.clone(), members })
    }

    fn unknown_field(&mut self, node: &Node<'_>, member: &Member, allowed: &[&str], recased: Option<&str>) {
        let key = quote(&member.key);
        let mut diagnostic = match recased {
            Some(right) => {
                Diagnostic::error("wrong-case", member.key_span, format!("{key} is in the wrong case"))
                    .hinting(format!("write `{right}`"))
            }
            None => Diagnostic::error("unknown-field", member.key_span, format!("unknown field {key}")),
        };
        diagnostic.severity = self.unknown_fields;
        if recased.is_none()
            && let Some(right) = nearest(&member.key, allowed.iter().copied())
        {
            diagnostic = diagnostic.hinting(format!("did you mean `{right}`?"));
        }
        let expected = if allowed.is_empty() {
            "no fields here".to_owned()
        } else {
            format!("one of {}", allowed.join(", "))
        };
        self.report(diagnostic.at(join(&node.path, &member.key)).expecting(expected));
    }

    /// The member called `name`; its absence is an error.
    pub fn required<'a>(&mut self, fields: &Fields<'a>, name: &'static str) -> Option<Node<'a>> {
        let found = fields.get(name);
        if found.is_none() {
            // A name in the wrong case has been reported already.
            let recased = fields
                .node
                .value
                .as_object()
                .is_some_and(|object| object.iter().any(|member| member.key.eq_ignore_ascii_case(name)));
            if !recased {
                let span = Span::new(fields.node.span().start, fields.node.span().start + 1);
                self.report(
                    Diagnostic::error("missing-field", span, format!("`{name}` is missing"))
                        .at(fields.path(name))
                        .expecting(format!("a field `{name}`")),
                );
            }
        }
        found
    }

    /// A string.
    pub fn string<'a>(&mut self, node: &Node<'a>) -> Option<&'a str> {
        let text = node.value.as_str();
        if text.is_none() {
            self.wrong_type(node, "a string");
        }
        text
    }

    /// A boolean.
    pub fn boolean(&mut self, node: &Node<'_>) -> Option<bool> {
        if let Kind::Bool(value) = node.value.kind {
            return Some(value);
        }
        self.wrong_type(node, "`true` or `false`");
        None
    }

    /// A whole number within `range`.
    pub fn integer(&mut self, node: &Node<'_>, range: RangeInclusive<i64>) -> Option<i64> {
        let Kind::Number(number) = &node.value.kind else {
            self.wrong_type(node, "a whole number");
            return None;
        };
        let value = number.as_i64().filter(|value| range.contains(value));
        if value.is_none() {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.error("number-range", node, format!("{} is not allowed", quote(number.as_str())), &expected);
        }
        value
    }

    /// The items of an array.
    pub fn array<'a>(&mut self, node: &Node<'a>) -> Option<Vec<Node<'a>>> {
        let Some(items) = node.value.as_array() else {
            self.wrong_type(node, "an array");
            return None;
        };
        Some(items.iter().enumerate().map(|(index, item)| node.item(index, item)).collect())
    }

    /// An array of strings.
    pub fn strings(&mut self, node: &Node<'_>) -> Option<Vec<String>> {
        let items = self.array(node)?;
        let texts: Vec<_> = items.iter().map(|item| self.string(item).map(str::to_owned)).collect();
        texts.into_iter().collect()
    }

    /// An object whose names are free and whose values are strings, in the order of the text.
    pub fn string_map(&mut self, node: &Node<'_>) -> Option<Vec<(String, String)>> {
        let Some(object) = node.value.as_object() else {
            self.wrong_type(node, "an object");
            return None;
        };
        let pairs: Vec<_> = object
            .iter()
            .map(|member| Some((member.key.clone(), self.string(&node.member(member))?.to_owned())))
            .collect();
        pairs.into_iter().collect()
    }

    /// One of the given words, spelt exactly so.
    pub fn one_of<T: Copy>(&mut self, node: &Node<'_>, allowed: &[(&'static str, T)]) -> Option<T> {
        let text = self.string(node)?;
        let found = allowed.iter().find(|(word, _)| *word == text).map(|&(_, value)| value);
        if found.is_none() {
            let words: Vec<_> = allowed.iter().map(|&(word, _)| word).collect();
            let mut diagnostic =
                Diagnostic::error("bad-value", node.span(), format!("{} is not allowed", quote(text)))
                    .at(&node.path)
                    .expecting(format!("one of {}", words.join(", ")));
            if let Some(right) = nearest(text, words.iter().copied()) {
                diagnostic = diagnostic.hinting(format!("did you mean `{right}`?"));
            }
            self.report(diagnostic);
        }
        found
    }
}
