//! Bicep, written from the ARM resources: the languages share their values, and differ in how they refer.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::arm;

const HEADER: &str = "// Written by aks-jumpbox, which has no Bicep compiler: `bicep build` it before you rely on it.\n\
                      // `--language arm` writes the same resources as the template that `aks-jumpbox check` evaluates.\n";

/// A file of these resources.
pub fn file(resources: &[Value]) -> String {
    let symbols: HashMap<String, String> =
        resources.iter().map(|one| (id(one), symbol(text(one, "name")))).collect();
    let mut file = format!("{HEADER}\nparam location string = resourceGroup().location\n");
    for resource in resources {
        let (kind, version) = (text(resource, "type"), text(resource, "apiVersion"));
        let head = format!("resource {} '{kind}@{version}'", symbol(text(resource, "name")));
        let _ = write!(file, "\n{head} = ");
        object(&mut file, &body(resource, &symbols), &symbols, 0);
        file.push('\n');
    }
    file.truncate(file.trim_end().len());
    file
}

/// Without what stands in the head, and what Bicep finds out itself; a child names its parent.
fn body(resource: &Value, symbols: &HashMap<String, String>) -> Map<String, Value> {
    let mut body = Map::new();
    let name = text(resource, "name");
    let (parent, own) = name.split_once('/').map_or((None, name), |(parent, own)| (Some(parent), own));
    let kind = text(resource, "type").rsplit_once('/').map_or("", |(kind, _)| kind);
    if let Some(parent) = parent.map(|parent| arm::id(kind, parent)).filter(|id| symbols.contains_key(id)) {
        body.insert("parent".to_owned(), parent.into());
    }
    body.insert("name".to_owned(), own.into());
    let rest = resource.as_object().into_iter().flatten();
    let rest =
        rest.filter(|(field, _)| !matches!(field.as_str(), "type" | "apiVersion" | "name" | "dependsOn"));
    body.extend(rest.map(|(field, value)| (field.clone(), value.clone())));
    body
}

fn value(file: &mut String, of: &Value, field: &str, symbols: &HashMap<String, String>, depth: usize) {
    match of {
        Value::Object(fields) => object(file, fields, symbols, depth),
        Value::Array(items) => {
            file.push_str("[\n");
            for item in items {
                indent(file, depth + 1);
                value(file, item, "", symbols, depth + 1);
                file.push('\n');
            }
            indent(file, depth);
            file.push(']');
        }
        Value::String(text) => match symbols.get(text) {
            Some(symbol) if field == "parent" => file.push_str(symbol),
            Some(symbol) => {
                let _ = write!(file, "{symbol}.id");
            }
            None if text == "[parameters('location')]" => file.push_str("location"),
            None => file.push_str(&literal(text)),
        },
        other => {
            let _ = write!(file, "{other}");
        }
    }
}

fn object(file: &mut String, fields: &Map<String, Value>, symbols: &HashMap<String, String>, depth: usize) {
    file.push_str("{\n");
    for (field, of) in fields {
        indent(file, depth + 1);
        let _ = write!(file, "{field}: ");
        value(file, of, field, symbols, depth + 1);
        file.push('\n');
    }
    indent(file, depth);
    file.push('}');
}

fn indent(file: &mut String, depth: usize) {
    file.extend(std::iter::repeat_n("  ", depth));
}

/// As Bicep takes it for a text, in which nothing is an expression.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace("${", "\\${"))
}

fn id(resource: &Value) -> String {
    arm::id(text(resource, "type"), text(resource, "name"))
}

fn text<'a>(resource: &'a Value, field: &str) -> &'a str {
    resource[field].as_str().unwrap_or_default()
}

/// `nsgImagebuilder`, of `nsg-imagebuilder`.
fn symbol(name: &str) -> String {
    let mut symbol = String::new();
    let mut capital = false;
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            symbol.push(if capital { letter.to_ascii_uppercase() } else { letter });
        }
        capital = !letter.is_ascii_alphanumeric();
    }
    symbol
}
