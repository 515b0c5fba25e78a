//! Scripts of steps: in place or by their address, with their checksums.

use document::{Diagnostic, Fields, Node, Span, quote};

use super::context::{Context, Reported, optional};
use crate::{Script, Text, lint};

/// Looks for mistakes in a script.
type Lints = fn(&str) -> Vec<lint::Finding>;

const CHECKSUM_RULE: &str = "a SHA-256: 64 lowercase hexadecimal digits";

/// A script in place or by its address: exactly one of them.
pub(super) fn script(context: &mut Context, fields: &Fields<'_>, mistakes: Lints) -> Option<Script> {
    const EITHER: &str = "either `scriptUri` or `inline`";
    let uri = optional(fields, "scriptUri").or_else(|| optional(fields, "script"));
    match (uri, fields.get("inline")) {
        (Some(_), Some(inline)) => {
            let span = fields.member("inline").map_or(inline.span(), |member| member.key_span);
            context.reader.report(
                Diagnostic::error("script-and-inline", span, "`scriptUri` and `inline` are both given")
                    .at(&inline.path)
                    .expecting(EITHER)
                    .hinting("keep one of them, or make two steps"),
            );
            inline_lines(context, &inline, mistakes);
            None
        }
        (None, None) => {
            let node = fields.node();
            let span = Span::new(node.span().start, node.span().start + 1);
            context.reader.report(
                Diagnostic::error("no-script", span, "this step has no script")
                    .at(&node.path)
                    .expecting(EITHER),
            );
            None
        }
        (None, Some(inline)) => {
            if let Some(checksum) = optional(fields, "sha256Checksum") {
                let message = "a checksum belongs to a `scriptUri`; there is none";
                context.error(
                    "checksum-without-uri",
                    &checksum,
                    message,
                    "no `sha256Checksum` beside `inline`",
                );
            }
            inline_lines(context, &inline, mistakes).map(Script::Inline)
        }
        (Some(node), None) => {
            let sha256 = checksum(context, fields, &node);
            let uri = uri_text(context, &node)?;
            Some(Script::Uri { uri, sha256: sha256.ok()? })
        }
    }
}

/// The lines of an inline script. In an ARM template a string in brackets is an expression, and one that
/// starts with `[[` stands for itself without the first bracket.
fn inline_lines(context: &mut Context, node: &Node<'_>, mistakes: Lints) -> Option<Vec<String>> {
    let items = context.array(node)?;
    if items.is_empty() {
        context.error("empty-inline", node, "there is no line to run", "an array of at least one string");
        return None;
    }
    let mut lines = Vec::new();
    for item in &items {
        let Some(line) = context.reader.string(item) else { continue };
        let bracketed = context.in_arm_template && line.starts_with('[') && line.ends_with(']');
        match line.strip_prefix('[') {
            Some(escaped) if bracketed && escaped.starts_with('[') => lines.push(escaped.to_owned()),
            Some(_) if bracketed => {
                let message =
                    format!("{} is an expression: what runs is not known before a deployment", quote(line));
                context.error(
                    "not-literal",
                    item,
                    message,
                    "the line itself; start it with `[[` if it is no expression",
                );
            }
            _ => lines.push(line.to_owned()),
        }
    }
    if lines.len() != items.len() {
        return None;
    }
    let ends: Vec<usize> = lines
        .iter()
        .scan(0, |end, line| {
            *end += line.len() + 1;
            Some(*end)
        })
        .collect();
    for finding in mistakes(&lines.join("\n")) {
        let index = ends.partition_point(|&end| end <= finding.offset).min(items.len() - 1);
        context.warn(finding.code, items[index].span(), &items[index].path, finding.message, finding.hint);
    }
    Some(lines)
}

/// Where a script or a file comes from. Azure fetches http and https; builds on this machine also take files
/// beside the template.
pub(super) fn uri_text(context: &mut Context, node: &Node<'_>) -> Option<Text> {
    let uri = context.shaped(node, "an `https` or `http` URI, or a path beside the template", |uri| {
        let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        let known = matches!(scheme.as_str(), "http" | "https")
            && uri[scheme.len()..].len() > 3
            && uri[scheme.len()..].starts_with("://")
            || scheme == "file"
            || !uri.contains(':');
        known && !uri.contains(|c: char| c.is_whitespace() || c.is_control())
    })?;
    if let Some(known) = uri.known()
        && !known.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http"))
    {
        let message = format!("{} is a file of this machine; Azure cannot fetch it", quote(known));
        context.warn(
            "local-uri",
            node.span(),
            &node.path,
            message,
            "give an `https` URI before building in Azure",
        );
    }
    Some(uri)
}

/// The checksum beside the URI `of`. Its absence is a warning, where the URI is known.
pub(super) fn checksum(
    context: &mut Context,
    fields: &Fields<'_>,
    of: &Node<'_>,
) -> Result<Option<Text>, Reported> {
    let Some(node) = optional(fields, "sha256Checksum") else {
        let message = "nothing checks that what is fetched is what was meant";
        let hint = "add `sha256Checksum`: the output of `sha256sum` for the file";
        context.warn("no-checksum", of.span(), &of.path, message, hint);
        return Ok(None);
    };
    let lowercase_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_right = |text: &str| text.len() == 64 && text.bytes().all(lowercase_hex);
    context.shaped(&node, CHECKSUM_RULE, is_right).map(Some).ok_or(Reported)
}
