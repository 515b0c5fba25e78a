//! Values as JSON text.

use std::fmt::Write as _;

use crate::{Kind, Value};

impl Value {
    /// The value as JSON, indented by two spaces, members in their order, with a newline at the end.
    pub fn to_json_pretty(&self) -> String {
        let mut out = String::new();
        write_value(&mut out, self, 0);
        out.push('\n');
        out
    }
}

fn write_value(out: &mut String, value: &Value, depth: usize) {
    match &value.kind {
        Kind::Null => out.push_str("null"),
        Kind::Bool(true) => out.push_str("true"),
        Kind::Bool(false) => out.push_str("false"),
        Kind::Number(number) => out.push_str(number.as_str()),
        Kind::String(text) => write_string(out, text),
        // As an expression, so that whoever reads it again does not know it either.
        Kind::Unknown(reason) => write_string(out, &format!("[unknown: {reason}]")),
        Kind::Array(items) => write_items(out, ['[', ']'], items, depth, |out, item| {
            write_value(out, item, depth + 1);
        }),
        Kind::Object(object) => write_items(out, ['{', '}'], &object.members, depth, |out, member| {
            write_string(out, &member.key);
            out.push_str(": ");
            write_value(out, &member.value, depth + 1);
        }),
    }
}

fn write_items<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: &[T],
    depth: usize,
    mut write: impl FnMut(&mut String, &T),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        write(out, item);
    }
    if !items.is_empty() {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
    out.push(close);
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
