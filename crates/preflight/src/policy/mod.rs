//! Azure Policy: what assignments do to what a build makes, by the rules of their definitions.
//!
//! Definitions come from the documents; of those that Azure brings, the ones that matter are known here by their ids.
//! A definition that is not known, or a rule that asks for what nobody tells, leaves the assignment open.

mod expression;
mod made;
mod rule;

use std::sync::OnceLock;

use arm::{Inventory, Resource, ResourceId, field};
use document::{Kind, SourceText, Value, parse_json};

use crate::Subject;
use expression::Parameters;
use made::Made;
use rule::{Term, Truth, holds};

const EXEMPTIONS: &str = "Microsoft.Authorization/policyExemptions";

/// What an assignment does to a build.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Effect {
    pub kind: EffectKind,
    /// What it is about, in words.
    pub detail: String,
    /// Whether the rule asks for tags, which a template can set.
    pub asks_for_tags: bool,
}

impl Effect {
    fn open(because: impl Into<String>) -> Self {
        Self { kind: EffectKind::Open, detail: because.into(), asks_for_tags: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EffectKind {
    /// Something that a build makes is refused.
    Denies,
    /// Something that a build makes is altered, or gets company.
    Changes,
    /// It is not known.
    Open,
}

/// The built-in definitions, by the last part of their ids.
fn built_in(id: &str) -> Option<&'static Value> {
    static ALL: OnceLock<Option<Value>> = OnceLock::new();
    let all = ALL
        .get_or_init(|| parse_json(&SourceText::new("built_in.json", include_str!("built_in.json"))).value);
    all.as_ref()?.as_object()?.find(id).map(|member| &member.value)
}

/// What people call a built-in definition.
pub(crate) fn built_in_name(id: &str) -> Option<&'static str> {
    field(built_in(id.rsplit_once('/')?.1)?, "displayName")?.as_str()
}

/// What an assignment does to what a build makes: nothing where nothing is said.
pub(crate) fn effects(assignment: &Resource, subject: &Subject<'_>, inventory: &Inventory) -> Vec<Effect> {
    let open = |because: String| vec![Effect::open(because)];
    let own = |name| field(&assignment.value, name);
    if own("enforcementMode")
        .and_then(Value::as_str)
        .is_some_and(|mode| mode.eq_ignore_ascii_case("DoNotEnforce"))
    {
        return Vec::new();
    }
    if let Some(special) = ["overrides", "resourceSelectors"].into_iter().find(|name| own(name).is_some()) {
        return open(format!("its `{special}` are not evaluated"));
    }
    let is_exempt =
        |made: &Made, member: Option<&str>| is_exempt(assignment, member, group(made, subject), inventory);
    let made: Vec<_> = made::all(subject)
        .into_iter()
        .filter(|made| reaches(assignment, group(made, subject)) && !is_exempt(made, None))
        .collect();
    if made.is_empty() {
        return Vec::new();
    }
    let id = own("policyDefinitionId").and_then(Value::as_str).unwrap_or_default();
    let parameters = Parameters { given: own("parameters"), declared: None, around: None };
    match (members(id, inventory), definition(id, inventory)) {
        (Some(set), _) => of_set(set, &parameters, inventory, |member| {
            made.iter().filter(|made| !is_exempt(made, Some(member))).cloned().collect()
        }),
        (None, Some(rule)) => of_definition(rule, parameters, &made),
        (None, None) => unknown(&parameters),
    }
}

/// Nothing is known of the definition: what its assignment calls `effect` is one.
fn unknown(parameters: &Parameters<'_>) -> Vec<Effect> {
    let harmless = match parameters.get("effect") {
        Term::Text(effect) => ["audit", "auditifnotexists", "disabled", "manual"]
            .contains(&effect.to_ascii_lowercase().as_str()),
        _ => false,
    };
    let detail = "no document defines it (`az policy definition list`, `az policy set-definition list`)";
    if harmless { Vec::new() } else { vec![Effect::open(detail)] }
}

/// Fields of a resource of a type, by its id; a built-in one is also known without its scope.
fn definition<'a>(id: &str, inventory: &'a Inventory) -> Option<&'a Value> {
    let told = find(id, inventory).filter(|own| field(&own.value, "policyRule").is_some());
    told.map(|own| &own.value).or_else(|| {
        let (scope, name) = id.rsplit_once('/')?;
        scope
            .eq_ignore_ascii_case("/providers/Microsoft.Authorization/policyDefinitions")
            .then(|| built_in(name))?
    })
}

