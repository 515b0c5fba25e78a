//! TOML, read by the `toml` crate into the same values as JSON.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::json::too_large;
use crate::{
    Diagnostic, Document, Kind, MAX_BYTES, MAX_DIAGNOSTICS, Member, Number, Object, SourceText, Span, Value,
};

/// Reads a TOML text, at most [`MAX_BYTES`] bytes; nesting is limited by the `toml` crate (80 levels per
/// key or value). Members keep the order of the text. There is no value beside a syntax error, for what the
/// `toml` crate puts in the place of broken text stands nowhere.
pub fn parse_toml(source: &SourceText) -> Document {
    let text = source.text();
    if text.len() > MAX_BYTES {
        return Document::broken(too_large(text.len()));
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut diagnostics: Vec<_> = errors.iter().map(|error| syntax(error, text.len())).collect();
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        diagnostics.truncate(MAX_DIAGNOSTICS);
        return Document { value: None, diagnostics };
    }
    let mut diagnostics = Vec::new();
    let value = table_value(table.get_ref(), Span::new(0, text.len()), &mut diagnostics);
    Document { value: Some(value), diagnostics }
}

fn syntax(error: &toml::de::Error, len: usize) -> Diagnostic {
    let span = error.span().map_or_else(|| Span::new(len, len), Span::from);
    let mut lines = error.message().lines();
    let message = lines.next().unwrap_or("not valid TOML");
    let rest: Vec<_> = lines.collect();
    let diagnostic = Diagnostic::error("syntax", span, message);
    if rest.is_empty() { diagnostic } else { diagnostic.expecting(rest.join("; ")) }
}

fn table_value(table: &DeTable<'_>, span: Span, diagnostics: &mut Vec<Diagnostic>) -> Value {
    let mut members: Vec<_> = table
        .iter()
        .map(|(key, value)| Member {
            key: key.get_ref().to_string(),
            key_span: key.span().into(),
            value: spanned_value(value, diagnostics),
        })
        .collect();
    // The table is sorted by name.
    members.sort_by_key(|member| member.key_span.start);
    Value { span, kind: Kind::Object(Object { members }) }
}

fn spanned_value(value: &Spanned<DeValue<'_>>, diagnostics: &mut Vec<Diagnostic>) -> Value {
    let span = Span::from(value.span());
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::String(text.to_string()),
        DeValue::Boolean(value) => Kind::Bool(*value),
        DeValue::Datetime(date) => Kind::String(date.to_string()),
        DeValue::Integer(integer) => number(whole(integer.as_str(), integer.radix()), span, diagnostics),
        DeValue::Float(float) => number(json_spelling(float.as_str()), span, diagnostics),
        DeValue::Array(items) => {
            Kind::Array(items.iter().map(|item| spanned_value(item, diagnostics)).collect())
        }
        DeValue::Table(table) => return table_value(table, span, diagnostics),
    };
    Value { span, kind }
}

fn number(text: Option<String>, span: Span, diagnostics: &mut Vec<Diagnostic>) -> Kind {
    text.map_or_else(
        || {
            diagnostics.push(
                Diagnostic::error("number-range", span, "this number cannot be used")
                    .expecting("a finite number"),
            );
            Kind::Null
        },
        |text| Kind::Number(Number(text)),
    )
}

/// A whole number of any radix in decimal.
fn whole(digits: &str, radix: u32) -> Option<String> {
    if radix == 10 {
        return json_spelling(digits);
    }
    i128::from_str_radix(digits, radix).ok().map(|number| number.to_string())
}

/// A decimal number without TOML's leading plus; `None` for `inf` and `nan`.
fn json_spelling(digits: &str) -> Option<String> {
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    (plain && digits.parse::<f64>().is_ok()).then(|| digits.to_owned())
}
