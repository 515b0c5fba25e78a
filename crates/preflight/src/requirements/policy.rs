//! Azure Policy assignments that break builds.

use arm::{Resource, ResourceId, field};
use document::Value;

use super::{BASE, ISOLATION};
use crate::finding::Asked;
use crate::policy::{Effect, EffectKind, effects, ending};
use crate::{Check, Outcome, Repair, Requirement, Subject};

pub(super) const ALL: &[Requirement] = &[Requirement {
    id: "policy.assignments",
    title: "no policy denies what a build makes",
    source: ISOLATION,
    assumption: Some(
        "the staging storage account has no firewall and takes shared keys, as public evidence shows; an assignment's \
         parameter `effect` is what its definition does",
    ),
    check: Check::Ask(assignments),
    ..BASE
}];

fn assignments(subject: &Subject<'_>) -> Asked {
    let inventory = subject.inventory()?;
    let all: Vec<_> = inventory.of_type("Microsoft.Authorization/policyAssignments").collect();
    if all.is_empty() {
        return Ok(Outcome::skipped("no document tells of policy assignments (`az policy assignment list`)"));
    }
    let judged: Vec<(&Resource, Vec<Effect>)> =
        all.iter().map(|&assignment| (assignment, effects(assignment, subject, inventory))).collect();
    let of = |kind| {
        judged.iter().flat_map(move |(assignment, effects)| {
            let own = effects.iter().filter(move |effect| effect.kind == kind);
            own.map(move |effect| (*assignment, effect))
        })
    };
    let told = |kind| {
        let each =
            of(kind).map(|(assignment, effect)| format!("{}: {}", name(subject, assignment), effect.detail));
        each.collect::<Vec<_>>().join("; ")
    };
    let span = |kind| of(kind).next().map(|(assignment, _)| assignment.value.span);
    let first = [EffectKind::Denies, EffectKind::Open, EffectKind::Changes]
        .into_iter()
        .find(|kind| span(*kind).is_some());
    let outcome = match first {
        None => {
            Outcome::pass(format!("{} assignments refuse and alter nothing of what a build makes", all.len()))
        }
        Some(kind @ EffectKind::Denies) => {
            let repairs = of(kind).map(|(assignment, effect)| past(assignment, effect, subject));
            let repair = repairs.reduce(Repair::and).map(Box::new);
            let open = told(EffectKind::Open);
            let open = if open.is_empty() { open } else { format!("; not decided: {open}") };
            Outcome { repair, ..Outcome::fail(format!("{}{open}", told(kind))) }
        }
        Some(kind @ EffectKind::Open) => {
            Outcome::undecided(format!("whether it denies what a build makes: {}", told(kind)))
        }
        Some(kind @ EffectKind::Changes) => Outcome::warn(told(kind)),
    };
    Ok(Outcome { span: first.and_then(span), assumptions: ending(inventory), ..outcome })
}

/// How a build gets past an assignment.
fn past(assignment: &Resource, effect: &Effect, subject: &Subject<'_>) -> Repair {
    let own = subject.template.and_then(|template| template.staging_resource_group.as_ref()?.known());
    let group = own.unwrap_or("STAGING_RESOURCE_GROUP_ID");
    let az = format!(
        "az policy exemption create --name image-builder --exemption-category Waiver --policy-assignment {} --scope {group}",
        assignment.id
    );
    let exempt = "have the staging resource group exempt, which one of your own, named by `stagingResourceGroup`, can be \
                  before the build";
    let tags =
        if effect.asks_for_tags { "set the tags by the template's `managedResourceTags`, or " } else { "" };
    Repair::in_words(format!("{}: {tags}{exempt}", name(subject, assignment))).by(az)
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    field(value, name).and_then(Value::as_str)
}

/// Name of the assignment for people, with that of its definition where that is known.
fn name(subject: &Subject<'_>, assignment: &Resource) -> String {
    let own = text(&assignment.value, "displayName").unwrap_or_else(|| assignment.id.name());
    let id = text(&assignment.value, "policyDefinitionId").unwrap_or_default();
    let told = ResourceId::parse(id).ok().and_then(|id| subject.inventory().ok()?.find(&id));
    let of = told.and_then(|definition| text(&definition.value, "displayName"));
    match of.or_else(|| crate::policy::built_in_name(id)) {
        Some(of) if of != own => format!("'{own}' ({of})"),
        _ => format!("'{own}'"),
    }
}
