//! Findings as SARIF 2.1.0, so that code scanning marks the rule at its line.

use preflight::{Finding, Report, Severity, Status, Subject};
use serde_json::{Value, json};

use super::check::place;

/// The log: one run, every requirement that was asked as a rule, every finding that is not met as a result.
pub fn log(report: &Report, subject: &Subject<'_>) -> Value {
    let rules: Vec<_> = report.findings.iter().map(rule).collect();
    let results = report.findings.iter().enumerate().filter_map(|(index, finding)| {
        let (kind, level) = match finding.status() {
            Status::Fail => ("fail", "error"),
            Status::Warn => ("fail", "warning"),
            Status::Undecided => ("open", "none"),
            Status::Pass | Status::Skipped => return None,
        };
        Some(result(index, finding, subject, kind, level))
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "aks-jumpbox", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn rule(finding: &Finding) -> Value {
    let requirement = finding.requirement;
    let level = match requirement.severity {
        Severity::Required => "error",
        Severity::Advised => "warning",
    };
    json!({
        "id": requirement.id,
        "shortDescription": {"text": requirement.title},
        "help": {"text": format!("Source: {}", requirement.source)},
        "defaultConfiguration": {"level": level},
        "properties": {"tags": [requirement.area()]},
    })
}

fn result(index: usize, finding: &Finding, subject: &Subject<'_>, kind: &str, level: &str) -> Value {
    let outcome = &finding.outcome;
    let repair =
        outcome.repair.as_ref().map(|repair| format!(" Repair: {}.", repair.summary)).unwrap_or_default();
    let message = format!("{}: {}.{repair}", finding.requirement.title, outcome.detail);
    let mut result = json!({
        "ruleId": finding.requirement.id,
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": {"text": message},
        "partialFingerprints": {"requirement/v1": finding.requirement.id},
    });
    // What stands nowhere is about the documents as a whole: the first of them.
    let first = || {
        let sources = subject.network.as_ref()?.inventory.sources();
        sources.texts().next().map(|text| (text.name().to_owned(), 1, 1))
    };
    if let Some((file, line, column)) = place(finding, subject).or_else(first) {
        result["locations"] = json!([{"physicalLocation": {
            "artifactLocation": {"uri": uri(&file)},
            "region": {"startLine": line, "startColumn": column},
        }}]);
    }
    result
}

/// A path as a URI reference (RFC 3986): what is not unreserved or a slash is escaped.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let escaped = path
        .trim_start_matches("./")
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    let escaped: String = escaped.collect();
    if escaped.starts_with('/') { format!("file://{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_uri_references() {
        assert_eq!(uri("./docs/a b.json"), "docs/a%20b.json");
        assert_eq!(uri("/srv/ä.json"), "file:///srv/%C3%A4.json");
    }
}
