//! JSON texts, read as `json()` reads them and written as `string()` writes them.

use std::fmt::Write as _;

use document::{Kind, SourceText, Value, parse_json, quote};

use crate::template::fault::Fault;
use crate::template::value::{Data, Val};

/// Reads a JSON text; strings may stand in single quotes, too.
pub fn read(text: &str) -> Result<Val, Fault> {
    let parsed = |text: String| {
        let document = parse_json(&SourceText::new("", text));
        document.value.filter(|_| !document.diagnostics.iter().any(document::Diagnostic::is_error))
    };
    let value = parsed(text.to_owned()).or_else(|| parsed(double_quoted(text)));
    let Some(value) = value else {
        return Err(Fault::argument(format!("{} is no JSON", quote(text))));
    };
    Val::literal(&placeless(value))
}

/// Places in the text are none of the file.
fn placeless(value: Value) -> Value {
    Value::new(match value.kind {
        Kind::Array(items) => Kind::Array(items.into_iter().map(placeless).collect()),
        Kind::Object(object) => {
            return Value::object(object.into_iter().map(|member| (member.key, placeless(member.value))));
        }
        other => other,
    })
}

/// The text with its strings in double quotes.
fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, inside) {
            ('\\', Some(_)) => {
                let next = letters.next();
                if next != Some('\'') {
                    out.push('\\');
                }
                out.extend(next);
            }
            ('"', Some('\'')) => out.push_str("\\\""),
            ('\'' | '"', None) => {
                inside = Some(letter);
                out.push('"');
            }
            (letter, Some(quote)) if letter == quote => {
                inside = None;
                out.push('"');
            }
            (letter, _) => out.push(letter),
        }
    }
    out
}

/// A value as JSON without blanks.
pub fn write(value: &Val) -> String {
    let mut out = String::new();
    append(&mut out, value);
    out
}

fn append(out: &mut String, value: &Val) {
    match &value.data {
        Data::Null | Data::Unknown(_) => out.push_str("null"),
        Data::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Data::Integer(number) => {
            let _ = write!(out, "{number}");
        }
        Data::Float(number) => out.push_str(number.as_str()),
        Data::Text(text) => quoted(out, text),
        Data::Array(list) => {
            out.push('[');
            for (index, item) in list.items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                append(out, item);
            }
            out.push(']');
        }
        Data::Object(fields) => {
            out.push('{');
            for (index, field) in fields.members.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                quoted(out, &field.key);
                out.push(':');
                append(out, &field.value);
            }
            out.push('}');
        }
    }
}

fn quoted(out: &mut String, text: &str) {
    let text = Value::from(text).to_json_pretty();
    out.push_str(text.trim_end_matches('\n'));
}
