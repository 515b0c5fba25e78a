//! The network of a build, from the inventory of an environment's documents.
//!
//! What no document tells stays open and can only leave answers undecided; what is told wrongly is an error at its
//! place, and all errors are reported at once.

mod admin;
mod effective;
mod egress;
mod firewall;
mod item;
mod nsg;
mod routes;
mod rule;
mod service_tags;
mod subnet;
#[cfg(test)]
mod tests;

use arm::{Environment, Inventory, ResourceId};
use document::{Diagnostic, Span};

use crate::policy::{NetworkPolicy, Origin};
use item::Scan;

pub use service_tags::read_service_tags;

/// A policy, and what its documents leave open.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The policy.
    pub policy: NetworkPolicy,
    /// Warnings, in the order of the sources; places are in [`Inventory::sources`].
    pub warnings: Vec<Diagnostic>,
    /// The subnet it is the policy of, where a document describes that.
    pub subnet: Option<ResourceId>,
}

/// Code of the error that documents are right, and tell nothing of networks.
pub const NO_NETWORK: &str = "no-network";

/// Reads the policy of a build in the environment's build subnet, or in the only subnet there is. Without any subnet,
/// a single network security group is the build subnet's, and addresses stay unknown. Service tags are the caller's
/// to add, see [`read_service_tags`].
///
/// # Errors
/// Everything that is wrong with the documents, warnings included, in the order of the sources; [`NO_NETWORK`] alone
/// when they tell nothing that could decide a flow.
pub fn read(environment: &Environment, inventory: &Inventory) -> Result<Reading, Vec<Diagnostic>> {
    let mut scan = Scan::new(inventory);
    inventory.findings().iter().for_each(|finding| scan.reader.report(finding.clone()));
    // What is missing may be in a document that could not be read: one complaint is enough.
    let policy = if inventory.has_unread() { None } else { policy(&mut scan, environment) };
    let mut findings = scan.reader.finish();
    let broken = findings.iter().any(Diagnostic::is_error);
    match policy {
        Some((policy, subnet)) if !broken => Ok(Reading { policy, warnings: findings, subnet }),
        None if !broken => {
            findings.push(nothing());
            Err(findings)
        }
        _ => Err(findings),
    }
}

/// The policy and its subnet; `None` when the documents tell nothing that could decide a flow.
fn policy(scan: &mut Scan<'_>, environment: &Environment) -> Option<(NetworkPolicy, Option<ResourceId>)> {
    let site = subnet::find(scan, environment);
    let context = subnet::context(scan, &site);
    let routes = routes::of(scan, &site, environment);
    let effective = effective::groups(scan, environment);
    let subnet_nsg = match effective.subnet {
        Some(group) => Some(group),
        None => subnet::group(scan, &site, environment),
    };
    let firewall = egress::firewall(scan, routes.as_ref());
    let mut admin = admin::rules(scan, &site);
    admin.extend(effective.admin);
    if let (Some(firewall), Some(routes)) = (&firewall, &routes)
        && !routes.effective
        && routes.name.is_empty()
    {
        let name = firewall.policy.name();
        let message = format!("the build subnet has no route table, so nothing leads to the firewall {name}");
        scan.warn(
            Span::default(),
            message,
            "add the document of the route table, or of the subnet that names it",
        );
    }
    let policy = NetworkPolicy {
        admin,
        subnet_nsg,
        nic_nsg: effective.interface,
        far_subnets: subnet::far(scan, &site),
        routes,
        firewall,
        context,
        origin: Origin::Documents,
    };
    if policy == NetworkPolicy::default() {
        return None;
    }
    Some((policy, site.subnet.map(|subnet| subnet.id.clone())))
}

/// There is nothing to decide by: an answer would be "allowed" for the wrong reason.
fn nothing() -> Diagnostic {
    Diagnostic::error(NO_NETWORK, Span::default(), "the documents hold no network resource that is read here")
        .expecting("a network security group, a subnet, a firewall or its policy, or effective rules")
}

impl Scan<'_> {
    /// Notes that documents which are right by themselves do not make a policy.
    fn environment(&mut self, message: String, hint: &str) {
        self.reader.report(Diagnostic::error("environment", Span::default(), message).hinting(hint));
    }
}

/// At most a few of some names, for a sentence.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let rest = names.len().saturating_sub(SHOWN);
    if rest == 0 { shown } else { format!("{shown} and {rest} more") }
}
