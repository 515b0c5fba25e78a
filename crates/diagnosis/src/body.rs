//! What Azure answers: which of its strings tell of an error, and whether anything failed at all.

use document::{Kind, Member, SourceText, Value, parse_json};

use crate::reading::Line;

/// An answer.
pub(crate) struct Body {
    /// The lines of the strings that tell of an error.
    pub lines: Vec<Line<'static>>,
    /// Whether something failed.
    pub failed: bool,
}

/// Members that hold errors, in templates, operations and deployments.
const ERRORS: [&str; 5] = ["error", "provisioningError", "lastRunStatus", "statusMessage", "innererror"];

/// Members that tell how something ended.
const STATES: [&str; 3] = ["status", "runState", "provisioningState"];

/// Ends that are no success. A part that succeeded is not all of it.
const FAILED: [&str; 4] = ["Failed", "Canceled", "Cancelled", "PartiallySucceeded"];

impl Body {
    /// Reads an answer; none where the text is no JSON.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let source = SourceText::new("", text);
        let value = parse_json(&source).value?;
        let mut told = Vec::new();
        match &value.kind {
            Kind::Object(_) if is_plain_error(&value) => told.push(&value),
            _ => errors(&value, &mut told),
        }
        let mut failed = told.iter().any(|error| is_error(error)) || any_state(&value, &is_failed);
        // An answer of another form is searched as a whole, unless it is a resource, which holds scripts, too.
        if told.is_empty() && !is_resource(&value) && (failed || !any_state(&value, &|_| true)) {
            told.push(&value);
            failed = true;
        }
        let mut body = Self { lines: Vec::new(), failed };
        for value in told {
            body.strings(None, value, &source);
        }
        Some(body)
    }

    /// Puts down every string below `value`: codes with their names, all others by lines.
    fn strings(&mut self, name: Option<&str>, value: &Value, source: &SourceText) {
        match &value.kind {
            Kind::String(text) => {
                let number = source.position(value.span.start).line;
                let is_word = !text.is_empty() && !text.contains(char::is_whitespace);
                let named = name.filter(|_| is_word).map(|name| format!("\"{name}\": \"{text}\""));
                let lines = named
                    .as_deref()
                    .unwrap_or(text)
                    .lines()
                    .map(|line| Line { number, text: line.trim_end().to_owned().into() });
                self.lines.extend(lines);
            }
            Kind::Array(items) => items.iter().for_each(|item| self.strings(name, item, source)),
            Kind::Object(object) => {
                // Codes come first, as signatures that span lines expect them.
                let (codes, others): (Vec<_>, Vec<_>) =
                    object.iter().partition(|member| member.key.eq_ignore_ascii_case("code"));
                for member in codes.into_iter().chain(others) {
                    self.strings(Some(&member.key), &member.value, source);
                }
            }
            _ => {}
        }
    }
}

/// Collects what holds errors, outermost first.
fn errors<'a>(value: &'a Value, told: &mut Vec<&'a Value>) {
    match &value.kind {
        Kind::Array(items) => items.iter().for_each(|item| errors(item, told)),
        Kind::Object(object) => {
            for member in object {
                let holds = ERRORS.iter().any(|name| member.key.eq_ignore_ascii_case(name));
                match &member.value.kind {
                    Kind::Null => {}
                    _ if holds => told.push(&member.value),
                    _ => errors(&member.value, told),
                }
            }
        }
        _ => {}
    }
}

/// The text of a member that is not empty.
fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.as_object()?.find(name)?.value.as_str().filter(|text| !text.is_empty())
}

/// `{"code": ..., "message": ...}`, as older versions of the service answer.
fn is_plain_error(value: &Value) -> bool {
    text(value, "code").is_some() && text(value, "message").is_some()
}

/// Whether this says by itself that something failed; the status of a run says so by its state.
fn is_error(value: &Value) -> bool {
    match &value.kind {
        Kind::String(text) => !text.is_empty(),
        Kind::Array(items) => items.iter().any(is_error),
        Kind::Object(object) if object.get("runState").is_none() => {
            let is_told =
                ["code", "message", "provisioningErrorCode"].iter().any(|name| text(value, name).is_some());
            let nested = |member: &Member| member.value.as_str().is_none() && is_error(&member.value);
            is_told || object.iter().any(nested)
        }
        _ => false,
    }
}

fn is_resource(value: &Value) -> bool {
    value.get("properties").is_some() && (value.get("id").is_some() || value.get("type").is_some())
}

/// Whether any state, however deep, is `wanted`.
fn any_state(value: &Value, wanted: &dyn Fn(&str) -> bool) -> bool {
    match &value.kind {
        Kind::Array(items) => items.iter().any(|item| any_state(item, wanted)),
        Kind::Object(object) => object.iter().any(|member| {
            let is_state = STATES.iter().any(|name| member.key.eq_ignore_ascii_case(name));
            match member.value.as_str() {
                Some(state) => is_state && wanted(state),
                None => any_state(&member.value, wanted),
            }
        }),
        _ => false,
    }
}

fn is_failed(state: &str) -> bool {
    FAILED.iter().any(|failed| state.eq_ignore_ascii_case(failed))
}
