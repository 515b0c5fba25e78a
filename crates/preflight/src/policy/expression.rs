//! The few expressions that policy rules are written with: parameters, fields, and texts put together.

use arm::field;
use document::Value;

use super::made::Way;
use super::rule::{Term, literal};

/// Values of a definition's parameters.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a> {
    /// What an assignment or a set gives: each an object with `value`.
    pub given: Option<&'a Value>,
    /// What the definition says of them: each an object with `defaultValue`.
    pub declared: Option<&'a Value>,
    /// Those of the set that gives these, which its values may name.
    pub around: Option<&'a Parameters<'a>>,
}

impl Parameters<'_> {
    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Term {
        let of = |values: Option<&Value>, part: &str| {
            let one = field(values?, name)?.as_object()?;
            one.find(part).map(|member| member.value.clone())
        };
        match (of(self.given, "value"), of(self.declared, "defaultValue")) {
            (Some(given), _) => match (expression(&given), self.around) {
                (Some(text), Some(around)) => evaluate(text, None, around),
                (Some(text), None) => open(text),
                (None, _) => literal(&given),
            },
            (None, Some(default)) => literal(&default),
            (None, None) => Term::Open(format!("the parameter `{name}`, which no document gives")),
        }
    }
}

/// What is inside `[...]`; `[[` is a bracket.
fn expression(value: &Value) -> Option<&str> {
    let text = value.as_str()?.strip_prefix('[')?.strip_suffix(']')?;
    (!text.starts_with('[')).then_some(text)
}

fn open(text: &str) -> Term {
    Term::Open(format!("the expression {}", document::quote(text)))
}

/// A value of a condition.
pub(super) fn term(value: &Value, way: &Way<'_>, parameters: &Parameters<'_>) -> Term {
    match (expression(value), value.as_array()) {
        (Some(text), _) => evaluate(text, Some(way), parameters),
        (None, Some(items)) => Term::List(items.iter().map(|item| term(item, way, parameters)).collect()),
        (None, None) => literal(value),
    }
}

/// A value of a condition that must be a text.
pub(super) fn text(value: &Value, way: &Way<'_>, parameters: &Parameters<'_>) -> Result<String, String> {
    match term(value, way, parameters) {
        Term::Text(text) => Ok(text),
        Term::Open(because) => Err(because),
        _ => Err("a field whose name is no text".to_owned()),
    }
}

/// An effect, where no resource is asked about.
pub(super) fn effect(value: &Value, parameters: &Parameters<'_>) -> Term {
    expression(value).map_or_else(|| literal(value), |text| evaluate(text, None, parameters))
}

fn evaluate(text: &str, way: Option<&Way<'_>>, parameters: &Parameters<'_>) -> Term {
    let text = text.trim();
    if let Some(literal) = quoted(text) {
        return Term::Text(literal);
    }
    let Some((name, arguments)) = call(text) else { return open(text) };
    let values = || arguments.iter().map(|argument| evaluate(argument, way, parameters));
    let first = || values().next();
    match (name.to_ascii_lowercase().as_str(), arguments.len()) {
        ("parameters", 1) => match first() {
            Some(Term::Text(name)) => parameters.get(&name),
            _ => open(text),
        },
        ("field", 1) => match (first(), way) {
            (Some(Term::Text(name)), Some(way)) => way.field(&name),
            _ => open(text),
        },
        ("concat", 1..) => {
            let mut whole = String::new();
            for value in values() {
                match value {
                    Term::Text(text) => whole.push_str(&text),
                    open @ Term::Open(_) => return open,
                    _ => return open(text),
                }
            }
            Term::Text(whole)
        }
        _ => open(text),
    }
}

/// `'text'`, in which `''` is a quote.
fn quoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    (!inner.replace("''", "").contains('\'')).then(|| inner.replace("''", "'"))
}

/// `name(a, b)`: the name and its arguments.
fn call(text: &str) -> Option<(&str, Vec<&str>)> {
    let (name, rest) = text.split_once('(')?;
    let inner = rest.strip_suffix(')')?;
    let (mut depth, mut in_text, mut start, mut arguments) = (0_usize, false, 0, Vec::new());
    for (at, letter) in inner.char_indices() {
        match letter {
            '\'' => in_text = !in_text,
            _ if in_text => {}
            '(' => depth += 1,
            // More text follows the call: an index, or another call.
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                arguments.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    let is_name = !name.is_empty() && name.chars().all(char::is_alphanumeric);
    if !is_name || in_text || depth != 0 {
        return None;
    }
    arguments.push(&inner[start..]);
    Some((name.trim(), arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_put_together_and_anything_else_is_open() {
        let none = Parameters { given: None, declared: None, around: None };
        let evaluated = |text: &str| evaluate(text, None, &none);
        let text = |text: &str| Term::Text(text.to_owned());
        assert_eq!(evaluated("concat('tags[', 'it''s, (x)', concat('', ']'))"), text("tags[it's, (x)]"));
        for odd in [
            "parameters('x')[0]",
            "concat('a'",
            "a('x') b('y')",
            "if(true(), 'a', 'b')",
            "'a' 'b'",
            "",
            "(",
            ")(",
        ] {
            assert!(matches!(evaluated(odd), Term::Open(_)), "{odd}");
        }
    }
}
