//! Values of expressions: cheap to copy, measured, and honest about what is not known.

use std::rc::Rc;

use document::{Kind, Member, Number, Object, Span, Value};

use super::fault::Fault;

/// The largest value, in bytes: Azure's limit of a template with everything in it evaluated ("ARM template limits").
pub const MAX_SIZE: usize = 4 * 1024 * 1024;

/// The deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 100;

/// The longest symbol, in bytes.
const MAX_SYMBOL: usize = 2048;

/// A value, where it was written, and whether Azure may know more of it.
#[derive(Debug, Clone)]
pub struct Val {
    pub span: Span,
    pub data: Data,
    /// What the value is part of, when it describes a resource: Azure adds fields of its own to that.
    pub open: Option<Rc<str>>,
}

/// What a value is.
#[derive(Debug, Clone)]
pub enum Data {
    Null,
    Bool(bool),
    Integer(i64),
    /// Any other number.
    Float(Number),
    Text(Rc<str>),
    Array(Rc<List>),
    Object(Rc<Fields>),
    Unknown(Rc<Unknown>),
}

/// What is not known.
#[derive(Debug, Clone, PartialEq)]
pub struct Unknown {
    /// A phrase for what would have to be known.
    pub reason: Rc<str>,
    /// A text that stands for the value wherever it is the same, such as `{parameters('name')}`, so that what has
    /// this name is still found by it. A part in braces, or `*`, is what is not known.
    pub symbol: Option<Rc<str>>,
    /// Whether the reason is that the value was asked for on the way to itself.
    pub circular: bool,
}

/// The items of an array.
#[derive(Debug)]
pub struct List {
    pub items: Vec<Val>,
    measure: Measure,
}

/// The members of an object.
#[derive(Debug)]
pub struct Fields {
    pub members: Vec<Field>,
    measure: Measure,
    /// Whether this is told whole, though it is part of what Azure knows more about: outputs of a deployment.
    pub sealed: bool,
}

/// A member of an object.
#[derive(Debug, Clone)]
pub struct Field {
    pub key: Rc<str>,
    pub key_span: Span,
    pub value: Val,
}

/// What is known about the inside of a value without looking again.
#[derive(Debug, Clone, Default)]
struct Measure {
    size: usize,
    depth: usize,
    unknown: Option<Rc<Unknown>>,
}

impl Measure {
    fn of<'a>(values: impl Iterator<Item = &'a Val>) -> Result<Self, Fault> {
        let mut all = Self { size: 2, depth: 0, unknown: None };
        for value in values {
            all.size = all.size.saturating_add(value.size());
            all.depth = all.depth.max(value.depth());
            if all.unknown.is_none() {
                all.unknown = value.unknown_inside().cloned();
            }
        }
        all.depth += 1;
        if all.size > MAX_SIZE {
            return Err(too_large());
        }
        if all.depth > MAX_DEPTH {
            return Err(Fault::new("too-deep", "the value is nested too deeply")
                .expecting(format!("at most {MAX_DEPTH} levels")));
        }
        Ok(all)
    }
}

/// The error of a value that is beyond [`MAX_SIZE`].
pub fn too_large() -> Fault {
    Fault::new("too-large", "the value is too large")
        .expecting(format!("at most {MAX_SIZE} bytes, as in an evaluated template"))
}

