//! One record of a log, by its category.

use document::{Diagnostic, SourceText, Span, Value, parse_json, quote};

use crate::error::LogError;
use crate::event::Event;
use crate::scan::Found;
use crate::{firewall, tuples};

/// What a record is.
pub(crate) enum Read {
    /// A category that is read; its events have been handed out.
    Known,
    /// A category of Azure's that says nothing about a decision, or another resource's.
    PassedOver(String),
}

/// Boxed, because it is rare and would make every result large.
pub(crate) type Step<T> = Result<T, Box<Diagnostic>>;

const CATEGORIES: &str =
    "a record with a `category`: FlowLogFlowEvent, NetworkSecurityGroupFlowEvent or AZFW...";

/// Reads a record and hands out its events.
///
/// # Errors
/// When the record is no JSON object, names no category, or one that is read says something else than documented.
pub(crate) fn read(found: &Found, each: &mut dyn FnMut(Event)) -> Result<Read, LogError> {
    let document = parse_json(&found.text);
    let complain = |diagnostic: &Diagnostic| LogError::within(found.start, &found.text, diagnostic);
    if let Some(wrong) = document.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
        return Err(complain(wrong));
    }
    let value = document.value.unwrap_or_else(|| Value::new(document::Kind::Null));
    dispatch(&value, &found.text, each).map_err(|diagnostic| complain(&diagnostic))
}

fn dispatch(record: &Value, text: &SourceText, each: &mut dyn FnMut(Event)) -> Step<Read> {
    let start = Span::new(0, 1.min(text.text().len()));
    let Some(category) = record.get("category").and_then(Value::as_str) else {
        let message = "this is no record of a flow log: it names no category";
        return Err(Box::new(Diagnostic::error("no-category", start, message).expecting(CATEGORIES)));
    };
    match category {
        "FlowLogFlowEvent" => tuples::virtual_network(record, each)?,
        "NetworkSecurityGroupFlowEvent" => tuples::security_group(record, each)?,
        _ => match firewall::category(category) {
            Some(kind) => each(firewall::event(record, kind)?),
            None => return Ok(Read::PassedOver(category.to_owned())),
        },
    }
    Ok(Read::Known)
}

/// A member that has to be there.
pub(crate) fn member<'a>(value: &'a Value, name: &str) -> Step<&'a Value> {
    value.get(name).ok_or_else(|| {
        let span = Span::new(value.span.start, value.span.start + 1);
        Box::new(
            Diagnostic::error("missing-field", span, format!("`{name}` is missing"))
                .expecting(format!("a field `{name}`")),
        )
    })
}

/// The items of a list that has to be there.
pub(crate) fn items<'a>(value: &'a Value, name: &str) -> Step<&'a [Value]> {
    let list = member(value, name)?;
    list.as_array().ok_or_else(|| wrong(list, list.describe(), "an array"))
}

/// A string that has to be there.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Step<&'a str> {
    let found = member(value, name)?;
    string(found)
}

/// A string.
pub(crate) fn string(value: &Value) -> Step<&str> {
    value.as_str().ok_or_else(|| wrong(value, value.describe(), "a string"))
}

/// A complaint about a value: what it is, and what is allowed.
pub(crate) fn wrong(value: &Value, found: &str, expected: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::error("bad-value", value.span, format!("this is {found}")).expecting(expected))
}

/// A complaint about what a string says.
pub(crate) fn refuse(value: &Value, part: &str, expected: &str) -> Box<Diagnostic> {
    let message = format!("{} is not allowed", quote(part));
    Box::new(Diagnostic::error("bad-value", value.span, message).expecting(expected))
}

/// The last part of a resource id, else the whole text.
pub(crate) fn last_segment(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}
