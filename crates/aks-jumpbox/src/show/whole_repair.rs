//! All repairs of a report as one ARM template.

use arm::ResourceId;
use network_policy::Contract;
use preflight::{Place, Report, Site, Status, Subject};
use serde_json::{Value, json};

/// The template, and what it cannot hold.
pub struct WholeRepair {
    /// A template to be deployed to the subscription.
    pub template: Value,
    /// Repairs that are no resource, in words.
    pub left_out: Vec<String>,
}

/// The repairs of whatever is not met: the fewest security rules for all flows together.
pub fn of(report: &Report, subject: &Subject<'_>) -> WholeRepair {
    let (mut groups, mut left_out) = (Vec::<Group>::new(), Vec::new());
    let mut flows = Vec::new();
    for finding in &report.findings {
        if !matches!(finding.status(), Status::Fail | Status::Warn) {
            continue;
        }
        let Some(repair) = &finding.outcome.repair else { continue };
        if let Some(flow) = &repair.flow {
            flows.push(flow.clone());
        } else {
            let az = repair.az.as_ref().map(|az| format!(": {az}")).unwrap_or_default();
            left_out.push(format!("{}: {}{az}", finding.requirement.id, repair.summary));
        }
    }
    for place in [Place::Build, Place::Container] {
        let own: Vec<_> =
            flows.iter().filter(|(at, _)| *at == place).map(|(_, contract)| contract.clone()).collect();
        if let Some(site) = subject.network.as_ref().and_then(|network| network.site(place)) {
            rules(site, &own, &mut groups, &mut left_out);
        }
    }
    let resources: Vec<_> = groups.iter().map(Group::deployment).collect();
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
    });
    WholeRepair { template, left_out }
}

/// Resources of one resource group.
struct Group {
    subscription: Option<String>,
    name: String,
    resources: Vec<Value>,
}

impl Group {
    fn deployment(&self) -> Value {
        let mut deployment = json!({
            "type": "Microsoft.Resources/deployments",
            "apiVersion": "2022-09-01",
            "name": format!("repair-{}", self.name),
            "resourceGroup": self.name,
            "properties": {
                "mode": "Incremental",
                "template": {
                    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
                    "contentVersion": "1.0.0.0",
                    "resources": self.resources,
                },
            },
        });
        if let Some(subscription) = &self.subscription {
            deployment["subscriptionId"] = json!(subscription);
        }
        deployment
    }
}

/// The rules that let the contracts through at a subnet.
fn rules(site: &Site<'_>, contracts: &[Contract], groups: &mut Vec<Group>, left_out: &mut Vec<String>) {
    if contracts.is_empty() {
        return;
    }
    let repair = site.past_routes().repair(contracts);
    for moved in &repair.renumbered {
        left_out.push(format!("'{}' of {} must move first: {}", moved.rule, moved.nsg, moved.to_az()));
    }
    for beyond in &repair.beyond {
        left_out.push(format!("no security rule repairs {}", beyond.contract));
    }
    for new in &repair.rules {
        let arm = serde_json::from_str::<Value>(&new.to_arm_json()).unwrap_or_default();
        let Ok(id) = ResourceId::parse(&new.nsg) else {
            left_out.push(format!("a rule of {}, whose id is not known: {}", new.nsg, new.to_az()));
            continue;
        };
        let name = arm["name"].as_str().unwrap_or_default();
        let resource = json!({
            "type": "Microsoft.Network/networkSecurityGroups/securityRules",
            "apiVersion": "2024-05-01",
            "name": format!("{}/{name}", id.name()),
            "properties": arm["properties"],
        });
        let group = id.resource_group().unwrap_or_default();
        match groups.iter_mut().find(|own| own.name == group) {
            Some(own) => own.resources.push(resource),
            None => groups.push(Group {
                subscription: id.subscription().map(str::to_owned),
                name: group.to_owned(),
                resources: vec![resource],
            }),
        }
    }
}
