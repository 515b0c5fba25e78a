//! What every part of the reading needs: the reader, the API version, and strings that may be unknown.

use std::ops::RangeInclusive;

use document::{Diagnostic, Fields, Kind, Node, Reader, Severity, Span, quote};

use crate::text::{Unknown, unknown};
use crate::{ApiVersion, Tags, Text};

/// A field and the API version that brought it.
pub(super) type Field = (&'static str, ApiVersion);

/// The version of the fields that were there from the start. Previews are read as if they had them.
pub(super) const FIRST: ApiVersion = ApiVersion::V2020_02_14;

/// What was wrong has been reported; there is no value.
pub(super) struct Reported;

pub(super) struct Context {
    pub reader: Reader,
    pub version: ApiVersion,
    /// Whether the resource stands in an ARM template, where every string in brackets is an expression.
    pub in_arm_template: bool,
}

/// A field that may be absent; the service takes an empty string for an absent one.
pub(super) fn optional<'a>(fields: &Fields<'a>, name: &str) -> Option<Node<'a>> {
    fields.get(name).filter(|node| node.value.as_str() != Some(""))
}

impl Context {
    pub(super) fn new(version: ApiVersion, in_arm_template: bool) -> Self {
        let mut context = Self { reader: Reader::new(), version: FIRST, in_arm_template };
        context.set_version(version);
        context
    }

    pub(super) fn set_version(&mut self, version: ApiVersion) {
        self.version = version;
        let severity = if version.is_strict() { Severity::Error } else { Severity::Warning };
        self.reader.unknown_fields_are(severity);
    }

    pub(super) fn error(
        &mut self,
        code: &'static str,
        node: &Node<'_>,
        message: impl Into<String>,
        expected: &str,
    ) {
        self.reader.error(code, node, message, expected);
    }

    pub(super) fn warn(
        &mut self,
        code: &'static str,
        span: Span,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.reader.report(Diagnostic::warning(code, span, message).at(path).hinting(hint));
    }

    /// Why the value of a node is not known; `None` when it is.
    fn unknown(node: &Node<'_>) -> Option<Unknown> {
        node.value.as_str().and_then(unknown)
    }

    /// Whether an object or array is an expression or a placeholder, which is then an error: what it holds
    /// decides what the template means.
    fn not_literal(&mut self, node: &Node<'_>) -> bool {
        let found = Self::unknown(node).is_some();
        if found {
            let message =
                format!("{} is not known before a deployment", quote(node.value.as_str().unwrap_or("")));
            self.error("not-literal", node, message, "the value itself, not an expression or a placeholder");
        }
        found
    }

    /// Whether a scalar is not known; then a warning, and `assumed` is what is assumed in its place.
    fn not_known(&mut self, node: &Node<'_>, assumed: &str) -> bool {
        let Some(reason) = Self::unknown(node) else { return false };
        let (what, hint) = match reason {
            Unknown::Placeholder => ("a placeholder", "replace it before building in Azure"),
            Unknown::Expression => ("an expression", "only literal values are read here"),
        };
        let shown = quote(node.value.as_str().unwrap_or(""));
        let message = format!("{shown} is {what}: its value is not known, and {assumed}");
        self.warn("not-known", node.span(), &node.path, message, hint);
        true
    }

