//! The tables of the original guidance, taken literally: what a network that was made by them is held to.
//!
//! Its permissions table and one inbound row were never filled in; nothing is asked in their place.

use network_policy::Direction;

use super::{BASE, PRIVATE_LINK, diagnostics, firewall, subnet};
use crate::finding::Asked;
use crate::subject::known;
use crate::{Check, FlowSpec, Hop, Outcome, Party, Place, Requirement, Subject};

const NETWORK: Party = Party::Tag("VirtualNetwork");

const PLAIN: Requirement = Requirement { topologies: PRIVATE_LINK, ..BASE };

const fn flow(direction: Direction, from: Party, to: Party, port: u16) -> Check {
    Check::Flow(FlowSpec { at: Place::Build, direction, from, to, port, narrower: &[] })
}

const OWN: &[Requirement] = &[
    Requirement {
        id: "subnet.published.prefix",
        title: "the subnet is no smaller than a /28",
        check: Check::Ask(prefix),
        ..PLAIN
    },
    Requirement {
        id: "nsg.published.inbound-60001",
        title: "inbound: AzureLoadBalancer to VirtualNetwork, 60001",
        hop: Some(Hop::TO_PROXY),
        check: flow(Direction::Inbound, Party::Tag("AzureLoadBalancer"), NETWORK, 60001),
        ..PLAIN
    },
    Requirement {
        id: "nsg.published.outbound-443",
        title: "outbound: VirtualNetwork to Internet, 443",
        hop: Some(Hop::OUT_OF_BUILD),
        check: flow(Direction::Outbound, NETWORK, Party::Tag("Internet"), 443),
        ..PLAIN
    },
];

/// Of the catalogue, what the guidance asks in the same words.
const SHARED: [&str; 4] =
    ["subnet.free-addresses", "subnet.private-link-policies", "firewall.storage", "diagnostics.flow-logs"];

/// Every requirement of the guidance.
pub fn published() -> impl Iterator<Item = &'static Requirement> {
    let shared = [subnet::ALL, firewall::ALL, diagnostics::ALL].into_iter().flatten();
    OWN.iter().chain(shared.filter(|requirement| SHARED.contains(&requirement.id)))
}

fn prefix(subject: &Subject<'_>) -> Asked {
    const LARGEST: u8 = 28;
    let subnet = subject.subnet(Place::Build)?;
    let prefixes = known(subnet, "addressPrefixes")?.and_then(document::Value::as_array).unwrap_or_default();
    let lengths = prefixes.iter().filter_map(|prefix| {
        let net: ipnet::IpNet = prefix.as_str()?.parse().ok()?;
        net.addr().is_ipv4().then(|| net.prefix_len())
    });
    Ok(match lengths.min() {
        None => Outcome::undecided(format!("the prefix of {} is not known", subnet.label())),
        Some(length) if length <= LARGEST => Outcome::pass(format!("it is a /{length}")),
        Some(length) => Outcome::fail(format!("it is a /{length}")).at(subnet.value.span),
    })
}
