//! Resources of several groups and subscriptions in one template: deployments inside a deployment.

use arm::ResourceId;
use serde_json::{Value, json};

use super::quoted;

const SUBSCRIPTION: &str =
    "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#";
const GROUP: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
const DEPLOYMENT: &str = "Microsoft.Resources/deployments";
const API_VERSION: &str = "2022-09-01";
/// Longest name of a deployment.
const LONGEST: usize = 64;

/// Resources by the group or subscription that they are deployed to.
#[derive(Clone, Debug, Default)]
pub(super) struct Deployments {
    all: Vec<(Target, Vec<Value>)>,
}

/// Where resources are deployed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// None for the subscription that the template is deployed to.
    subscription: Option<String>,
    /// None for the subscription itself.
    group: Option<String>,
}

impl Target {
    /// Where the resource of an id is.
    pub fn of(id: &ResourceId) -> Self {
        let subscription = id.subscription().filter(|own| !own.contains(['*', '{']));
        let same = |text: &str| text.to_ascii_lowercase();
        Self { subscription: subscription.map(same), group: id.resource_group().map(same) }
    }

    /// Whether it is a subscription, where roles are defined.
    pub fn is_subscription(&self) -> bool {
        self.group.is_none()
    }

    /// The subscription around it.
    pub fn subscription(&self) -> Self {
        Self { group: None, ..self.clone() }
    }

    /// Name of what is deployed here.
    fn name(&self) -> String {
        let what = self.group.as_deref().unwrap_or("roles");
        let name: String = format!("repair-{what}");
        name.chars().take(LONGEST).collect()
    }
}

impl Deployments {
    /// Adds a resource, unless it is there. Those of one parent are written one after the other, as Azure asks.
    pub fn add(&mut self, target: Target, mut resource: Value) {
        let at = self.all.iter().position(|(own, _)| *own == target).unwrap_or_else(|| {
            self.all.push((target, Vec::new()));
            self.all.len() - 1
        });
        let own = &mut self.all[at].1;
        let is_it =
            |other: &&Value| ["type", "name", "scope"].iter().all(|key| other[*key] == resource[*key]);
        if own.iter().any(|other| is_it(&other)) {
            return;
        }
        if let Some(before) = own.iter().rev().find(|other| siblings(other, &resource)) {
            resource["dependsOn"] = json!([id(before)]);
        }
        own.push(resource);
    }

    /// The resources alone.
    pub fn bare(self) -> Vec<Value> {
        self.all.into_iter().flat_map(|(_, resources)| resources).collect()
    }

    /// The deployments: those of subscriptions first, for what is defined there is used in groups.
    pub fn resources(&self) -> Vec<Value> {
        let of_subscription = self.all.iter().filter(|(target, _)| target.group.is_none());
        let of_groups = self.all.iter().filter(|(target, _)| target.group.is_some());
        let all = of_subscription.chain(of_groups);
        all.map(|(target, resources)| self.deployment(target, resources)).collect()
    }

    fn deployment(&self, target: &Target, resources: &[Value]) -> Value {
        let mut deployment = json!({ "type": DEPLOYMENT, "apiVersion": API_VERSION, "name": target.name() });
        if let Some(subscription) = &target.subscription {
            deployment["subscriptionId"] = json!(subscription);
        }
        match &target.group {
            Some(group) => deployment["resourceGroup"] = json!(group),
            None => deployment["location"] = json!("[deployment().location]"),
        }
        let subscription = target.subscription();
        if target.group.is_some() && self.all.iter().any(|(other, _)| *other == subscription) {
            let own = subscription.subscription.iter().map(|id| quoted(id));
            let parts = [quoted(DEPLOYMENT), quoted(&subscription.name())];
            let arguments: Vec<_> = own.chain(parts).collect();
            deployment["dependsOn"] = json!([format!("[subscriptionResourceId({})]", arguments.join(", "))]);
        }
        let schema = if target.group.is_some() { GROUP } else { SUBSCRIPTION };
        deployment["properties"] = json!({
            "mode": "Incremental",
            "expressionEvaluationOptions": { "scope": "inner" },
            "template": { "$schema": schema, "contentVersion": "1.0.0.0", "resources": resources },
        });
        deployment
    }
}

/// Whether two resources are of one parent.
fn siblings(one: &Value, other: &Value) -> bool {
    let parent = |resource: &Value| {
        let name = resource["name"].as_str().filter(|name| !name.starts_with('['))?;
        name.rsplit_once('/').map(|(parent, _)| parent.to_owned())
    };
    one["type"] == other["type"] && parent(one).is_some_and(|own| parent(other) == Some(own))
}

/// The expression of a resource's id in its own deployment.
fn id(resource: &Value) -> String {
    let text = |key: &str| resource[key].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    let names: Vec<_> = name.split('/').map(quoted).collect();
    format!("[resourceId({}, {})]", quoted(&text("type")), names.join(", "))
}
