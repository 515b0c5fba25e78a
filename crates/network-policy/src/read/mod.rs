//! Network resources in Azure's JSON, and environment files that name them.
//!
//! Read are network security groups, firewall policies with their rule collection groups, classic firewalls, IP
//! groups and virtual networks; as one resource, an array, `{"value": []}`, the flattened output of `az`, or an
//! ARM template whose values are literal. Other resources are passed over. Every error stands at its place, and
//! all are reported at once.

mod combine;
mod environment;
mod firewall;
mod item;
mod network;
mod nsg;
mod resources;
#[cfg(test)]
mod tests;

use document::{Diagnostic, Span, Value};

pub use environment::{Environment, Source, SourceKind};
pub use resources::Resources;

use crate::policy::NetworkPolicy;

/// Reads a policy from one document. Without a virtual network in it, a single network security group is the
/// subnet's; the `VirtualNetwork` address space and the build subnet stay unknown.
///
/// # Errors
/// Everything that is wrong with the document, in the order of its text.
pub fn read(document: &Value) -> Result<NetworkPolicy, Vec<Diagnostic>> {
    let resources = Resources::read(document)?;
    combine::policy(None, &[resources])
        .map_err(|fault| vec![fault.diagnostic(Span::new(document.span.start, document.span.start + 1), "")])
}
