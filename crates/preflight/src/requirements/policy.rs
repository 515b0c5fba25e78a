//! Azure Policy assignments that break builds.

use arm::{Resource, ResourceId, field};
use document::{Kind, Value};

use super::{BASE, ISOLATION};
use crate::finding::Asked;
use crate::{Check, Outcome, Repair, Requirement, Subject};

pub(super) const ALL: &[Requirement] = &[Requirement {
    id: "policy.assignments",
    title: "no policy denies what a build makes",
    source: ISOLATION,
    assumption: Some("what a policy does is told by its name: policy rules are not evaluated"),
    check: Check::Ask(assignments),
    ..BASE
}];

/// Words of a policy's name, all of which it has, and why it breaks a build.
const BREAKING: [(&[&str], &str); 5] = [
    (&["storage", "public network"], "the staging storage account is reached over the public network"),
    (&["shared key"], "the staging storage account uses shared keys as far as is known"),
    (&["allowed resource types"], "a build makes container groups, storage accounts and machines"),
    (
        &["require", "tag", "resource group"],
        "the service makes the staging resource group: set `managedResourceTags`",
    ),
    (&["ddos"], "the identity would have to join the protection plan"),
];

enum Effect {
    Denies,
    Harmless,
    Unknown,
}

fn assignments(subject: &Subject<'_>) -> Asked {
    let inventory = subject.inventory()?;
    let all: Vec<_> = inventory.of_type("Microsoft.Authorization/policyAssignments").collect();
    if all.is_empty() {
        return Ok(Outcome::skipped("no document tells of policy assignments (`az policy assignment list`)"));
    }
    let (mut breaking, mut open, mut span) = (Vec::new(), Vec::new(), None);
    for assignment in &all {
        let name = name(subject, assignment);
        let lower = name.to_ascii_lowercase();
        let known = BREAKING.iter().find(|(words, _)| words.iter().all(|word| lower.contains(word)));
        match (effect(assignment), known) {
            (Effect::Harmless, _) => {}
            (Effect::Denies, Some((_, why))) => {
                breaking.push(format!("'{name}': {why}"));
                span = span.or(Some(assignment.value.span));
            }
            (Effect::Denies | Effect::Unknown, _) => open.push(format!("'{name}'")),
        }
    }
    if !breaking.is_empty() {
        let repair = "exempt the staging resource group from the policy, or bring one that is exempt";
        let outcome = Outcome::fail(breaking.join("; ")).repaired(Repair::in_words(repair));
        return Ok(Outcome { span, ..outcome });
    }
    Ok(if open.is_empty() {
        Outcome::pass(format!("{} assignments only audit or are not enforced", all.len()))
    } else {
        Outcome::undecided(format!("whether these deny what a build makes: {}", open.join(", ")))
    })
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    field(value, name).and_then(Value::as_str)
}

/// Name of the assignment for people, with that of its definition where a document tells it.
fn name(subject: &Subject<'_>, assignment: &Resource) -> String {
    let own = text(&assignment.value, "displayName").unwrap_or_else(|| assignment.id.name());
    let definition = text(&assignment.value, "policyDefinitionId").and_then(|id| ResourceId::parse(id).ok());
    let definition = definition.and_then(|id| subject.inventory().ok()?.find(&id));
    match definition.and_then(|definition| text(&definition.value, "displayName")) {
        Some(of) if of != own => format!("{own} ({of})"),
        _ => own.to_owned(),
    }
}

fn effect(assignment: &Resource) -> Effect {
    if text(&assignment.value, "enforcementMode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("donotenforce"))
    {
        return Effect::Harmless;
    }
    let parameters = field(&assignment.value, "parameters");
    let effect = parameters.and_then(|all| field(all, "effect")).and_then(|effect| field(effect, "value"));
    match effect.map(|value| &value.kind) {
        Some(Kind::String(effect)) => match effect.to_ascii_lowercase().as_str() {
            "deny" => Effect::Denies,
            "audit" | "auditifnotexists" | "disabled" => Effect::Harmless,
            _ => Effect::Unknown,
        },
        _ => Effect::Unknown,
    }
}
