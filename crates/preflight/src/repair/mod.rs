//! What would make requirements met, as resources: all repairs of a report are one template for the subscription.
//!
//! A resource is written whole or not at all. Where documents leave a part of it open, the repair stays a command that
//! changes one property, and says why.

mod deployments;
mod firewall;
mod grant;
mod rules;
mod subnet;

use arm::{Inventory, ResourceId};
use network_policy::{Contract, Endpoint};
use serde_json::{Value, json};

pub(crate) use grant::{Grant, GrantedRole, Grantee};
pub(crate) use rules::found;

use crate::{Finding, Place, Report, Status, Subject};
use deployments::Deployments;

/// A change of one resource, or of whatever decides about a flow.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Rules of network security groups let a flow through at a subnet.
    Flow(Place, Contract),
    /// A subnet gets a property; `null` takes it away.
    Subnet(ResourceId, &'static str, Value),
    /// Somebody gets a role.
    Grant(Grant),
    /// The firewall that a subnet's packets pass lets through what is sent to these.
    Endpoints(Place, Vec<Endpoint>),
}

/// The repairs of a report.
#[derive(Clone, Debug)]
pub struct WholeRepair {
    /// A template to be deployed to the subscription.
    pub template: Value,
    /// Ids of the requirements that are met after that.
    pub repaired: Vec<&'static str>,
    /// What is not in it.
    pub left_out: Vec<LeftOut>,
}

/// A repair that is not in the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Of which requirement.
    pub id: &'static str,
    /// What would be done, in words.
    pub summary: String,
    /// Why it is not.
    pub because: String,
    /// The command that does it.
    pub az: Option<String>,
}

/// Whether a requirement is not met and documents tell what would change that.
pub fn is_repairable(finding: &Finding) -> bool {
    let changes = finding.outcome.repair.as_ref().is_some_and(|repair| !repair.changes.is_empty());
    matches!(finding.status(), Status::Fail | Status::Warn) && changes
}

impl WholeRepair {
    /// The repairs of those findings that are wanted; all others are left out because of what `wanted` says.
    pub fn of(
        report: &Report,
        subject: &Subject<'_>,
        wanted: impl Fn(&Finding) -> Result<(), String>,
    ) -> Self {
        let (mut changes, mut repaired, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for finding in &report.findings {
            let open = matches!(finding.status(), Status::Fail | Status::Warn);
            let Some(repair) = finding.outcome.repair.as_ref().filter(|_| open) else { continue };
            let written = match wanted(finding) {
                _ if repair.changes.is_empty() => Err("it is no resource of a template".to_owned()),
                Ok(()) => deployments(&repair.changes, subject).map(|_| ()),
                Err(because) => Err(because),
            };
            let id = finding.requirement.id;
            match written {
                Ok(()) => {
                    changes.extend(repair.changes.iter().cloned());
                    repaired.push(id);
                }
                Err(because) => left_out.push(LeftOut {
                    id,
                    summary: repair.summary.clone(),
                    because,
                    az: repair.to_az(subject),
                }),
            }
        }
        // Together they are fewer rules, and what each of them could be written with, all can.
        let resources = deployments(&changes, subject).unwrap_or_default().resources();
        let template = template(&resources, &repaired, &left_out);
        Self { template, repaired, left_out }
    }
}

/// The changes as resources, by where they go; why not, where one cannot be written.
fn deployments(changes: &[Change], subject: &Subject<'_>) -> Result<Deployments, String> {
    let mut deployments = Deployments::default();
    let inventory = inventory(subject)?;
    subnet::write(changes, inventory, &mut deployments)?;
    rules::write(changes, subject, &mut deployments)?;
    firewall::write(changes, subject, &mut deployments)?;
    grant::write(changes, &mut deployments)?;
    Ok(deployments)
}

/// The resources of some changes, without what deploys them; none where they cannot be written.
pub fn resources(changes: &[Change], subject: &Subject<'_>) -> Vec<Value> {
    deployments(changes, subject).map(Deployments::bare).unwrap_or_default()
}

fn inventory<'a>(subject: &Subject<'a>) -> Result<&'a Inventory, String> {
    subject.inventory().map_err(|missing| missing.detail)
}

fn template(resources: &[Value], repaired: &[&str], left_out: &[LeftOut]) -> Value {
    let left_out: Vec<_> = left_out.iter().map(|left| format!("{}: {}", left.id, left.instead())).collect();
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "metadata": {
            "description": "Repairs that `aks-jumpbox check` proved against the documents it was given. Subnets are written whole, as those describe them: a setting that none of them tells would be lost.",
            "replaces": true,
            "repairs": repaired,
            "notHere": left_out,
        },
        "resources": resources,
    })
}

impl LeftOut {
    /// What is to be done instead of deploying it, and why.
    pub fn instead(&self) -> String {
        let az = self.az.as_ref().map(|az| format!(": {}", az.replace('\n', "; "))).unwrap_or_default();
        format!("{} ({}){az}", self.summary, self.because)
    }
}

/// A text of a template that is no expression.
fn literal(text: &str) -> String {
    if text.starts_with('[') { format!("[{text}") } else { text.to_owned() }
}

/// A text inside an expression.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether every part of an id is known but, perhaps, the subscription: that of the deployment.
fn is_placed(id: &ResourceId) -> bool {
    let known = |part: &str| !part.contains(['*', '{']);
    id.resource_group().is_none_or(known) && id.names().all(known)
}
