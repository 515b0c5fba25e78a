//! How much Azure takes in one template ("ARM template best practices: template limits").

use document::{Diagnostic, Member, Object, Severity, Value};

use super::copy;
use super::eval::Evaluator;
use crate::read::member;

/// The largest template and parameter file, in bytes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The most resources, loops turned.
const MAX_RESOURCES: usize = 800;

/// The most members of the other sections. Older editions of the page say 256 variables.
const SECTIONS: [(&str, usize); 3] = [("parameters", 256), ("variables", 512), ("outputs", 64)];

/// Reports what a template has too many of, as bad as `severity`. Azure exports larger ones than it deploys.
pub fn check(evaluator: &Evaluator<'_>, template: &Value, resources: usize, severity: Severity) {
    let sections = SECTIONS.iter().filter_map(|&(name, most)| {
        let section = member(template, name)?;
        let counted = section.as_object().into_iter().flat_map(Object::iter).map(turned).sum();
        Some((name, most, counted, section))
    });
    let resources = member(template, "resources").map(|all| ("resources", MAX_RESOURCES, resources, all));
    for (name, most, counted, section) in
        sections.chain(resources).filter(|(_, most, counted, _)| counted > most)
    {
        let message = format!("the template has {counted} {name}");
        let error = Diagnostic::error("limit", section.span, message)
            .expecting(format!("at most {most}, Azure's limit"))
            .hinting("move a part into a nested deployment, or put several values into an object");
        evaluator.report(Diagnostic { severity, ..error });
    }
}

/// How many variables a member stands for.
fn turned(member: &Member) -> usize {
    copy::loops(member).map_or(1, <[_]>::len)
}

/// Reports a text that is too large; whether it is.
pub fn is_too_large(evaluator: &Evaluator<'_>, what: &str, value: &Value) -> bool {
    let bytes = value.span.end - value.span.start;
    if bytes > MAX_BYTES {
        let error = Diagnostic::error("too-large", value.span, format!("the {what} has {bytes} bytes"));
        evaluator.report(
            error
                .expecting(format!("at most {MAX_BYTES}, Azure's limit"))
                .hinting("move a part into a template of its own"),
        );
    }
    bytes > MAX_BYTES
}
