//! Fields of resources: known, or left open by the documents, or wrong.

use arm::{Inventory, Resource, ResourceId};
use document::{Diagnostic, Kind, Node, Reader, Span, quote};

use crate::address::Address;

/// Reads resources and collects what is wrong with them.
pub(super) struct Scan<'a> {
    pub inventory: &'a Inventory,
    pub reader: Reader,
}

/// A value, or what would have to be known for there to be one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field<T> {
    Known(T),
    Open(String),
}

/// A union of values, and why it may hold more.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Union<T> {
    pub known: Vec<T>,
    pub open: Option<String>,
}

impl<T> Union<T> {
    fn none() -> Self {
        Self { known: Vec::new(), open: None }
    }

    /// Whether nothing at all was given.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.open.is_none()
    }

    /// Both unions.
    pub fn and(mut self, other: Self) -> Self {
        self.known.extend(other.known);
        Self { open: self.open.or(other.open), ..self }
    }
}

impl Union<Address> {
    /// The addresses; what is open is an address that may be any.
    pub fn into_addresses(self) -> Vec<Address> {
        let mut addresses = self.known;
        addresses.extend(self.open.map(open));
        addresses
    }
}

/// An address that may be any, because of `reason`.
pub(super) fn open(reason: String) -> Address {
    Address::IpGroup(reason)
}

/// A resource, rule or collection.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub node: Node<'a>,
}

impl<'a> Item<'a> {
    pub fn new(node: Node<'a>) -> Self {
        Self { node }
    }

    pub fn of(resource: &'a Resource) -> Self {
        Self { node: resource.node() }
    }

    /// A field, ignoring the case of its name.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        self.node.value.as_object()?.find(name).map(|member| self.node.member(member))
    }

    /// The object of a field.
    pub fn inner(&self, name: &str) -> Option<Self> {
        self.get(name).map(Self::new)
    }

    /// A string, when it is there and one.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.value.as_str()
    }

    /// A boolean, when it is there and one.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)?.value.kind {
            Kind::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// The start of the item, for complaints about what is missing in it.
    pub fn start(&self) -> Span {
        let span = self.node.span();
        Span::new(span.start, span.start + 1)
    }
}

impl<'a> Scan<'a> {
    pub fn new(inventory: &'a Inventory) -> Self {
        Self { inventory, reader: Reader::new() }
    }

    /// Why a value is not known, with its place.
    pub fn reason(&self, node: &Node<'_>) -> Option<String> {
        let reason = node.value.unknown_because()?;
        Some(format!("{reason} ({})", self.inventory.sources().place(node.span())))
    }

    /// Notes that documents do not tell something, which leaves answers open.
    pub fn warn(&mut self, span: Span, message: impl Into<String>, hint: &str) {
        self.reader.report(Diagnostic::warning("unknown-value", span, message).hinting(hint));
    }

