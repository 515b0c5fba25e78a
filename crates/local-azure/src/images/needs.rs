//! What a template needs at which moment. Who may do what, and what the network lets pass, is asked of `preflight`, which
//! also answers `check`: what is refused here is what is told there.

use std::convert::Infallible;
use std::net::IpAddr;

use arm::{Environment, Inventory, Named};
use document::{SourceText, Span};
use image_template::{Customizer, ImageTemplate, Script, Validator};
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

/// Addresses of scripts and files.
fn sources(template: &ImageTemplate) -> impl Iterator<Item = &str> {
    fn of(script: &Script) -> Option<&str> {
        match script {
            Script::Uri { uri, .. } => Some(uri.as_str()),
            Script::Inline(_) => None,
        }
    }
    let steps = template.customize.iter().filter_map(|step| match step {
        Customizer::Shell(step) => of(&step.script),
        Customizer::PowerShell(step) => of(&step.script),
        Customizer::File(step) => Some(step.source_uri.as_str()),
        _ => None,
    });
    let checks = template.validate.iter().flat_map(|validate| &validate.in_vm_validations);
    let checks = checks.filter_map(|step| match step {
        Validator::Shell(step) => of(&step.script),
        Validator::PowerShell(step) => of(&step.script),
        Validator::File(step) => Some(step.source_uri.as_str()),
    });
    steps.chain(checks)
}

/// Refuses addresses that would lead into this machine: files, and addresses of its own.
pub(crate) fn check_sources(template: &ImageTemplate) -> Result<(), ArmError> {
    for uri in sources(template) {
        let refused = |why: &str| {
            Err(ArmError::bad("ValidationFailed", format!("Validation failed: the source URI '{uri}' {why}")))
        };
        let Ok(parsed) = uri.parse::<http::Uri>() else { return refused("is no URI") };
        if !matches!(parsed.scheme_str(), Some("http" | "https")) {
            return refused("is not http or https");
        }
        if leads_home(parsed.host().unwrap_or_default()) {
            return refused("leads into this machine");
        }
    }
    Ok(())
}

/// Whether a host is this machine or its neighbourhood. What a name resolves to is looked at when it is fetched.
fn leads_home(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    if host.is_empty() || host == "localhost" || host.ends_with(".localhost") {
        return true;
    }
    // Old forms of addresses, such as 127.1 or 0x7f000001, are names of nobody else.
    let numeric =
        host.rsplit('.').next().is_some_and(|last| last.starts_with("0x") || last.parse::<u64>().is_ok());
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_multicast()
        }
        Ok(IpAddr::V6(address)) => {
            let link_local = address.segments()[0] & 0xffc0 == 0xfe80;
            let mapped = address.to_ipv4_mapped().is_some();
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || link_local
                || mapped
        }
        Err(_) => numeric,
    }
}

#[cfg(test)]
mod tests {
    use super::leads_home;

    #[test]
    fn what_leads_into_this_machine_is_known() {
        for host in [
            "localhost",
            "a.localhost",
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "169.254.169.254",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[fe80::1]",
            "0.0.0.0",
            "",
        ] {
            assert!(leads_home(host), "{host}");
        }
        for host in ["example.com", "10.0.0.4", "account.blob.core.windows.net", "[2001:db8::1]", "1.example"]
        {
            assert!(!leads_home(host), "{host}");
        }
    }
}