fn find<'a>(id: &str, inventory: &'a Inventory) -> Option<&'a Resource> {
    inventory.find(&ResourceId::parse(id).ok()?)
}

/// The definition of a set.
fn members<'a>(id: &str, inventory: &'a Inventory) -> Option<&'a Value> {
    let own = find(id, inventory)?;
    own.id.is_type("Microsoft.Authorization/policySetDefinitions").then_some(&own.value)
}

fn of_set(
    set: &Value,
    given: &Parameters<'_>,
    inventory: &Inventory,
    made_for: impl Fn(&str) -> Vec<Made>,
) -> Vec<Effect> {
    let around = Parameters { declared: field(set, "parameters"), ..*given };
    let Some(members) = field(set, "policyDefinitions").and_then(Value::as_array) else {
        return vec![Effect::open("no document tells the members of its set")];
    };
    let one = |member: &Value| {
        let text = |name| field(member, name).and_then(Value::as_str).unwrap_or_default();
        let made = made_for(text("policyDefinitionReferenceId"));
        let id = text("policyDefinitionId");
        let parameters =
            Parameters { given: field(member, "parameters"), declared: None, around: Some(&around) };
        let effects = definition(id, inventory)
            .map_or_else(|| unknown(&parameters), |rule| of_definition(rule, parameters, &made));
        let name =
            definition(id, inventory).and_then(|rule| field(rule, "displayName")?.as_str()).unwrap_or(id);
        let named = |effect: Effect| Effect { detail: format!("'{name}': {}", effect.detail), ..effect };
        effects.into_iter().map(named).collect::<Vec<_>>()
    };
    members.iter().flat_map(one).collect()
}

fn of_definition(definition: &Value, given: Parameters<'_>, made: &[Made]) -> Vec<Effect> {
    let parameters = Parameters { declared: field(definition, "parameters"), ..given };
    let rule = field(definition, "policyRule");
    let (Some(condition), Some(then)) =
        (rule.and_then(|rule| field(rule, "if")), rule.and_then(|rule| field(rule, "then")))
    else {
        return vec![Effect::open("its rule is not known")];
    };
    let effect = field(then, "effect").map_or(Term::Absent, |effect| expression::effect(effect, &parameters));
    let asked_about = field(definition, "mode").and_then(Value::as_str).unwrap_or("Indexed");
    let asked = made.iter().filter(|made| match asked_about.to_ascii_lowercase().as_str() {
        "all" => true,
        "indexed" => made.is_indexed,
        // Modes of resource providers are about what is inside of their resources.
        _ => false,
    });
    let (kind, does) = match &effect {
        Term::Text(effect) => match effect.to_ascii_lowercase().as_str() {
            "audit" | "auditifnotexists" | "disabled" | "manual" => return Vec::new(),
            "deny" => (EffectKind::Denies, "refuses".to_owned()),
            "append" | "modify" => (EffectKind::Changes, altered(then)),
            "deployifnotexists" => (EffectKind::Changes, "deploys something beside".to_owned()),
            "denyaction" => (EffectKind::Changes, "may keep the service from deleting".to_owned()),
            other => (EffectKind::Open, format!("the effect `{other}` on")),
        },
        Term::Open(because) => (EffectKind::Open, format!("its effect is {because}; on")),
        Term::Absent | Term::List(_) => (EffectKind::Open, "its effect is not known; on".to_owned()),
    };
    let (mut hit, mut open) = (Vec::new(), Vec::new());
    for made in asked {
        match holds(condition, made, &parameters) {
            Truth::Yes => hit.push(made.what),
            Truth::No => {}
            Truth::Open(because) => open.push(because),
        }
    }
    open.dedup();
    let asks_for_tags = condition.to_json_pretty().contains("tags");
    let detail = format!("{does} {}", hit.join(", "));
    let hit = (!hit.is_empty()).then_some(Effect { kind, detail, asks_for_tags });
    let open = (!open.is_empty()).then(|| Effect::open(format!("it asks for {}", open.join("; "))));
    hit.into_iter().chain(open).collect()
}

