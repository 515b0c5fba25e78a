//! The network that a build needs, in the languages that people describe Azure in.

mod arm;
mod bicep;
mod terraform;

use clap::ValueEnum;
use preflight::Plan;

/// A language for resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// An ARM template, as JSON
    Arm,
    /// Bicep
    Bicep,
    /// Terraform, for the `azurerm` provider 4
    Terraform,
}

/// What of a network is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    Network,
    /// Network security groups alone.
    Groups,
    /// The firewall's rules alone.
    Firewall,
}

/// Names of resources that there is one of.
const NETWORK: &str = "vnet-imagebuilder";
const NAT_GATEWAY: &str = "ng-imagebuilder";
const PUBLIC_ADDRESS: &str = "pip-imagebuilder";
const ROUTES: &str = "rt-imagebuilder";

/// The text of a part in a language, without the last line's end.
pub fn write(plan: &Plan, part: Part, language: Language) -> String {
    match language {
        Language::Arm => format!("{:#}", arm::template(plan, part)),
        Language::Bicep => bicep::file(&arm::resources(plan, part)),
        Language::Terraform => terraform::file(plan, part),
    }
}

/// Whether packets to the Internet pass a NAT gateway anywhere.
fn has_nat_gateway(plan: &Plan) -> bool {
    plan.subnets.iter().any(|subnet| subnet.egress == preflight::Egress::NatGateway)
}