    /// The members of an object. A field that came after the template's API version is an error.
    pub(super) fn fields<'a>(&mut self, node: &Node<'a>, table: &[Field]) -> Option<Fields<'a>> {
        if self.not_literal(node) {
            return None;
        }
        let names: Vec<_> = table.iter().map(|&(name, _)| name).collect();
        let fields = self.reader.fields(node, &names)?;
        let in_force = self.version.max(FIRST);
        for (name, member) in fields.present() {
            if let Some(&(_, since)) = table.iter().find(|&&(own, since)| own == name && since > in_force) {
                let path = fields.path(name);
                self.too_new(member.key_span, &path, &format!("field `{name}`"), since);
            }
        }
        Some(fields)
    }

    /// Notes that something needs a later API version than the template's.
    pub(super) fn too_new(&mut self, span: Span, path: &str, what: &str, since: ApiVersion) {
        let message = format!("{what} came with API version {since}; this template is for {}", self.version);
        self.reader.report(
            Diagnostic::error("needs-newer-api", span, message)
                .at(path)
                .expecting(format!("`apiVersion` {since} or later"))
                .hinting(format!("set `apiVersion` to `{since}` or later, or remove it")),
        );
    }

    pub(super) fn array<'a>(&mut self, node: &Node<'a>) -> Option<Vec<Node<'a>>> {
        if self.not_literal(node) { None } else { self.reader.array(node) }
    }

    /// A string that need not be known. An empty one is an error.
    pub(super) fn text(&mut self, node: &Node<'_>) -> Option<Text> {
        self.shaped(node, "a string that is not empty", |_| true)
    }

    /// A string of a certain shape, when it is known.
    pub(super) fn shaped(
        &mut self,
        node: &Node<'_>,
        expected: &str,
        right: impl FnOnce(&str) -> bool,
    ) -> Option<Text> {
        let text = self.reader.string(node)?;
        if self.not_known(node, "its rules are not checked") {
            return Some(text.into());
        }
        if text.is_empty() || !right(text) {
            let message = if text.is_empty() {
                "this is empty".to_owned()
            } else {
                format!("{} is not allowed", quote(text))
            };
            self.error("bad-value", node, message, expected);
            return None;
        }
        Some(text.into())
    }

    /// A required string that need not be known.
    pub(super) fn required_text(&mut self, fields: &Fields<'_>, name: &'static str) -> Option<Text> {
        let node = self.reader.required(fields, name)?;
        self.text(&node)
    }

    /// A resource id of one type, when it is known.
    pub(super) fn resource_id(
        &mut self,
        node: &Node<'_>,
        resource_type: &str,
        example: &str,
    ) -> Option<Text> {
        let text = self.reader.string(node)?;
        if self.not_known(node, "its rules are not checked") {
            return Some(text.into());
        }
        let problem = match arm::ResourceId::parse(text) {
            Ok(id) if id.is_type(resource_type) => return Some(text.into()),
            Ok(id) => {
                let found = id.resource_type().unwrap_or_else(|| "a scope without a resource".to_owned());
                format!("this is the id of {}, not of {resource_type}", quote(&found))
            }
            Err(error) => format!("this is not a resource id: {error}"),
        };
        self.error("bad-resource-id", node, problem, example);
        None
    }

    pub(super) fn boolean(&mut self, fields: &Fields<'_>, name: &str) -> bool {
        let Some(node) = fields.get(name) else { return false };
        if self.not_known(&node, "`false` is assumed") {
            return false;
        }
        self.reader.boolean(&node).unwrap_or(false)
    }

    /// A whole number, `default` when it is absent or not known.
    pub(super) fn integer(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> u32 {
        let Some(node) = fields.get(name) else { return default };
        if self.not_known(&node, &format!("{default} is assumed")) {
            return default;
        }
        let range = i64::from(*range.start())..=i64::from(*range.end());
        self.reader.integer(&node, range).and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    }

    /// One of the service's words; exact in its case.
    pub(super) fn one_of<T: Copy>(&mut self, node: &Node<'_>, allowed: &[(&'static str, T)]) -> Option<T> {
        if self.not_literal(node) { None } else { self.reader.one_of(node, allowed) }
    }

    /// The discriminator `type` of an object, before its fields are looked at.
    pub(super) fn discriminator<T: Copy>(
        &mut self,
        node: &Node<'_>,
        allowed: &[(&'static str, T)],
    ) -> Option<T> {
        if self.not_literal(node) {
            return None;
        }
        let object = node.value.as_object()?;
        // In lenient versions a wrongly cased name is reported with the other fields, and counts.
        let exact = object.iter().find(|member| member.key == "type");
        let member = exact.or_else(|| object.iter().find(|member| member.key.eq_ignore_ascii_case("type")));
        if let Some(member) = member {
            return self.one_of(&node.member(member), allowed);
        }
        let words: Vec<_> = allowed.iter().map(|&(word, _)| word).collect();
        let span = Span::new(node.span().start, node.span().start + 1);
        self.reader.report(
            Diagnostic::error("missing-field", span, "`type` is missing")
                .at(format!("{}.type", node.path))
                .expecting(format!("a field `type`, one of {}", words.join(", "))),
        );
        None
    }

    pub(super) fn tags(&mut self, fields: &Fields<'_>, name: &str) -> Tags {
        let Some(node) = fields.get(name) else { return Tags::new() };
        if self.not_known(&node, "no tags are assumed") {
            return Tags::new();
        }
        let Kind::Object(object) = &node.value.kind else {
            self.error(
                "wrong-type",
                &node,
                format!("this is {}", node.value.describe()),
                "an object of strings",
            );
            return Tags::new();
        };
        let mut tags = Tags::new();
        for member in object {
            let node = node.member(member);
            if let Some(text) = self.reader.string(&node) {
                self.not_known(&node, "its rules are not checked");
                tags.insert(member.key.clone(), text.into());
            }
        }
        tags
    }
}