    /// The items of a list; what is open of it.
    pub fn items<'i>(&mut self, item: &Item<'i>, name: &str) -> Union<Item<'i>> {
        let Some(node) = item.get(name) else { return Union::none() };
        if let Some(reason) = self.reason(&node) {
            return Union { known: Vec::new(), open: Some(reason) };
        }
        let mut union = Union::none();
        for node in self.reader.array(&node).unwrap_or_default() {
            match self.reason(&node) {
                Some(reason) => union.open = Some(reason),
                None => union.known.push(Item::new(node)),
            }
        }
        union
    }

    /// Why a list whose items are resources of their own is not known; an error when it is no list.
    pub fn open_list(&mut self, item: &Item<'_>, name: &str) -> Option<String> {
        let node = item.get(name)?;
        let reason = self.reason(&node);
        if reason.is_none() {
            self.reader.error("wrong-type", &node, format!("this is {}", node.value.describe()), "an array");
        }
        reason
    }

    /// The last part of the item's name, else of its id; the absence of both is an error.
    pub fn name(&mut self, item: &Item<'_>) -> Option<String> {
        let node = match (item.get("name"), item.get("id")) {
            (None, Some(id)) => id,
            _ => self.required(item, "name")?,
        };
        if node.value.unknown_because().is_some() {
            return Some("a name that is not known".to_owned());
        }
        let text = self.reader.string(&node)?;
        Some(text.rsplit('/').next().unwrap_or(text).to_owned())
    }

    /// A field that has to be there.
    pub fn required<'i>(&mut self, item: &Item<'i>, name: &str) -> Option<Node<'i>> {
        let found = item.get(name);
        if found.is_none() {
            self.reader.report(
                Diagnostic::error("missing-field", item.start(), format!("`{name}` is missing"))
                    .at(&item.node.path)
                    .expecting(format!("a field `{name}`")),
            );
        }
        found
    }

    /// A string or number.
    pub fn literal(&mut self, node: &Node<'_>) -> Option<Field<String>> {
        if let Kind::Number(number) = &node.value.kind {
            return Some(Field::Known(number.as_str().to_owned()));
        }
        if let Some(reason) = self.reason(node) {
            return Some(Field::Open(reason));
        }
        self.reader.string(node).map(|text| Field::Known(text.to_owned()))
    }

    /// One of several words, ignoring case.
    pub fn word<T: Copy>(
        &mut self,
        item: &Item<'_>,
        name: &str,
        words: &[(&'static str, T)],
    ) -> Option<Field<T>> {
        let node = self.required(item, name)?;
        let text = match self.literal(&node)? {
            Field::Known(text) => text,
            Field::Open(reason) => return Some(Field::Open(reason)),
        };
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)).map(|&(_, value)| value);
        if found.is_none() {
            let allowed: Vec<_> = words.iter().map(|&(word, _)| word).collect();
            self.refuse(&node, &text, &format!("one of {}", allowed.join(", ")), &allowed);
        }
        found.map(Field::Known)
    }

    /// A priority: a whole number, which some exports write as a string. Its range is the caller's matter.
    pub fn priority(&mut self, item: &Item<'_>) -> Option<Field<u16>> {
        let node = self.required(item, "priority")?;
        let text = match self.literal(&node)? {
            Field::Known(text) => text,
            Field::Open(reason) => return Some(Field::Open(reason)),
        };
        let number = text.parse().ok();
        if number.is_none() {
            self.refuse(&node, &text, "a whole number", &[]);
        }
        number.map(Field::Known)
    }

    /// The union of fields, each one value or a list; `None` after an error.
    pub fn union<T, E: ToString>(
        &mut self,
        item: &Item<'_>,
        fields: &[&str],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Union<T>> {
        let mut union = Some(Union::none());
        for node in fields.iter().filter_map(|field| item.get(field)) {
            let nodes = match &node.value.kind {
                Kind::Array(items) => items.iter().enumerate().map(|(i, item)| node.item(i, item)).collect(),
                _ => vec![node],
            };
            for node in nodes {
                match (self.parsed(&node, &parse), &mut union) {
                    (Some(Field::Known(value)), Some(union)) => union.known.push(value),
                    (Some(Field::Open(reason)), Some(union)) => union.open = Some(reason),
                    _ => union = None,
                }
            }
        }
        union
    }

    fn parsed<T, E: ToString>(
        &mut self,
        node: &Node<'_>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Field<T>> {
        let text = match self.literal(node)? {
            Field::Known(text) => text,
            Field::Open(reason) => return Some(Field::Open(reason)),
        };
        match parse(&text) {
            Ok(value) => Some(Field::Known(value)),
            Err(error) => {
                let error = Diagnostic::error("unknown-value", node.span(), error.to_string());
                self.reader.report(error.at(&node.path));
                None
            }
        }
    }

    /// The resource that a reference `{"id": ...}` means: its id, or why that is not known. `None` when there is no
    /// reference.
    pub fn reference(&mut self, item: &Item<'_>, name: &str) -> Option<Field<ResourceId>> {
        let node = item.get(name)?;
        let node = match Item::new(node.clone()).get("id") {
            Some(id) => id,
            None => node,
        };
        let text = match self.literal(&node)? {
            Field::Known(text) => text,
            Field::Open(reason) => return Some(Field::Open(reason)),
        };
        match ResourceId::parse(&text) {
            Ok(id) => Some(Field::Known(id)),
            Err(error) => {
                let error =
                    Diagnostic::error("resource-id", node.span(), format!("{}: {error}", quote(&text)));
                self.reader.report(error.at(&node.path));
                None
            }
        }
    }

    /// Notes that a rule says nothing where silence never means "any".
    pub fn nothing(&mut self, item: &Item<'_>, what: &str, field: &str) {
        self.reader.report(
            Diagnostic::error("missing-field", item.start(), format!("the rule names no {what}"))
                .at(&item.node.path)
                .expecting(format!("a field `{field}` that is not empty"))
                .hinting("write `*` for any"),
        );
    }

    pub fn refuse(&mut self, node: &Node<'_>, text: &str, expected: &str, allowed: &[&str]) {
        let mut diagnostic =
            Diagnostic::error("unknown-value", node.span(), format!("{} is not allowed", quote(text)))
                .at(&node.path)
                .expecting(expected);
        if let Some(right) = document::nearest(text, allowed.iter().copied()) {
            diagnostic = diagnostic.hinting(format!("did you mean `{right}`?"));
        }
        self.reader.report(diagnostic);
    }
}
