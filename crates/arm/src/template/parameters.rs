//! Whether a parameter's value is one that its declaration allows.

use document::{Span, Value, quote};

use super::eval::{Context, Evaluator};
use super::fault::Fault;
use super::value::{Data, Val};
use crate::read::{member, text};

/// A declaration, or the definition that it refers to by `$ref`.
pub fn resolved<'t>(template: &'t Value, declared: &'t Value) -> &'t Value {
    let name = text(declared, "$ref").and_then(|name| name.strip_prefix("#/definitions/"));
    let found = name.and_then(|name| member(member(template, "definitions")?, name));
    found.unwrap_or(declared)
}

/// What a parameter of the template `origin` is that has neither a value nor a default.
pub fn missing(name: &str, origin: &str, declared: &Value) -> Val {
    if member(declared, "nullable").is_some_and(|nullable| nullable.kind == document::Kind::Bool(true)) {
        return Val::new(Data::Null);
    }
    // The name may hold what would split an id.
    let symbol = format!("{{parameters('{}'){origin}}}", name.to_ascii_lowercase().replace('/', ""));
    let reason = format!("the parameter {}, which has no value", quote(name));
    let is_text = text(declared, "type").is_none_or(|kind| kind.to_ascii_lowercase().ends_with("string"));
    Val::unknown_as(reason, is_text.then_some(symbol))
}

/// A parameter's value, after complaints about it. A value that is not allowed counts as unknown.
pub fn checked<'t>(
    evaluator: &Evaluator<'t>,
    name: &str,
    value: Val,
    declared: &'t Value,
    context: Context<'_, 't>,
) -> Val {
    if value.as_unknown().is_some() {
        return value;
    }
    match violation(evaluator, name, &value, declared, context) {
        None => value,
        Some(fault) => {
            let span = if value.span == Span::default() { declared.span } else { value.span };
            evaluator.wrong(fault, span)
        }
    }
}

fn violation<'t>(
    evaluator: &Evaluator<'t>,
    name: &str,
    value: &Val,
    declared: &'t Value,
    context: Context<'_, 't>,
) -> Option<Fault> {
    let kind = text(declared, "type").unwrap_or_default().to_ascii_lowercase();
    let nullable = member(declared, "nullable").is_some();
    let right = match (&value.data, kind.as_str()) {
        (Data::Null, _) => nullable || kind.is_empty(),
        (Data::Text(_), "string" | "securestring")
        | (Data::Integer(_), "int")
        | (Data::Bool(_), "bool")
        | (Data::Array(_), "array")
        | (Data::Object(_), "object" | "secureobject") => true,
        (_, kind) => {
            !["string", "securestring", "int", "bool", "array", "object", "secureobject"].contains(&kind)
        }
    };
    if !right {
        let message = format!("the parameter {} is {}", quote(name), value.describe());
        return Some(Fault::new("parameter-type", message).expecting(quote(&kind)));
    }
    let limit = |field| {
        member(declared, field).and_then(|limit| match limit.kind {
            document::Kind::Number(ref number) => number.as_i64(),
            _ => None,
        })
    };
    let (measured, least, most, unit) = match &value.data {
        Data::Integer(number) => (*number, limit("minValue"), limit("maxValue"), ""),
        Data::Text(text) => {
            (count(text.chars().count()), limit("minLength"), limit("maxLength"), " characters")
        }
        Data::Array(list) => (count(list.items.len()), limit("minLength"), limit("maxLength"), " items"),
        _ => (0, None, None, ""),
    };
    if least.is_some_and(|least| measured < least) || most.is_some_and(|most| measured > most) {
        let message = format!("the parameter {} is {measured}{unit}", quote(name));
        let bound = |word: &str, limit: Option<i64>| limit.map(|limit| format!("{word} {limit}{unit}"));
        let bounds: Vec<_> =
            [bound("at least", least), bound("at most", most)].into_iter().flatten().collect();
        return Some(Fault::new("parameter-range", message).expecting(bounds.join(" and ")));
    }
    let allowed = evaluator.value(member(declared, "allowedValues")?, context);
    let allowed = allowed.as_array()?;
    let permits = |value: &Val| {
        let answers: Vec<_> = allowed.iter().map(|one| one.equals(value)).collect();
        // What is not known is no violation.
        answers.is_empty() || answers.iter().any(|answer| *answer != Some(false))
    };
    let items_allowed = value.as_array().is_some_and(|items| items.iter().all(permits));
    (!permits(value) && !items_allowed).then(|| {
        let listed: Vec<_> = allowed.iter().filter_map(Val::symbol).take(12).map(|one| quote(&one)).collect();
        let shown = value.symbol().map(|value| quote(&value)).unwrap_or_default();
        Fault::new("parameter-value", format!("the parameter {} may not be {shown}", quote(name)))
            .expecting(listed.join(", "))
    })
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