/// What a rule that alters resources alters.
fn altered(then: &Value) -> String {
    let operations = field(then, "details").and_then(|details| field(details, "operations"));
    let fields: Vec<_> = operations
        .and_then(Value::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(|one| field(one, "field")?.as_str())
        .map(|alias| format!("`{}`", alias.rsplit('/').next().unwrap_or(alias)))
        .collect();
    if fields.is_empty() { "alters".to_owned() } else { format!("sets {} of", fields.join(", ")) }
}

/// Where an assignment holds: what it says, else what its id extends.
fn scope(resource: &Resource) -> String {
    let own = field(&resource.value, "scope").and_then(Value::as_str).filter(|scope| scope.starts_with('/'));
    let own = own.map(str::to_owned);
    own.or_else(|| resource.id.parent().map(|id| id.to_string())).unwrap_or_default()
}

/// The resource group that something is made in; none for the one that the service makes in the subscription.
fn group<'s>(made: &'s Made, subject: &'s Subject<'_>) -> Option<&'s str> {
    if !made.is_staged {
        return made.group.as_deref();
    }
    subject.template?.staging_resource_group.as_ref()?.known()
}

/// Whether what is in a group is inside a scope.
fn is_inside(group: Option<&str>, scope: &str) -> bool {
    let lower = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
    let Some(group) = group else { return !lower(scope).contains("/resourcegroups/") };
    let is_of_many = lower(scope).starts_with("/providers/microsoft.management/managementgroups/");
    let rest = lower(group).strip_prefix(&lower(scope)).map(str::to_owned);
    is_of_many || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether an assignment holds in a group.
fn reaches(assignment: &Resource, group: Option<&str>) -> bool {
    let spared = field(&assignment.value, "notScopes").and_then(Value::as_array).unwrap_or_default();
    let mut spared = spared.iter().filter_map(Value::as_str);
    is_inside(group, &scope(assignment)) && !spared.any(|scope| is_inside(group, scope))
}

/// Whether an exemption from an assignment, or from a member of its set, holds in a group.
fn is_exempt(
    assignment: &Resource,
    member: Option<&str>,
    group: Option<&str>,
    inventory: &Inventory,
) -> bool {
    inventory.of_type(EXEMPTIONS).any(|own| {
        let of = field(&own.value, "policyAssignmentId").and_then(Value::as_str).unwrap_or_default();
        let members = field(&own.value, "policyDefinitionReferenceIds").and_then(Value::as_array);
        let is_meant = match (members, member) {
            (None, None) => true,
            (Some(members), Some(member)) => {
                members.iter().filter_map(Value::as_str).any(|id| id.eq_ignore_ascii_case(member))
            }
            _ => false,
        };
        let holds = is_inside(group, &scope(own)) && own.doubt.is_none();
        of.eq_ignore_ascii_case(assignment.id.as_str()) && is_meant && holds
    })
}

/// When exemptions end that are relied on, for whoever must watch it.
pub(crate) fn ending(inventory: &Inventory) -> Vec<String> {
    let all = inventory.of_type(EXEMPTIONS);
    let ends = |own: &Resource| match field(&own.value, "expiresOn").map(|found| &found.kind) {
        Some(Kind::String(when)) => {
            Some(format!("the policy exemption {} still holds: it ends on {when}", own.id.name()))
        }
        _ => None,
    };
    all.filter_map(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_definition_has_a_rule() {
        let text = include_str!("built_in.json");
        let all = parse_json(&SourceText::new("built_in.json", text)).value.expect("JSON");
        for member in all.as_object().expect("definitions") {
            assert_eq!(member.key.len(), 36, "{}", member.key);
            for name in ["displayName", "mode", "policyRule"] {
                assert!(field(&member.value, name).is_some(), "{}: {name}", member.key);
            }
        }
    }
}
