//! JSON of templates made ready: what holds no expression is made a value once, and every expression is read once.

use std::rc::Rc;

use document::{Kind, Member, Span, Value};

use super::copy;
use super::eval::{Context, Evaluator, Parsed};
use super::fault::Fault;
use super::value::{Field, Val};
use crate::inventory::is_expression;

/// A value to be evaluated, and where it stands.
pub struct Code<'t> {
    span: Span,
    kind: What<'t>,
}

enum What<'t> {
    Known(Val),
    Expression(Text<'t>),
    Array(Vec<Code<'t>>),
    Object(Vec<Part<'t>>),
}

/// A string that is an expression.
pub struct Text<'t> {
    pub written: &'t str,
    pub span: Span,
    pub tree: Parsed,
}

/// A part of an object.
enum Part<'t> {
    Member {
        key: Rc<str>,
        key_span: Span,
        named: Option<Text<'t>>,
        value: Code<'t>,
    },
    /// Members that loops make.
    Loops(&'t [Value]),
}

impl<'t> Evaluator<'t> {
    /// Makes a value ready.
    pub fn code(&self, json: &'t Value) -> Code<'t> {
        let kind = match &json.kind {
            Kind::String(text) if is_expression(text) => What::Expression(self.text(text, json.span)),
            Kind::String(text) if text.starts_with("[[") => {
                What::Known(Val::text(&text[1..]).placed(json.span))
            }
            Kind::Array(items) => array(items.iter().map(|item| self.code(item)).collect(), json.span),
            Kind::Object(object) => {
                object_of(object.iter().map(|member| self.part(member)).collect(), json.span)
            }
            _ => {
                What::Known(Val::literal(json).unwrap_or_else(|_| Val::unknown("a value that is too large")))
            }
        };
        Code { span: json.span, kind }
    }

    fn text(&self, text: &'t str, span: Span) -> Text<'t> {
        Text { written: text, span, tree: self.parsed(text, span) }
    }

    fn part(&self, member: &'t Member) -> Part<'t> {
        if let Some(loops) = copy::loops(member) {
            return Part::Loops(loops);
        }
        let named = is_expression(&member.key).then(|| self.text(&member.key, member.key_span));
        let (key, key_span) = (member.key.as_str().into(), member.key_span);
        Part::Member { key, key_span, named, value: self.code(&member.value) }
    }

    /// The value of what was made ready.
    pub fn run(&self, code: &Code<'t>, context: Context<'_, 't>) -> Val {
        if let What::Known(value) = &code.kind {
            return self.spend(0).map_or_else(|fault| self.wrong(fault, code.span), |()| value.clone());
        }
        let made = self.deeper(|| {
            self.spend(0)?;
            let made = self.made(&code.kind, context)?;
            self.keep(made.weight())?;
            Ok(made.placed(code.span))
        });
        made.unwrap_or_else(|fault| self.wrong(fault, code.span))
    }

    fn made(&self, what: &What<'t>, context: Context<'_, 't>) -> Result<Val, Fault> {
        match what {
            What::Known(value) => Ok(value.clone()),
            What::Expression(text) => Ok(self.expression(text, context)),
            What::Array(items) => Val::array(items.iter().map(|item| self.run(item, context)).collect()),
            What::Object(parts) => {
                let mut members = Vec::with_capacity(parts.len());
                for part in parts {
                    match part {
                        Part::Loops(loops) => members.extend(self.copied(loops, context)),
                        Part::Member { key, key_span, named, value } => {
                            let value = self.run(value, context);
                            let named =
                                named.as_ref().and_then(|text| self.expression(text, context).symbol());
                            let key = named.unwrap_or_else(|| Rc::clone(key));
                            members.push(Field { key, key_span: *key_span, value });
                        }
                    }
                }
                Val::object(members)
            }
        }
    }
}

/// An array, which is known when all of its items are.
fn array(items: Vec<Code<'_>>, span: Span) -> What<'_> {
    let known: Option<Vec<_>> = items.iter().map(Code::known).collect();
    // What is too large is told when it is used.
    let value = known.and_then(|values| Val::array(values).ok());
    value.map_or(What::Array(items), |value| What::Known(value.placed(span)))
}

fn object_of(parts: Vec<Part<'_>>, span: Span) -> What<'_> {
    let known: Option<Vec<_>> = parts.iter().map(Part::known).collect();
    let value = known.and_then(|members| Val::object(members).ok());
    value.map_or(What::Object(parts), |value| What::Known(value.placed(span)))
}

impl Code<'_> {
    fn known(&self) -> Option<Val> {
        match &self.kind {
            What::Known(value) => Some(value.clone()),
            _ => None,
        }
    }
}

impl Part<'_> {
    fn known(&self) -> Option<Field> {
        match self {
            Self::Member { key, key_span, named: None, value } => {
                Some(Field { key: Rc::clone(key), key_span: *key_span, value: value.known()? })
            }
            _ => None,
        }
    }
}
