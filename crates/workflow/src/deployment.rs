//! The ARM deployment that makes an image template: an ordinary template that anyone can read, try with what-if and deploy
//! with any tool.

use image_template::ImageTemplate;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::design::{Design, short_digest};

/// Tag of what is made here, so that whoever meets it knows.
pub const TAG: (&str, &str) = ("createdBy", "aks-jumpbox");

/// Tag of a template that holds a digest of what can be changed in it: Azure completes what it is told, so what it tells
/// cannot be compared.
pub(crate) const SETTINGS: &str = "aks-jumpbox-settings";

/// The request that deploys a template (Deployments, 2025-04-01).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeploymentRequest {
    properties: DeploymentProperties,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct DeploymentProperties {
    mode: &'static str,
    template: Value,
    parameters: Map<String, Value>,
}

impl Design {
    /// The deployment as the file that `az deployment group create --template-file` takes.
    pub fn deployment(&self) -> String {
        // A tree of texts always has a text.
        serde_json::to_string_pretty(&self.deployment_template()).unwrap_or_default() + "\n"
    }

    /// The same as the body of a request.
    pub fn deployment_request(&self) -> DeploymentRequest {
        let template = self.deployment_template();
        let properties = DeploymentProperties { mode: "Incremental", template, parameters: Map::new() };
        DeploymentRequest { properties }
    }

    /// Name of the deployment: the template's, so that its history can be found from it.
    pub fn deployment_name(&self) -> String {
        self.template_name().to_owned()
    }

    /// What a PATCH can change (azure-image-builder.md 2.1), all of it.
    pub(crate) fn changeable(&self) -> Value {
        let resource = self.resource();
        let properties = &resource["properties"];
        json!({
            "tags": resource["tags"], "identity": resource["identity"],
            "properties": { "distribute": properties["distribute"], "vmProfile": properties["vmProfile"] },
        })
    }

    /// The digest of that which the template's tag holds.
    pub(crate) fn settings(&self) -> String {
        let nameless = ImageTemplate { name: None, ..self.template.clone() };
        short_digest(&nameless.to_json())
    }

    fn resource(&self) -> Value {
        let mut template = self.template.clone();
        template.tags.entry(TAG.0.to_owned()).or_insert_with(|| TAG.1.into());
        template.tags.insert(SETTINGS.to_owned(), self.settings().into());
        serde_json::from_str(&template.to_json()).unwrap_or_default()
    }

    fn deployment_template(&self) -> Value {
        let mut resource = self.resource();
        escape(&mut resource);
        json!({
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "resources": [resource],
        })
    }
}

/// Scripts hold lines that a deployment would read as expressions, such as `[ -f file ]`. What begins with two brackets is
/// read differently by different readers unless it also ends with one, so it is put together by an expression.
fn escape(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("[[") => {
            *text = format!("[concat('[', '{}')]", text[1..].replace('\'', "''"));
        }
        Value::String(text) if text.starts_with('[') && text.ends_with(']') => text.insert(0, '['),
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(members) => members.iter_mut().for_each(|(_, value)| escape(value)),
        _ => {}
    }
}
