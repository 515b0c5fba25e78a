//! Azure's weekly file of service tags.
//!
//! Source: "Azure IP Ranges and Service Tags", the JSON that Microsoft publishes for each cloud; the service tag
//! discovery API answers in the same shape.

use document::{Diagnostic, Node, Reader, SourceText, parse_json};
use ipnet::IpNet;

use crate::tag::Tags;

/// Reads a service tags file. `sha256` is the file's, in hexadecimal; with cloud and change number it tells proofs
/// which file they rest on.
///
/// # Errors
/// Everything that is wrong with the file, in the order of its text.
pub fn read_service_tags(source: &SourceText, sha256: &str) -> Result<Tags, Vec<Diagnostic>> {
    let document = parse_json(source);
    let mut reader = Reader::new();
    document.diagnostics.into_iter().for_each(|diagnostic| reader.report(diagnostic));
    let tags = document.value.as_ref().and_then(|value| tags(&mut reader, &Node::root(value), sha256));
    let findings = reader.finish();
    match tags {
        Some(tags) if !findings.iter().any(Diagnostic::is_error) => Ok(tags),
        _ => Err(findings),
    }
}

fn tags(reader: &mut Reader, root: &Node<'_>, sha256: &str) -> Option<Tags> {
    let values = field(reader, root, "values").and_then(|node| reader.array(&node));
    let cloud = field(reader, root, "cloud").and_then(|node| reader.string(&node));
    let change = field(reader, root, "changeNumber").and_then(|node| change_number(reader, &node));
    let which = cloud.zip(change).map(|(cloud, change)| {
        format!("service tags of the {cloud} cloud, change number {change}, sha256 {sha256}")
    });
    let mut tags = Tags::new(which.unwrap_or_default());
    for tag in values? {
        let Some(name) = field(reader, &tag, "name") else { continue };
        let Some(properties) = field(reader, &tag, "properties") else { continue };
        if let Some(change) = properties.value.as_object().and_then(|object| object.find("changeNumber")) {
            change_number(reader, &properties.member(change));
        }
        let prefixes = field(reader, &properties, "addressPrefixes").and_then(|node| reader.array(&node));
        let prefixes: Vec<_> =
            prefixes.unwrap_or_default().iter().filter_map(|node| prefix(reader, node)).collect();
        let Some(text) = reader.string(&name) else { continue };
        if tags.contains(text) {
            reader.error(
                "duplicate-name",
                &name,
                format!("{} is given twice", document::quote(text)),
                "each tag once",
            );
            continue;
        }
        tags.insert(text, &prefixes);
    }
    Some(tags)
}

fn field<'a>(reader: &mut Reader, node: &Node<'a>, name: &'static str) -> Option<Node<'a>> {
    let Some(object) = node.value.as_object() else {
        reader.error(
            "wrong-type",
            node,
            format!("this is {}", node.value.describe()),
            "a file of service tags",
        );
        return None;
    };
    let found = object.find(name).map(|member| node.member(member));
    if found.is_none() {
        let message = format!("`{name}` is missing");
        reader.error("missing-field", node, message, "a file of service tags, as Microsoft publishes it");
    }
    found
}

/// A change number; the discovery API writes it as a string.
fn change_number(reader: &mut Reader, node: &Node<'_>) -> Option<u64> {
    let text = match &node.value.kind {
        document::Kind::Number(number) => Some(number.as_str()),
        _ => node.value.as_str(),
    };
    let number = text.and_then(|text| text.parse().ok());
    if number.is_none() {
        reader.error("wrong-type", node, "this is not a change number", "a whole number");
    }
    number
}

fn prefix(reader: &mut Reader, node: &Node<'_>) -> Option<IpNet> {
    let text = reader.string(node)?;
    let prefix = super::subnet::prefix(text);
    match prefix {
        Ok(prefix) => Some(prefix),
        Err(error) => {
            reader.error("unknown-value", node, error, "a CIDR prefix");
            None
        }
    }
}
