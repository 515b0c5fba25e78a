//! Which setting can change what no security rule can.

use crate::flow::Layer;
use crate::policy::{NO_RULE, NetworkPolicy};
use crate::proof::{Decider, LayerDecision};
use crate::route::{NextHop, Outbound};
use crate::tag;

use super::Obstacle;

/// What to change where a layer other than a group refuses packets, or may.
pub(super) fn that_refuses(policy: &NetworkPolicy, by: Decider) -> Obstacle {
    let Decider { rule, resource, .. } = &by;
    let setting = match by.layer {
        Layer::Admin => format!(
            "security admin rule '{rule}' of '{resource}' is asked before every network security group: only who \
             manages it in Azure Virtual Network Manager can change it"
        ),
        Layer::Route => route(policy, rule, resource),
        Layer::FirewallNetwork if rule == NO_RULE => {
            format!("firewall policy '{resource}' needs a network rule that allows it")
        }
        Layer::FirewallNetwork => format!(
            "network rule '{rule}' of firewall policy '{resource}' decides first, and no application rule is asked \
             after it: put a network rule that allows it into a collection of a lower priority number"
        ),
        Layer::FirewallApplication if rule == NO_RULE => format!(
            "firewall policy '{resource}' needs a network rule or, for what names its host, an application rule that \
             allows it"
        ),
        Layer::FirewallApplication => format!(
            "application rule '{rule}' of firewall policy '{resource}' decides first: put a rule that allows it into a \
             collection of a lower priority number"
        ),
        Layer::NicNsg | Layer::SubnetNsg | Layer::Platform => format!("'{rule}' of '{resource}'"),
    };
    Obstacle { decided_by: Some(by), setting }
}

/// What to ask instead where a security rule decides about a name.
pub(super) fn that_knows_no_names(by: &Decider, name: &str) -> Obstacle {
    let instead = match tag::of_name(name) {
        Some(tag) => format!("the service tag {tag}"),
        None => "the addresses or the service tag behind it".to_owned(),
    };
    let Decider { rule, resource, .. } = by;
    let setting = format!(
        "'{rule}' of NSG '{resource}' decides by address, and no security rule knows the name {name}: write a contract \
         about {instead}"
    );
    Obstacle { decided_by: Some(by.clone()), setting }
}

/// What to change where a firewall or a route lets a name pass.
pub(super) fn that_lets_pass(by: &Decider, name: &str) -> Obstacle {
    let Decider { rule, resource, .. } = by;
    let setting = format!(
        "'{rule}' of '{resource}' lets {name} pass: a firewall's rule that denies it has to come before"
    );
    Obstacle { decided_by: Some(by.clone()), setting }
}

fn route(policy: &NetworkPolicy, rule: &str, resource: &str) -> String {
    let table = policy.routes.as_ref();
    let written = table.and_then(|table| table.routes.iter().find(|route| route.name == rule));
    let missing = table.is_some_and(|table| table.outbound == Outbound::Missing);
    match written.map(|route| &route.next_hop) {
        Some(NextHop::None) => format!(
            "route '{rule}' of route table '{resource}' drops it: give the route another next hop, or add one with a \
             longer prefix"
        ),
        Some(NextHop::Appliance(Some(address))) => {
            format!("route '{rule}' leads to the appliance {address}: what that lets through decides")
        }
        Some(NextHop::Appliance(None) | NextHop::Gateway | NextHop::Unknown(_)) => {
            format!("route '{rule}' leads where nothing is known: what is there decides")
        }
        Some(NextHop::Internet) | None if missing => format!(
            "{rule}: the subnet has no way to the Internet; associate a NAT gateway with it or route to a firewall, or \
             peer the virtual network that holds the addresses"
        ),
        _ => format!("{rule}: peer the virtual network that holds the addresses, or add a route to them"),
    }
}

/// Why no group can refuse packets that pass.
pub(super) fn that_permits(path: &[LayerDecision]) -> Obstacle {
    let admin = path.iter().find(|layer| layer.decided_by.layer == Layer::Admin);
    match admin {
        Some(layer) => Obstacle {
            setting: format!(
                "security admin rule '{}' always allows it, whatever network security groups say: only who manages it \
                 in Azure Virtual Network Manager can change it",
                layer.decided_by.rule
            ),
            decided_by: Some(layer.decided_by.clone()),
        },
        None => Obstacle {
            decided_by: None,
            setting: "no network security group is there: associate one with the subnet".to_owned(),
        },
    }
}
