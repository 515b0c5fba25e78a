//! What a client sends to be deployed, read as leniently as Azure reads it (azure-clients.md 3.3).

use access::Action;
use arm::{Deployment, Plan, ResourceId};
use document::{Diagnostic, Kind, SourceText, Value, parse_json, parse_lenient_json};
use serde_json::{Map, Value as Json, json};

use super::Place;
use crate::LocalAzure;
use crate::call::Call;
use crate::error::ArmError;
use crate::identity::Principal;
use crate::store::{ALL, Row};

/// A template and its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    template: String,
    parameters: Option<Value>,
    pub location: Option<String>,
}

/// Reads the body of a request.
pub(super) fn read(call: &Call<'_>) -> Result<Given, ArmError> {
    let invalid = |why: &str| {
        let message = format!("The request content was invalid and could not be deserialized: '{why}'.");
        ArmError::bad("InvalidRequestContent", message)
    };
    let text = std::str::from_utf8(call.request.bytes()).map_err(|_| invalid("it is not UTF-8"))?;
    let source = SourceText::new("request", text);
    let document = parse_lenient_json(&source);
    let Some(body) = document.value else {
        let why = document.diagnostics.first().map_or_else(String::new, |found| told(found, &source));
        return Err(invalid(&why));
    };
    let properties = body.get("properties").ok_or_else(|| invalid("there are no properties"))?;
    if properties
        .get("mode")
        .and_then(Value::as_str)
        .is_some_and(|mode| mode.eq_ignore_ascii_case("Complete"))
    {
        return Err(ArmError::not_implemented(
            "the mode 'Complete', which deletes what a template does not name,",
        ));
    }
    let Some(template) = properties.get("template").filter(|template| template.as_object().is_some()) else {
        if properties.get("templateLink").is_some() {
            return Err(ArmError::not_implemented("a template that is elsewhere ('templateLink')"));
        }
        return Err(ArmError::bad("InvalidRequestContent", "The template is missing from the request."));
    };
    // The template's own text, so that lines are those of the file it came from.
    let template = text.get(template.span.start..template.span.end).unwrap_or_default().to_owned();
    let location = body.get("location").and_then(Value::as_str).map(str::to_owned);
    Ok(Given { template, parameters: properties.get("parameters").cloned(), location })
}

/// A complaint in one line, with its place.
fn told(found: &Diagnostic, source: &SourceText) -> String {
    let at = source.position(found.span.start);
    let hint = found.hint.as_deref().map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("{} at line {}, column {}{hint}", found.message, at.line, at.column)
}

impl Given {
    /// What would be made, given what is there. Errors of the template are `InvalidTemplate`.
    pub fn plan(&self, azure: &LocalAzure, place: &Place) -> Result<Plan, ArmError> {
        let source = SourceText::new("template", self.template.as_str());
        let wrong = |found: &[&Diagnostic]| {
            let all: Vec<_> = found.iter().map(|found| told(found, &source)).collect();
            let message = format!("Deployment template validation failed: '{}'.", all.join("; "));
            ArmError::bad("InvalidTemplate", message)
        };
        let document = parse_lenient_json(&source);
        let errors: Vec<&Diagnostic> = document.diagnostics.iter().filter(|found| found.is_error()).collect();
        let Some(template) = document.value.filter(|_| errors.is_empty()) else { return Err(wrong(&errors)) };
        let deployment = Deployment {
            name: &place.name,
            subscription: &azure.secrets().subscription,
            resource_group: place.resource_group.as_deref(),
            location: place.location.as_deref(),
            text: source.clone(),
            template,
            parameters: self.parameters.clone(),
        };
        let plan = deployment.plan(existing(azure)?);
        let errors: Vec<&Diagnostic> = plan.found.iter().filter(|found| found.is_error()).collect();
        if errors.is_empty() { Ok(plan) } else { Err(wrong(&errors)) }
    }

    /// Parameters as a deployment shows them: values of those that are secret stay out.
    pub fn shown_parameters(&self) -> Json {
        let template = parse_lenient_json(&SourceText::new("template", self.template.as_str())).value;
        let declared = template.as_ref().and_then(|template| template.get("parameters"));
        let mut shown = Map::new();
        for member in self.parameters.iter().filter_map(Value::as_object).flatten() {
            let kind = declared
                .and_then(|declared| declared.as_object()?.find(&member.key)?.value.get("type")?.as_str())
                .unwrap_or("String");
            let secret = kind.to_ascii_lowercase().starts_with("secure");
            let value = member.value.get("value").filter(|_| !secret).map(json);
            shown.insert(member.key.clone(), json!({ "type": kind, "value": value }));
        }
        shown.into()
    }
}

/// What is there, as the interface shows it.
fn existing(azure: &LocalAzure) -> Result<Vec<(ResourceId, Value)>, ArmError> {
    let scope = azure.subscription();
    let rows = azure.store.read(|connection| Ok(Row::within(connection, &scope, None, ALL)?.rows))?;
    let read = |row: Row| {
        let id = ResourceId::parse(row.body["id"].as_str()?).ok()?;
        let value = parse_json(&SourceText::new("state", row.body.to_string())).value?;
        Some((id, value))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Refuses a deployment of what its caller may not write, before anything is made.
pub(super) fn check(azure: &LocalAzure, caller: &Principal, plan: &Plan) -> Result<(), ArmError> {
    let mut details = Vec::new();
    for resource in &plan.resources {
        let Some(resource_type) = resource.id.resource_type() else { continue };
        let action = format!("{resource_type}/write");
        let scope = resource.id.as_str();
        if scope.contains(['*', '{']) || azure.may(&caller.object, Action::Control(&action), scope)? {
            continue;
        }
        let message = format!(
            "Authorization failed for template resource '{}' of type '{resource_type}'. The client '{}' with object id '{}' \
             does not have permission to perform action '{action}' at scope '{scope}'.",
            resource.id.name(),
            caller.client,
            caller.object
        );
        details.push(ArmError::forbidden("AuthorizationFailed", message));
    }
    if details.is_empty() {
        return Ok(());
    }
    let first = details[0].message.clone();
    let message = format!("The template deployment failed with error: '{first}'.");
    Err(ArmError::forbidden("InvalidTemplateDeployment", message).because(details))
}

/// A value of a template as JSON. What is not known is `null`; ask [`unknown`] first.
pub(crate) fn json(value: &Value) -> Json {
    match &value.kind {
        Kind::Null | Kind::Unknown(_) => Json::Null,
        Kind::Bool(value) => (*value).into(),
        Kind::Number(number) => serde_json::from_str(number.as_str()).unwrap_or_default(),
        Kind::String(text) => text.clone().into(),
        Kind::Array(items) => items.iter().map(json).collect(),
        Kind::Object(object) => object
            .iter()
            .map(|member| (member.key.clone(), json(&member.value)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

/// The first thing in a value that is not known, and why.
pub(crate) fn unknown(value: &Value) -> Option<String> {
    match &value.kind {
        Kind::Unknown(because) => Some(because.clone()),
        Kind::Array(items) => items.iter().find_map(unknown),
        Kind::Object(object) => object.iter().find_map(|member| unknown(&member.value)),
        _ => None,
    }
}
