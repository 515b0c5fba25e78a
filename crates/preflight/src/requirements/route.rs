//! How what leaves a subnet gets where it is going.

use arm::field;
use network_policy::{Contract, Outbound, ProofVerdict};
use serde_json::json;

use super::{BASE, BROUGHT, CONTAINERS, ISOLATED, OUTBOUND, PEERING, next_hop};
use crate::finding::Asked;
use crate::requirement::of_proof;
use crate::{Change, Check, Hop, Outcome, Party, Place, Repair, Requirement, Severity, Subject};

/// Property of a subnet.
const NAT_GATEWAY: &str = "natGateway";

const PLAIN: Requirement = Requirement { topologies: BROUGHT, source: OUTBOUND, ..BASE };

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "route.build-egress",
        title: "what leaves the build subnet has a way to the Internet",
        hop: Some(Hop::BUILD_TO_INTERNET),
        check: Check::Ask(build_egress),
        ..PLAIN
    },
    Requirement {
        id: "route.container-egress",
        title: "what leaves the container instance subnet has a way to the Internet",
        topologies: ISOLATED,
        hop: Some(Hop::CONTAINER_TO_INTERNET),
        check: Check::Ask(container_egress),
        ..PLAIN
    },
    Requirement {
        id: "route.next-hop-reachable",
        title: "the appliances that routes of the build subnet lead to are in its network, or in a peered one",
        source: PEERING,
        hop: Some(Hop::BUILD_TO_INTERNET),
        check: Check::Ask(|subject| next_hop::ask(subject, Place::Build)),
        ..PLAIN
    },
    Requirement {
        id: "route.container-next-hop-reachable",
        title: "the appliances that routes of the container instance subnet lead to are in its network, or in a peered one",
        topologies: ISOLATED,
        source: PEERING,
        hop: Some(Hop::CONTAINER_TO_INTERNET),
        check: Check::Ask(|subject| next_hop::ask(subject, Place::Container)),
        ..PLAIN
    },
    Requirement {
        id: "route.container-nat-gateway",
        title: "the container instance subnet has a NAT gateway",
        topologies: ISOLATED,
        severity: Severity::Advised,
        source: CONTAINERS,
        assumption: Some(
            "container instances whose traffic a route table leads to an appliance work, though Microsoft calls only \
             the NAT gateway supported",
        ),
        hop: Some(Hop::CONTAINER_TO_INTERNET),
        check: Check::Ask(container_nat),
        ..PLAIN
    },
];

fn build_egress(subject: &Subject<'_>) -> Asked {
    egress(subject, Place::Build)
}

fn container_egress(subject: &Subject<'_>) -> Asked {
    egress(subject, Place::Container)
}

fn egress(subject: &Subject<'_>, place: Place) -> Asked {
    let (site, from) = (subject.site(place)?, subject.party(Party::Subnet(place))?);
    if site.subnet.is_none() {
        return Ok(Outcome::skipped(format!("no document describes {} and its routes", place.name())));
    }
    let Ok(contract) = Contract::parse(&format!("allow outbound tcp {from} -> Internet:443")) else {
        return Ok(Outcome::undecided(format!("the address prefix of {} is not known", place.name())));
    };
    let proof = site.routes.prove(&contract);
    let outcome = match proof.verdict {
        ProofVerdict::Proved => Outcome::pass("every destination on the Internet is routed"),
        ProofVerdict::Depends => Outcome::undecided(format!("depends on {}", proof.open.join("; "))),
        ProofVerdict::Refuted => {
            let rule = proof.decided_by.as_ref().map_or("no route leads there", |by| &by.rule);
            let lost = proof.lost.as_ref().map(|lost| format!(", for {}", lost.phrase)).unwrap_or_default();
            let words = "give the subnet a NAT gateway, or a default route to a firewall that it may use";
            // A gateway does not help where a route leads elsewhere.
            let repair = match site.routes.policy().routes.as_ref().map(|routes| routes.outbound) {
                Some(Outbound::Missing) => gateway(subject, place, words),
                _ => Repair::in_words(words),
            };
            Outcome::fail(format!("packets are dropped: {rule}{lost}")).repaired(repair)
        }
    };
    Ok(of_proof(outcome, subject, site, proof))
}

/// The NAT gateway of the other subnets of the network, for this one, too; words where they have none or several.
fn gateway(subject: &Subject<'_>, place: Place, words: &str) -> Repair {
    let repair = Repair::in_words(words);
    let (Ok(subnet), Ok(inventory)) = (subject.subnet(place), subject.inventory()) else { return repair };
    let others = subnet.id.parent().map(|network| inventory.children(&network, "subnets"));
    let mut ids: Vec<_> = others
        .into_iter()
        .flatten()
        .filter_map(|other| field(field(&other.value, NAT_GATEWAY)?, "id")?.as_str())
        .filter(|id| !id.contains(['*', '{']))
        .collect();
    ids.sort_unstable_by_key(|id| id.to_ascii_lowercase());
    ids.dedup_by_key(|id| id.to_ascii_lowercase());
    let [only] = ids.as_slice() else { return repair };
    let az = format!("az network vnet subnet update --ids {} --nat-gateway {only}", subnet.id);
    let change = Change::Subnet(subnet.id.clone(), NAT_GATEWAY, json!({ "id": only }));
    Repair::in_words(format!("{words}: {only} is that of the network's other subnets"))
        .by(az)
        .changing(change)
}

fn container_nat(subject: &Subject<'_>) -> Asked {
    let site = subject.site(Place::Container)?;
    match site.routes.policy().routes.as_ref().map(|routes| routes.outbound) {
        Some(Outbound::NatGateway) => Ok(Outcome::pass("it has one")),
        Some(Outbound::DefaultAccess | Outbound::Missing) => {
            let repair = gateway(subject, Place::Container, "give the subnet a NAT gateway");
            Ok(Outcome::fail("it has none").repaired(repair))
        }
        Some(Outbound::Unknown) | None => {
            Ok(Outcome::skipped("no document tells how the subnet reaches the Internet"))
        }
    }
}
