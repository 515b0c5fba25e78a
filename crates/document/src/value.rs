//! Values that remember where they stand.

use crate::Span;

/// A value and the place it was read from. Values that a program makes have the empty span at 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Where the value stands.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `null`; TOML has none.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string. A TOML date or time is a string too.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// Named members.
    Object(Object),
    /// A value that is not known, and why. No text holds one: readers put it in the place of what they could
    /// not evaluate.
    Unknown(String),
}

/// A number in JSON's spelling, kept as text so that none is too large or too precise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(pub(crate) String);

impl Number {
    /// A number in JSON's spelling; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        match crate::parse_json(&crate::SourceText::new("", text)).value?.kind {
            Kind::Number(number) if number.0 == text => Some(number),
            _ => None,
        }
    }

    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number, when it is a whole one that fits. `1.0` and `1e3` are not whole numbers here.
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The nearest floating point number; `None` when it is beyond the largest.
    pub fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

/// The members of an object, in the order of the text, each name once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object {
    pub(crate) members: Vec<Member>,
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The name.
    pub key: String,
    /// Where the name stands.
    pub key_span: Span,
    /// The value.
    pub value: Value,
}

impl Object {
    /// The members in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.members.iter()
    }

    /// An object of these members. Their names must differ.
    pub fn of(members: Vec<Member>) -> Self {
        Self { members }
    }

    /// The member called `key`, spelt exactly so, else the first that differs only in case.
    pub fn find(&self, key: &str) -> Option<&Member> {
        let exact = self.members.iter().find(|member| member.key == key);
        exact.or_else(|| self.members.iter().find(|member| member.key.eq_ignore_ascii_case(key)))
    }

    /// The value of `key`, spelt exactly so.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.members.iter().find(|member| member.key == key).map(|member| &member.value)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl IntoIterator for Object {
    type Item = Member;
    type IntoIter = std::vec::IntoIter<Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = &'a Member;
    type IntoIter = std::slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Value {
    /// A value made by a program.
    pub fn new(kind: Kind) -> Self {
        Self { span: Span::default(), kind }
    }

    /// An object made by a program. Names must differ; a later one of the same name is dropped.
    pub fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        let mut object = Object::default();
        for (key, value) in members {
            let key = key.into();
            if object.get(&key).is_none() {
                object.members.push(Member { key, key_span: Span::default(), value });
            }
        }
        Self::new(Kind::Object(object))
    }

    /// An array made by a program.
    pub fn array(items: impl IntoIterator<Item = Self>) -> Self {
        Self::new(Kind::Array(items.into_iter().collect()))
    }

    /// A value at `span` that is not known.
    pub fn unknown(span: Span, reason: impl Into<String>) -> Self {
        Self { span, kind: Kind::Unknown(reason.into()) }
    }

    /// The value with every place in it moved by `offset` bytes.
    pub(crate) fn shift(&mut self, offset: usize) {
        self.span = self.span.moved(offset);
        match &mut self.kind {
            Kind::Array(items) => items.iter_mut().for_each(|item| item.shift(offset)),
            Kind::Object(object) => {
                for member in &mut object.members {
                    member.key_span = member.key_span.moved(offset);
                    member.value.shift(offset);
                }
            }
            _ => {}
        }
    }

    /// Why the value is not known; `None` when it is.
    pub fn unknown_because(&self) -> Option<&str> {
        match &self.kind {
            Kind::Unknown(reason) => Some(reason),
            _ => None,
        }
    }

    /// The string, when it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members, when it is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match &self.kind {
            Kind::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The items, when it is an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The member `key` of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    /// What the value is, for a sentence: `a string`.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::Array(_) => "an array",
            Kind::Object(_) => "an object",
            Kind::Unknown(_) => "a value that is not known",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::new(Kind::String(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::new(Kind::String(text))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::new(Kind::Bool(value))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::new(Kind::Number(Number(number.to_string())))
    }
}
