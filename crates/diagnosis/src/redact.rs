//! What must not be shown: keys, tokens and passwords that logs and errors carry.

use std::sync::LazyLock;

use regex::Regex;

use crate::rules::regex;

const HIDDEN: &str = "***";
const AFTER: &str = "${kept}***";

/// Each pattern with what it becomes.
static SECRETS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let value = r#"(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'&;,]+)"#;
    let names = r"(?:account|access|api|shared|storage)[-_ ]?key|password|passwd|pwd|secret|token";
    let named = format!(
        r#"(?i)(?P<kept>(?:{names})["']?\s*[=:]\s*|--[a-z-]*(?:password|secret|token|account-key)[= ]\s*){value}"#
    );
    let all = [
        // Keys as files; one that is cut off reaches to the end.
        (
            r"(?s)(?P<kept>-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
            AFTER,
        ),
        // JSON web tokens.
        (r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*", HIDDEN),
        // What a request authenticates with.
        (r#"(?i)(?P<kept>\bauthorization["']?\s*[=:]\s*["']?(?:[a-z]+\s+)?)[^\s"']+"#, AFTER),
        (r"(?i)(?P<kept>\bbearer\s+)[A-Za-z0-9._~+/=-]{16,}", AFTER),
        // Signatures of shared access, also where `=` and what follows are escaped.
        (r"(?i)(?P<kept>\bsig(?:=|%3d))(?:[A-Za-z0-9+/=_.~-]|%[0-9a-f]{2})+", AFTER),
        // User names and passwords in addresses.
        (r#"(?i)(?P<kept>\b[a-z][a-z0-9+.-]*://)[^\s/"'<>]+@"#, "${kept}***@"),
        // User names and passwords in the arguments of curl.
        (r#"(?P<kept>\s(?:-u|--user)[ =]\s*["']?[^\s:"']+:)[^\s"']+"#, AFTER),
        // Keys of storage accounts stand for themselves.
        (r"[A-Za-z0-9+/]{86}==", HIDDEN),
        // Names that say what they hold: `AccountKey=...`, `"password": "..."`, `--client-secret ...`.
        (&named, AFTER),
    ];
    all.map(|(pattern, becomes)| (regex(pattern), becomes)).into()
});

/// The text without keys, tokens and passwords: each is `***`.
pub fn redact(text: &str) -> String {
    SECRETS
        .iter()
        .fold(text.to_owned(), |text, (secret, becomes)| secret.replace_all(&text, *becomes).into_owned())
}

/// Whether a line begins a key that further lines go on with.
pub(crate) fn begins_key(line: &str) -> bool {
    line.contains("PRIVATE KEY-----") && line.contains("-----BEGIN")
}

/// Whether a line after that is a part of the key.
pub(crate) fn is_key(line: &str) -> bool {
    let last = line.split_whitespace().last().unwrap_or_default();
    last.len() >= 16 && last.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}
