//! Readers of documents: each turns what it finds into descriptions of resources.

mod resources;
mod terraform;

use document::{Kind, Value};

use crate::ResourceId;
use crate::environment::SourceKind;
use crate::inventory::Collector;
use crate::template::Template;

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
        let (subscription, group) = (open(&self.subscription), open(&self.resource_group));
        let scope = format!("/subscriptions/{subscription}/resourceGroups/{group}");
        ResourceId::named(&scope, resource_type, names)
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

/// What an environment says about a document.
pub(crate) struct Given {
    /// What it is said to be; `None` when it is to be found out.
    pub kind: Option<SourceKind>,
    pub scope: Scope,
    /// The document of a template's parameter file.
    pub parameter_file: Option<Value>,
    /// Values of template parameters: names and values.
    pub parameters: Vec<(String, Value)>,
}

impl Given {
    /// The template that the document is.
    pub fn template(self, value: Value) -> Template {
        let Self { kind, scope, parameter_file, parameters } = self;
        let is_deployable = kind == Some(SourceKind::ArmTemplate);
        Template { value, is_deployable, name: None, scope, parameter_file, parameters }
    }
}

/// What a document is; `None`, after a complaint, when it is not what it is said to be.
pub(crate) fn kind(collector: &mut Collector, value: &Value, said: Option<SourceKind>) -> Option<SourceKind> {
    let found = detect(value);
    match said {
        // An exported template is a document of resources, too.
        None | Some(SourceKind::Resources | SourceKind::Snapshot) => Some(found),
        Some(kind) if kind == found => Some(kind),
        Some(kind) => {
            let (is, expected) = (found.describe(), kind.describe());
            collector.unread = true;
            collector.error("wrong-kind", value.span, format!("this is {is}"), expected);
            None
        }
    }
}

/// Reads a document that is no template.
pub(crate) fn document(collector: &mut Collector, value: Value, kind: SourceKind, scope: &Scope) {
    match kind {
        SourceKind::TerraformPlan => terraform::read(collector, &value, scope),
        _ => resources::read(collector, value, scope),
    }
}

/// The text of a member, ignoring the case of its name; an empty one is absent.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    member(value, field)?.as_str().filter(|text| !text.is_empty())
}

/// A member, ignoring the case of its name; `null` is absent.
pub(crate) fn member<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    let found = &value.as_object()?.find(field)?.value;
    (!matches!(found.kind, Kind::Null)).then_some(found)
}
