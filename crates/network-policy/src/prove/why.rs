//! What would decide what is open, and what was taken for granted.

use std::collections::BTreeSet;

use crate::address::Address;
use crate::compiled::CompiledPolicy;
use crate::contract::Contract;
use crate::firewall::{FirewallRule, Target};
use crate::flow::Direction;
use crate::matching::Access;
use crate::normal::{ASSUMED, Found, Stage};
use crate::nsg::SecurityRule;
use crate::policy::Context;
use crate::tag::{self, ServiceTag};

use super::Shown;

/// What would decide a contract.
pub(super) fn open(
    policy: &CompiledPolicy,
    contract: &Contract,
    open: &[Shown<'_>],
    ends: bool,
) -> Vec<String> {
    let mut reasons = BTreeSet::new();
    let rules: BTreeSet<_> = open.iter().filter_map(|(_, _, found)| *found).collect();
    for found in rules {
        reasons.extend(of_rule(policy, contract.direction, found));
    }
    if ends {
        for end in [&contract.from, &contract.to] {
            reasons.extend(of_address(&policy.policy.context, &end.address));
        }
        reasons.extend(contract.name.as_ref().map(|name| format!("the addresses of {name}")));
    }
    if reasons.is_empty() {
        reasons.insert("what the contract describes in this network".to_owned());
    }
    reasons.into_iter().collect()
}

/// What a rule leaves open.
fn of_rule(policy: &CompiledPolicy, direction: Direction, found: Found) -> Vec<String> {
    let description = &policy.policy;
    let index = found.rule as usize;
    let context = &description.context;
    let decider = policy.decider(direction, found, false);
    let by = |reasons: Vec<String>| -> Vec<String> {
        let reasons = if reasons.is_empty() { vec!["whether it matches".to_owned()] } else { reasons };
        reasons.into_iter().map(|reason| format!("{reason} (rule '{}')", decider.rule)).collect()
    };
    let nsg_rule = |nsg: Option<&crate::NetworkSecurityGroup>| {
        by(nsg
            .and_then(|nsg| nsg.rules().get(index))
            .map_or_else(Vec::new, |rule| of_security_rule(context, rule)))
    };
    match &policy.normal.layers(direction)[found.layer].stage {
        Stage::Platform => vec!["rules about the platform's own tags".to_owned()],
        Stage::Admin => by(description.admin.get(index).map_or_else(Vec::new, |rule| {
            rule.source.iter().chain(&rule.destination).filter_map(|a| of_address(context, a)).collect()
        })),
        Stage::NicNsg => nsg_rule(description.nic_nsg.as_ref()),
        Stage::SubnetNsg => nsg_rule(description.subnet_nsg.as_ref()),
        Stage::FarSubnet(far) => nsg_rule(description.far_subnets.get(*far).map(|subnet| &subnet.nsg)),
        Stage::Route => {
            let route = policy.normal.routes.get(index);
            let open = route.and_then(|route| route.open.clone());
            vec![open.unwrap_or_else(|| format!("where the route '{}' leads", decider.rule))]
        }
        Stage::Firewall => by(policy.firewall_rule_at(found.rule).map_or_else(
            || vec!["whether the flow reaches the firewall".to_owned()],
            |rule| of_firewall_rule(context, rule),
        )),
    }
}

fn of_security_rule(context: &Context, rule: &SecurityRule) -> Vec<String> {
    let ends = rule.source.iter().chain(&rule.destination);
    let mut reasons: Vec<_> = ends.filter_map(|address| of_address(context, address)).collect();
    if reasons.is_empty() {
        reasons.push("whether a rule with ports matches a protocol without".to_owned());
    }
    reasons
}

fn of_firewall_rule(context: &Context, rule: &FirewallRule) -> Vec<String> {
    let mut reasons: Vec<_> =
        rule.addresses().into_iter().flatten().filter_map(|address| of_address(context, address)).collect();
    if let FirewallRule::Application(rule) = rule {
        reasons.extend(rule.targets.iter().filter_map(|target| match target {
            Target::Fqdn(_) => None,
            Target::FqdnTag(tag) => Some(format!("the names of the FQDN tag {tag}")),
            Target::WebCategory(category) => Some(format!("the names of the web category {category}")),
            Target::Url { text, .. } => Some(format!("the path that is asked for, beside {text}")),
        }));
    }
    if let FirewallRule::Network(rule) = rule {
        reasons.extend(rule.destination_names.iter().map(|name| format!("the addresses of {name}")));
    }
    reasons
}

/// What is not known of an address.
fn of_address(context: &Context, address: &Address) -> Option<String> {
    match address {
        Address::Any
        | Address::Prefix(_)
        | Address::Range(..)
        | Address::Tag(ServiceTag::AzureLoadBalancer) => None,
        Address::Tag(tag @ (ServiceTag::VirtualNetwork | ServiceTag::Internet)) => {
            if !context.unknown_connections.is_empty() {
                let behind = context.unknown_connections.join(", ");
                return Some(format!("the address space behind {behind}, which {tag} may hold"));
            }
            context.virtual_network.is_empty().then(|| "the address space of the virtual network".to_owned())
        }
        Address::Tag(ServiceTag::Other(name)) if tag::platform_address(name).is_some() => None,
        Address::Tag(ServiceTag::Other(name)) => match context.tags.get(name) {
            Some(bounds) if bounds.is_exact() => None,
            Some(_) => Some(format!("the prefixes of the service tag {name}, on which its files differ")),
            None => Some(format!("the prefixes of the service tag {name}")),
        },
        Address::ApplicationSecurityGroup(id) => {
            Some(format!("the members of the application security group {id}"))
        }
        Address::IpGroup(id) => Some(format!("the addresses of the IP group {id}")),
    }
}

/// What was taken for granted.
pub(super) fn assumptions(policy: &CompiledPolicy, contract: &Contract) -> Vec<String> {
    let description = &policy.policy;
    let context = &description.context;
    let mut assumptions = Vec::new();
    if context.virtual_network.is_empty() {
        assumptions.push("the virtual network has no public addresses".to_owned());
    }
    if contract.direction == Direction::Outbound {
        if contract.access == Access::Deny {
            assumptions.push(
                "what Azure exempts from rules (its DNS, DHCP, metadata and wire server) is not counted"
                    .to_owned(),
            );
        }
        if policy.normal.routes.iter().any(|route| route.name == ASSUMED) {
            assumptions.push(
                "no routes are given: the firewall is the next hop of whatever leaves the virtual network"
                    .to_owned(),
            );
        }
        if description.firewall.is_some() {
            assumptions.push(
                "threat intelligence and intrusion detection of the firewall refuse nothing, and its built-in \
                 infrastructure names permit nothing"
                    .to_owned(),
            );
        }
    }
    if !context.tags.source().is_empty() {
        assumptions.push(format!("service tags as of {}", context.tags.source()));
    }
    assumptions
}
