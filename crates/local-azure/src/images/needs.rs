//! What a template needs at which moment. Who may do what, and what the network lets pass, is asked of `preflight`, which
//! also answers `check`: what is refused here is what is told there.

use std::convert::Infallible;

use arm::{Environment, Inventory, Named};
use document::{SourceText, Span};
use image_template::ImageTemplate;
use network_policy::{NetworkPolicy, Reading};
use preflight::{Finding, Network, Os, Severity, Status, Subject, Topology};

use super::provision::Refusal;
use crate::LocalAzure;
use crate::error::ArmError;
use crate::store::Row;

/// Types that requirements and networks read.
const READ: [&str; 7] = [
    "microsoft.authorization/",
    "microsoft.compute/",
    "microsoft.managedidentity/",
    "microsoft.network/",
    "microsoft.resources/providers",
    "microsoft.resources/resourcegroups",
    "microsoft.storage/storageaccounts",
];

/// A network without rules of its own, as the service makes one for a template that brings none.
const OPEN: &str = r#"{"type": "Microsoft.Network/networkSecurityGroups", "name": "aib", "properties": {"securityRules": []}}"#;

/// The moments at which the service looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The template is made: subnets, identities and scripts.
    Submission,
    /// A build machine is made: the network around it.
    Building,
    /// A finished image is placed, and not before.
    Distribution,
}

impl Moment {
    fn looks_at(self, id: &str) -> bool {
        let starts = |all: &[&str]| all.iter().any(|start| id.starts_with(start));
        match self {
            Self::Submission => starts(&[
                "access.identity.network",
                "access.identity.container-network",
                "access.identity.build-vm-identities",
                "access.identity.scripts",
                "access.identity.source",
                "access.identity.staging",
            ]),
            Self::Building => starts(&["subnet.", "nsg.", "route."]),
            Self::Distribution => starts(&["access.identity.image", "access.identity.gallery"]),
        }
    }
}

/// The endpoint's own state, read as documents are.
pub(crate) struct State {
    environment: Environment,
    inventory: Inventory,
}

impl State {
    /// The state around a template's subnets.
    pub fn of(azure: &LocalAzure, template: &ImageTemplate) -> Result<Self, ArmError> {
        let named = |text: &str| Some(Named { text: text.to_owned(), span: Span::default() });
        let mut environment = Environment::default();
        environment.subscription = named(&azure.secrets().subscription);
        environment.location = named(template.location.as_str());
        if let Some(network) = &template.vm_profile.vnet_config {
            environment.build_subnet = named(network.subnet_id.as_str());
            environment.container_subnet =
                network.container_instance_subnet_id.as_ref().and_then(|subnet| named(subnet.as_str()));
        }
        environment.add("state");
        let state = azure.document(&READ)?;
        let Ok(inventory) =
            environment.open(|_| Ok::<_, Infallible>(SourceText::new("state", state.clone())));
        Ok(Self { environment, inventory })
    }

    fn reading(&self, environment: &Environment) -> Option<Reading> {
        network_policy::read(environment, &self.inventory).ok()
    }

    /// The rules that a build meets.
    pub fn policy(&self, template: &ImageTemplate) -> Result<NetworkPolicy, ArmError> {
        if template.vm_profile.vnet_config.is_none() {
            let mut environment = Environment::read(SourceText::new("aib", OPEN));
            let Ok(inventory) = environment.open(|_| Ok::<_, Infallible>(SourceText::new("aib", OPEN)));
            let reading = network_policy::read(&environment, &inventory);
            return reading
                .map(|reading| reading.policy)
                .map_err(|_| ArmError::internal("the open network does not read"));
        }
        let found = network_policy::read(&self.environment, &self.inventory);
        found.map(|reading| reading.policy).map_err(|found| {
            let texts: Vec<_> =
                found.iter().filter(|one| one.is_error()).map(|one| one.message.clone()).collect();
            ArmError::bad("InvalidNetwork", format!("The network cannot be read: {}", texts.join("; ")))
        })
    }

    /// What is not met at a moment. What is not decided is not met.
    pub fn unmet(&self, template: &ImageTemplate, moment: Moment) -> Vec<Finding> {
        let topology = Topology::of(template);
        let build = if topology == Topology::Managed { None } else { self.reading(&self.environment) };
        let container = self.environment.container_subnet.clone().and_then(|subnet| {
            let mut environment = self.environment.clone();
            environment.build_subnet = Some(subnet);
            self.reading(&environment)
        });
        let subject = Subject {
            topology,
            os: Os::of(template),
            network: Some(Network::new(&self.environment, &self.inventory, build, container)),
            template: Some(template),
            endpoints: Vec::new(),
            deployer: None,
        };
        let unmet = |finding: &Finding| {
            let requirement = finding.requirement;
            moment.looks_at(requirement.id)
                && requirement.severity == Severity::Required
                && matches!(finding.outcome.status, Status::Fail | Status::Undecided)
        };
        preflight::check(&subject).findings.into_iter().filter(unmet).collect()
    }

    /// The same as a refusal, in words that name the requirement.
    pub fn require(&self, template: &ImageTemplate, moment: Moment) -> Result<(), Refusal> {
        let unmet = self.unmet(template, moment);
        if unmet.is_empty() {
            return Ok(());
        }
        let told = |finding: &Finding| {
            let code =
                if finding.requirement.id.starts_with("access.") { "AuthorizationFailed: " } else { "" };
            format!(
                "{code}{} ({}): {}",
                finding.requirement.title, finding.requirement.id, finding.outcome.detail
            )
        };
        let message: Vec<_> = unmet.iter().map(told).collect();
        Err(Refusal::new("Other", message.join(". ")))
    }
}

/// The object id of an identity.
pub(crate) fn principal(azure: &LocalAzure, identity: &str) -> Result<String, ArmError> {
    let row = azure.store.read(|connection| Row::find(connection, &identity.to_ascii_lowercase()))?;
    let id = row.as_ref().and_then(|row| row.body["properties"]["principalId"].as_str());
    id.map(str::to_owned).ok_or_else(|| {
        ArmError::bad("FailedIdentityOperation", format!("The managed identity '{identity}' was not found."))
    })
}
