//! Whole templates in, complaints out.

mod accepted;
mod hostile;
mod rendered;
mod round_trip;
mod rules;

use document::SourceText;

use crate::{Parsed, parse};

/// The properties of a template that has no faults.
pub(super) const SOURCE: &str = r#""source": {"type": "PlatformImage", "publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}"#;
pub(super) const DISTRIBUTE: &str = r#""distribute": [{"type": "VHD", "runOutputName": "box"}]"#;
pub(super) const IDENTITY: &str = r#""identity": {"type": "UserAssigned", "userAssignedIdentities": {"/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i": {}}}"#;

/// A template around `properties`, whose first line is line 2.
pub(super) fn with_properties(version: &str, properties: &str) -> String {
    format!(
        "{{\"apiVersion\": \"{version}\", \"location\": \"westeurope\", {IDENTITY}, \"properties\": {{\n{properties}\n}}}}"
    )
}

pub(super) fn read(text: &str) -> Parsed {
    parse(&SourceText::new("template.json", text))
}

/// Every complaint as `line:column severity code path`.
pub(super) fn complaints(text: &str) -> Vec<String> {
    let source = SourceText::new("template.json", text);
    parse(&source)
        .diagnostics
        .iter()
        .map(|diagnostic| {
            let at = source.position(diagnostic.span.start);
            let severity = if diagnostic.is_error() { "error" } else { "warning" };
            format!("{}:{} {severity} {} {}", at.line, at.column, diagnostic.code, diagnostic.path)
        })
        .collect()
}
