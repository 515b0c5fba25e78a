//! Fields as Azure's many JSON shapes write them: in `properties` or flat, in any case, absent in four ways.

use document::{Diagnostic, Kind, Node, Reader, Value, quote};

/// A resource, rule or collection.
#[derive(Clone)]
pub(super) struct Item<'a> {
    pub node: Node<'a>,
}

impl<'a> Item<'a> {
    pub fn new(node: Node<'a>) -> Self {
        Self { node }
    }

    /// A field of `properties` or of the item itself. `null`, `""` and `[]` are how ARM writes an absent one.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        let inner = member(&self.node, "properties").and_then(|properties| member(&properties, name));
        inner.or_else(|| member(&self.node, name)).filter(|node| !is_absent(node.value))
    }

    /// The items of an array field; none when it is absent.
    pub fn items(&self, reader: &mut Reader, name: &str) -> Vec<Self> {
        let Some(node) = self.get(name) else { return Vec::new() };
        if expression(node.value) {
            unevaluated(reader, &node);
            return Vec::new();
        }
        reader.array(&node).unwrap_or_default().into_iter().map(Self::new).collect()
    }

    /// A string, when it is there and one.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.value.as_str()
    }

    /// The last part of the item's name; its absence is an error.
    pub fn name(&self, reader: &mut Reader) -> Option<String> {
        let node = self.required(reader, "name")?;
        let text = reader.string(&node)?;
        Some(if expression(node.value) { text } else { last_segment(text) }.to_owned())
    }

    /// The name a resource is known by, for messages and for children that point at it.
    pub fn label(&self) -> String {
        let named = self.text("name").or_else(|| self.text("id")).unwrap_or("unnamed");
        last_segment(named).to_owned()
    }

    /// A field that has to be there.
    pub fn required(&self, reader: &mut Reader, name: &str) -> Option<Node<'a>> {
        let found = self.get(name);
        if found.is_none() {
            let span = document::Span::new(self.node.span().start, self.node.span().start + 1);
            reader.report(
                Diagnostic::error("missing-field", span, format!("`{name}` is missing"))
                    .at(&self.node.path)
                    .expecting(format!("a field `{name}`")),
            );
        }
        found
    }

    /// One of several words, ignoring case.
    pub fn word<T: Copy>(&self, reader: &mut Reader, name: &str, words: &[(&'static str, T)]) -> Option<T> {
        let node = self.required(reader, name)?;
        let text = literal(reader, &node)?;
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)).map(|&(_, value)| value);
        if found.is_none() {
            let allowed: Vec<_> = words.iter().map(|&(word, _)| word).collect();
            refuse(reader, &node, &text, &format!("one of {}", allowed.join(", ")), &allowed);
        }
        found
    }

    /// A priority: a whole number, which some exports write as a string. Its range is the caller's matter.
    pub fn priority(&self, reader: &mut Reader) -> Option<u16> {
        let node = self.required(reader, "priority")?;
        let text = literal(reader, &node)?;
        let number = text.parse().ok();
        if number.is_none() {
            refuse(reader, &node, &text, "a whole number", &[]);
        }
        number
    }

    /// The union of fields, each one value or a list; `None` after an error. Nothing at all is an empty list.
    pub fn union<T, E: ToString>(
        &self,
        reader: &mut Reader,
        fields: &[&str],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let mut union = Some(Vec::new());
        for node in fields.iter().filter_map(|field| self.get(field)) {
            let nodes = match &node.value.kind {
                Kind::Array(items) => items.iter().enumerate().map(|(i, item)| node.item(i, item)).collect(),
                _ => vec![node],
            };
            for node in nodes {
                let parsed = literal(reader, &node).and_then(|text| match parse(&text) {
                    Ok(value) => Some(value),
                    Err(error) => {
                        reader.report(
                            Diagnostic::error("unknown-value", node.span(), error.to_string()).at(&node.path),
                        );
                        None
                    }
                });
                match (parsed, &mut union) {
                    (Some(value), Some(list)) => list.push(value),
                    _ => union = None,
                }
            }
        }
        union
    }

    /// Notes that a rule says nothing where silence never means "any".
    pub fn nothing(&self, reader: &mut Reader, what: &str, field: &str) {
        let span = document::Span::new(self.node.span().start, self.node.span().start + 1);
        reader.report(
            Diagnostic::error("missing-field", span, format!("the rule names no {what}"))
                .at(&self.node.path)
                .expecting(format!("`{field}` or its plural form"))
                .hinting("write `*` for any"),
        );
    }
}

fn member<'a>(node: &Node<'a>, name: &str) -> Option<Node<'a>> {
    let object = node.value.as_object()?;
    let exact = object.iter().find(|member| member.key == name);
    let found = exact.or_else(|| object.iter().find(|member| member.key.eq_ignore_ascii_case(name)))?;
    Some(node.member(found))
}

fn is_absent(value: &Value) -> bool {
    match &value.kind {
        Kind::Null => true,
        Kind::String(text) => text.is_empty(),
        Kind::Array(items) => items.is_empty(),
        Kind::Bool(_) | Kind::Number(_) | Kind::Object(_) | Kind::Unknown(_) => false,
    }
}

pub(super) fn last_segment(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

/// Whether a value is an ARM expression, `[...]`; `[[` is an escaped bracket.
pub(super) fn expression(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with('[') && !text.starts_with("[[") && text.ends_with(']'))
}

/// Notes that a value would have to be evaluated.
pub(super) fn unevaluated(reader: &mut Reader, node: &Node<'_>) {
    reader.report(
        Diagnostic::error("unknown-value", node.span(), "this value is an expression, so it is not known")
            .at(&node.path)
            .expecting("a literal value")
            .hinting("export the deployed resource, or write the value out"),
    );
}

/// A string or number that is not an expression.
pub(super) fn literal(reader: &mut Reader, node: &Node<'_>) -> Option<String> {
    if let Kind::Number(number) = &node.value.kind {
        return Some(number.as_str().to_owned());
    }
    if expression(node.value) {
        unevaluated(reader, node);
        return None;
    }
    reader.string(node).map(str::to_owned)
}

pub(super) fn refuse(reader: &mut Reader, node: &Node<'_>, text: &str, expected: &str, allowed: &[&str]) {
    let mut diagnostic =
        Diagnostic::error("unknown-value", node.span(), format!("{} is not allowed", quote(text)))
            .at(&node.path)
            .expecting(expected);
    if let Some(right) = document::nearest(text, allowed.iter().copied()) {
        diagnostic = diagnostic.hinting(format!("did you mean `{right}`?"));
    }
    reader.report(diagnostic);
}
