//! Readers of documents: each turns what it finds into descriptions of resources.

mod expression;
mod resources;
mod template;
mod terraform;

use document::{Kind, Value};

use crate::ResourceId;
use crate::environment::SourceKind;
use crate::inventory::Collector;

/// Where resources are whose document does not say so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub subscription: Option<String>,
    pub resource_group: Option<String>,
    pub location: Option<String>,
}

impl Scope {
    /// The id of a resource by its full type and its names, outermost first; a name that is missing is `*`.
    pub fn id(&self, resource_type: &str, names: &str) -> Option<ResourceId> {
        let open = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
        let mut types = resource_type.trim_matches('/').split('/');
        let provider = types.next()?;
        let types: Vec<_> = types.collect();
        let names: Vec<_> = names.split('/').filter(|name| !name.trim().is_empty()).collect();
        let mut id = format!(
            "/subscriptions/{}/resourceGroups/{}/providers/{provider}",
            open(&self.subscription),
            open(&self.resource_group)
        );
        // Names that are missing are those of the outermost resources; surplus ones are of scopes further out.
        let surplus = names.len().saturating_sub(types.len());
        let missing = types.len().saturating_sub(names.len());
        for (index, kind) in types.iter().enumerate() {
            let name = index.checked_sub(missing).and_then(|index| names.get(index + surplus)).copied();
            id = format!("{id}/{kind}/{}", name.unwrap_or("*"));
        }
        ResourceId::parse(&id).ok()
    }
}

/// What a document is, by what it holds.
fn detect(value: &Value) -> SourceKind {
    let has = |field: &str| value.as_object().is_some_and(|object| object.find(field).is_some());
    let schema = value.get("$schema").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    if has("planned_values") || has("terraform_version") || has("resource_changes") {
        SourceKind::TerraformPlan
    } else if schema.contains("deploymenttemplate") || (has("resources") && has("contentVersion")) {
        SourceKind::ArmTemplate
    } else {
        SourceKind::Resources
    }
}

/// A document with what its environment says about it.
pub(crate) struct Given<'a> {
    /// What it is said to be; `None` when it is to be found out.
    pub kind: Option<SourceKind>,
    pub scope: Scope,
    /// Values of template parameters: names and values.
    pub parameters: Vec<(String, &'a Value)>,
}

/// Reads one document.
pub(crate) fn document(collector: &mut Collector, value: Value, given: &Given<'_>) {
    let found = detect(&value);
    let kind = match given.kind {
        // An exported template is a document of resources, too.
        None | Some(SourceKind::Resources | SourceKind::Snapshot) => found,
        Some(kind) if kind == found => kind,
        Some(kind) => {
            let (is, expected) = (found.describe(), kind.describe());
            collector.unread = true;
            collector.error("wrong-kind", value.span, format!("this is {is}"), expected);
            return;
        }
    };
    match kind {
        SourceKind::ArmTemplate => template::read(collector, &value, given),
        SourceKind::TerraformPlan => terraform::read(collector, &value, &given.scope),
        SourceKind::Resources | SourceKind::Snapshot => resources::read(collector, value, &given.scope),
    }
}

/// The text of a member, ignoring the case of its name; an empty one is absent.
fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    member(value, field)?.as_str().filter(|text| !text.is_empty())
}

/// A member, ignoring the case of its name; `null` is absent.
fn member<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    let found = &value.as_object()?.find(field)?.value;
    (!matches!(found.kind, Kind::Null)).then_some(found)
}