impl Val {
    pub fn new(data: Data) -> Self {
        Self { span: Span::default(), data, open: None }
    }

    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::new(Data::Text(text.into()))
    }

    /// A text that a function made, unless it is too large.
    pub fn made_text(text: String) -> Result<Self, Fault> {
        if text.len() > MAX_SIZE { Err(too_large()) } else { Ok(Self::text(text)) }
    }

    /// An array, unless it is too large.
    pub fn array(items: Vec<Self>) -> Result<Self, Fault> {
        let measure = Measure::of(items.iter())?;
        Ok(Self::new(Data::Array(Rc::new(List { items, measure }))))
    }

    /// An object, unless it is too large. Names must differ.
    pub fn object(members: Vec<Field>) -> Result<Self, Fault> {
        let mut measure = Measure::of(members.iter().map(|member| &member.value))?;
        measure.size += members.iter().map(|member| member.key.len() + 4).sum::<usize>();
        if measure.size > MAX_SIZE {
            return Err(too_large());
        }
        Ok(Self::new(Data::Object(Rc::new(Fields { members, measure, sealed: false }))))
    }

    /// A small object made here.
    pub fn fields<const N: usize>(members: [(&str, Self); N]) -> Self {
        let field = |(key, value): (&str, Self)| Field::new(key, value);
        Self::object(members.into_iter().map(field).collect()).unwrap_or_else(|_| Self::new(Data::Null))
    }

    pub fn unknown(reason: impl Into<Rc<str>>) -> Self {
        Self::unknown_as(reason, None::<&str>)
    }

    /// A value that is not known, and a text that stands for it; see [`Unknown::symbol`].
    pub fn unknown_as(reason: impl Into<Rc<str>>, symbol: Option<impl Into<Rc<str>>>) -> Self {
        let symbol = symbol.map(Into::into).filter(|symbol: &Rc<str>| symbol.len() <= MAX_SYMBOL);
        Self::new(Data::Unknown(Rc::new(Unknown { reason: reason.into(), symbol, circular: false })))
    }

    /// What is not known for the reason that `other` is not.
    pub fn because(other: &Unknown, symbol: Option<String>) -> Self {
        let symbol = symbol.filter(|symbol| symbol.len() <= MAX_SYMBOL).map(Into::into);
        let unknown = Unknown { symbol, ..other.clone() };
        Self::new(Data::Unknown(Rc::new(unknown)))
    }

    /// The same value written elsewhere.
    #[must_use]
    pub fn placed(self, span: Span) -> Self {
        Self { span, ..self }
    }

    /// The same value as part of what `open` names.
    #[must_use]
    pub fn within(mut self, open: Option<&Rc<str>>) -> Self {
        let sealed = matches!(&self.data, Data::Object(fields) if fields.sealed);
        if !sealed && let Some(open) = open {
            self.open = Some(Rc::clone(open));
        }
        self
    }

    pub fn as_unknown(&self) -> Option<&Rc<Unknown>> {
        match &self.data {
            Data::Unknown(unknown) => Some(unknown),
            _ => None,
        }
    }

    /// Why the value, or something in it, is not known.
    pub fn unknown_inside(&self) -> Option<&Rc<Unknown>> {
        match &self.data {
            Data::Unknown(unknown) => Some(unknown),
            Data::Array(list) => list.measure.unknown.as_ref(),
            Data::Object(fields) => fields.measure.unknown.as_ref(),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&Fields> {
        match &self.data {
            Data::Object(fields) => Some(fields),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Self]> {
        match &self.data {
            Data::Array(list) => Some(&list.items),
            _ => None,
        }
    }

    /// The value of a member, ignoring the case of its name; it is as open as this value is.
    pub fn get(&self, key: &str) -> Option<Self> {
        Some(self.as_object()?.find(key)?.clone().within(self.open.as_ref()))
    }

    /// A text that stands for the value: its symbol, or itself where it is a scalar.
    pub fn symbol(&self) -> Option<Rc<str>> {
        match &self.data {
            Data::Unknown(unknown) => unknown.symbol.clone(),
            Data::Text(text) => Some(Rc::clone(text)),
            Data::Integer(number) => Some(number.to_string().into()),
            Data::Bool(value) => Some(if *value { "True" } else { "False" }.into()),
            _ => None,
        }
    }

    /// Roughly the bytes of the value as JSON.
    pub fn size(&self) -> usize {
        match &self.data {
            Data::Text(text) => text.len() + 3,
            Data::Array(list) => list.measure.size,
            Data::Object(fields) => fields.measure.size,
            _ => 6,
        }
    }

    /// Roughly the memory of the value without what is in its items, which exist already.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + match &self.data {
                Data::Text(text) => text.len(),
                Data::Array(list) => list.items.len() * size_of::<Self>(),
                Data::Object(fields) => fields.members.len() * size_of::<Field>(),
                _ => 0,
            }
    }

    fn depth(&self) -> usize {
        match &self.data {
            Data::Array(list) => list.measure.depth,
            Data::Object(fields) => fields.measure.depth,
            _ => 0,
        }
    }

    /// What the value is, for a sentence.
    pub fn describe(&self) -> &'static str {
        match self.data {
            Data::Null => "null",
            Data::Bool(_) => "a boolean",
            Data::Integer(_) => "an integer",
            Data::Float(_) => "a number with a fraction",
            Data::Text(_) => "a string",
            Data::Array(_) => "an array",
            Data::Object(_) => "an object",
            Data::Unknown(_) => "a value that is not known",
        }
    }

    /// A value as it stands in a document; nothing in it is an expression.
    pub fn literal(value: &Value) -> Result<Self, Fault> {
        let data = match &value.kind {
            Kind::Null => Data::Null,
            Kind::Bool(value) => Data::Bool(*value),
            Kind::Number(number) => {
                number.as_i64().map_or_else(|| Data::Float(number.clone()), Data::Integer)
            }
            Kind::String(text) => Data::Text(text.as_str().into()),
            Kind::Unknown(reason) => Self::unknown(reason.as_str()).data,
            Kind::Array(items) => {
                Self::array(items.iter().map(Self::literal).collect::<Result<_, _>>()?)?.data
            }
            Kind::Object(object) => {
                let member = |member: &Member| {
                    let (key, key_span) = (member.key.as_str().into(), member.key_span);
                    Ok(Field { key, key_span, value: Self::literal(&member.value)? })
                };
                Self::object(object.iter().map(member).collect::<Result<_, _>>()?)?.data
            }
        };
        Ok(Self::new(data).placed(value.span))
    }

    /// The value as documents hold it. The id of a resource is known even where parts of it are not.
    pub fn into_value(self) -> Value {
        let kind = match self.data {
            Data::Null => Kind::Null,
            Data::Bool(value) => Kind::Bool(value),
            Data::Integer(number) => Value::from(number).kind,
            Data::Float(number) => Kind::Number(number),
            Data::Text(text) => Kind::String(text.as_ref().to_owned()),
            Data::Array(list) => Kind::Array(match Rc::try_unwrap(list) {
                Ok(list) => list.items.into_iter().map(Self::into_value).collect(),
                Err(shared) => shared.items.iter().cloned().map(Self::into_value).collect(),
            }),
            Data::Object(fields) => {
                let member = |field: Field| Member {
                    key: field.key.as_ref().to_owned(),
                    key_span: field.key_span,
                    value: field.value.into_value(),
                };
                Kind::Object(Object::of(match Rc::try_unwrap(fields) {
                    Ok(fields) => fields.members.into_iter().map(member).collect(),
                    Err(shared) => shared.members.iter().cloned().map(member).collect(),
                }))
            }
            Data::Unknown(unknown) => match &unknown.symbol {
                Some(symbol) if symbol.starts_with("/subscriptions/") => {
                    Kind::String(symbol.as_ref().to_owned())
                }
                _ => Kind::Unknown(unknown.reason.as_ref().to_owned()),
            },
        };
        Value { span: self.span, kind }
    }

    /// Whether two values are equal; `None` when what is not known decides that.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        match (&self.data, &other.data) {
            (Data::Unknown(one), Data::Unknown(other)) => {
                (one.symbol.is_some() && one.symbol == other.symbol).then_some(true)
            }
            (Data::Unknown(_), _) | (_, Data::Unknown(_)) => None,
            (Data::Null, Data::Null) => Some(true),
            (Data::Bool(one), Data::Bool(other)) => Some(one == other),
            (Data::Integer(one), Data::Integer(other)) => Some(one == other),
            (Data::Float(one), Data::Float(other)) => Some(one.as_f64() == other.as_f64()),
            (Data::Text(one), Data::Text(other)) => Some(one == other),
            (Data::Array(one), Data::Array(other)) => {
                if one.items.len() != other.items.len() {
                    return Some(false);
                }
                all(one.items.iter().zip(&other.items).map(|(one, other)| one.equals(other)))
            }
            (Data::Object(one), Data::Object(more)) => {
                if self.open.is_some() || other.open.is_some() {
                    return None;
                }
                if one.members.len() != more.members.len() {
                    return Some(false);
                }
                all(one.members.iter().map(|member| {
                    more.find(&member.key).map_or(Some(false), |value| member.value.equals(value))
                }))
            }
            _ => Some(false),
        }
    }

    /// Whether two values are told alike, whatever is not known for the same kind of reason included.
    pub fn same(&self, other: &Self) -> bool {
        match (&self.data, &other.data) {
            (Data::Unknown(one), Data::Unknown(other)) => {
                one.circular == other.circular && one.symbol == other.symbol
            }
            (Data::Array(one), Data::Array(other)) => {
                Rc::ptr_eq(one, other)
                    || (one.items.len() == other.items.len()
                        && one.items.iter().zip(&other.items).all(|(one, other)| one.same(other)))
            }
            (Data::Object(one), Data::Object(other)) => {
                let alike =
                    |(one, other): (&Field, &Field)| one.key == other.key && one.value.same(&other.value);
                Rc::ptr_eq(one, other)
                    || (one.members.len() == other.members.len()
                        && one.members.iter().zip(&other.members).all(alike))
            }
            (Data::Unknown(_), _) | (_, Data::Unknown(_)) => false,
            _ => self.equals(other) == Some(true),
        }
    }
}

impl Fields {
    /// The member called `key`, spelt exactly so, else the first that differs only in case.
    pub fn find(&self, key: &str) -> Option<&Val> {
        let exact = self.members.iter().find(|member| member.key.as_ref() == key);
        let member =
            exact.or_else(|| self.members.iter().find(|member| member.key.eq_ignore_ascii_case(key)))?;
        Some(&member.value)
    }
}

impl Field {
    pub fn new(key: &str, value: Val) -> Self {
        Self { key: key.into(), key_span: value.span, value }
    }
}

/// Whether all are true, when one that is not known may be either.
fn all(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for answer in answers {
        match answer {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}

/// An object that is told whole; see [`Fields::sealed`].
pub fn sealed(value: Val) -> Val {
    let Data::Object(fields) = &value.data else { return value };
    let (members, measure) = (fields.members.clone(), fields.measure.clone());
    let data = Data::Object(Rc::new(Fields { members, measure, sealed: true }));
    Val { data, ..value }
}
