//! The rule that nearly decided otherwise, field by field.

use std::fmt::Write as _;

use crate::address::{Address, PortRange};
use crate::compiled::CompiledPolicy;
use crate::firewall::{FirewallRule, Target};
use crate::flow::Direction;
use crate::matching::Match;
use crate::normal::{Effect, End, Query, RuleId, Stage, Term, within};
use crate::nsg::LAST_PRIORITY;
use crate::proof::{FieldMatch, NearMiss};
use crate::space;

/// Of the rules that would have let a flow pass (or refused it, when `decided` lets it pass): one that matches, but is
/// asked too late, else the one that the fewest fields keep from it, the earlier one when there are several. None when
/// all differ in more than two fields. `name` is the host that is asked for, where one is; else one like it is shown.
pub(crate) fn of(
    policy: &CompiledPolicy,
    direction: Direction,
    layer: usize,
    query: &Query<'_>,
    decided: Option<RuleId>,
    name: Option<&str>,
) -> Option<NearMiss> {
    let layer = &policy.normal.layers(direction)[layer];
    let allowed = layer.terms.iter().any(|term| Some(term.rule) == decided && term.effect != Effect::Deny);
    let wanted = |term: &&Term| (term.effect == Effect::Deny) == allowed && Some(term.rule) != decided;
    let (asked, behind) = layer.terms.split_at(
        layer.terms.iter().position(|term| Some(term.rule) == decided).unwrap_or(layer.terms.len()),
    );
    // A rule that someone wrote and that merely comes too late says most. Default rules come too late by design.
    let late = behind.iter().filter(wanted).find(|term| {
        missed(term, query) == 0
            && written(policy, &layer.stage, term.rule)
                .is_some_and(|rule| rule.priority <= Some(LAST_PRIORITY))
    });
    let best = late.or_else(|| asked.iter().filter(wanted).min_by_key(|term| missed(term, query)))?;
    if missed(best, query) > 2 {
        return None;
    }
    describe(policy, &layer.stage, best, query, name)
}

/// How many fields do not match.
fn missed(term: &Term, query: &Query<'_>) -> usize {
    matches(term, query).iter().filter(|matches| **matches == Match::No).count()
}

/// Protocol, source, source ports, destination, ports, requests.
fn matches(term: &Term, query: &Query<'_>) -> [Match; 6] {
    [
        within(&term.protocol, query.protocol),
        term.source.holds(query.source),
        Match::from_bool(term.source_ports.contains(query.source_port)),
        term.destination.holds(query.destination),
        Match::from_bool(term.ports.contains(query.port)),
        within(&term.speech, query.speech),
    ]
}

/// The fields of a rule as its document writes them.
struct Written {
    name: String,
    priority: Option<u16>,
    protocol: String,
    source: String,
    source_ports: String,
    destination: String,
    ports: String,
    requests: Option<String>,
}

fn describe(
    policy: &CompiledPolicy,
    stage: &Stage,
    term: &Term,
    query: &Query<'_>,
    name: Option<&str>,
) -> Option<NearMiss> {
    let written = written(policy, stage, term.rule)?;
    let alike = || policy.normal.names.example(query.speech).and_then(|request| request.name);
    let asked = name.map(str::to_owned).or_else(alike).unwrap_or_else(|| "no name".to_owned());
    let end = |end: End<'_>| match end {
        End::At(point) | End::Home(point) => space::address(point).to_string(),
        End::Public(_) => asked.clone(),
        End::Local => "the build machine".to_owned(),
    };
    let [protocol, source, source_ports, destination, ports, requests] = matches(term, query);
    let mut fields = vec![
        FieldMatch::of("protocol", protocol, written.protocol, protocol_name(query.protocol)),
        FieldMatch::of("source", source, written.source, end(query.source)),
        FieldMatch::of("source port", source_ports, written.source_ports, query.source_port.to_string()),
        FieldMatch::of("destination", destination, written.destination, end(query.destination)),
        FieldMatch::of("destination port", ports, written.ports, query.port.to_string()),
    ];
    fields.extend(written.requests.map(|text| FieldMatch::of("request", requests, text, asked.clone())));
    Some(NearMiss { rule: written.name, priority: written.priority, fields })
}

fn written(policy: &CompiledPolicy, stage: &Stage, rule: RuleId) -> Option<Written> {
    let description = &policy.policy;
    let index = rule as usize;
    // The two kinds of rules are two types with the same fields.
    macro_rules! security_rule {
        ($rule:expr) => {
            Written {
                name: $rule.name.clone(),
                priority: Some($rule.priority),
                protocol: $rule.protocol.to_string(),
                source: addresses(&$rule.source),
                source_ports: ports(&$rule.source_ports),
                destination: addresses(&$rule.destination),
                ports: ports(&$rule.destination_ports),
                requests: None,
            }
        };
    }
    let nsg =
        |nsg: Option<&crate::NetworkSecurityGroup>| nsg?.rules().get(index).map(|rule| security_rule!(rule));
    match stage {
        Stage::NicNsg => nsg(description.nic_nsg.as_ref()),
        Stage::SubnetNsg => nsg(description.subnet_nsg.as_ref()),
        Stage::FarSubnet(far) => nsg(description.far_subnets.get(*far).map(|subnet| &subnet.nsg)),
        Stage::Admin => description.admin.get(index).map(|rule| security_rule!(rule)),
        Stage::Firewall => policy.firewall_rule_at(rule).map(firewall_rule),
        Stage::Platform | Stage::Route => None,
    }
}

fn firewall_rule(rule: &FirewallRule) -> Written {
    let [source, destination] = rule.addresses();
    let (protocol, requests) = match rule {
        FirewallRule::Network(rule) => (
            joined(&rule.protocols),
            (!rule.destination_names.is_empty()).then(|| joined(&rule.destination_names)),
        ),
        FirewallRule::Nat(rule) => (joined(&rule.protocols), None),
        FirewallRule::Application(rule) => ("Tcp".to_owned(), Some(targets(&rule.targets))),
    };
    let destination = if destination.is_empty() { "*".to_owned() } else { addresses(destination) };
    Written {
        name: rule.name().to_owned(),
        priority: None,
        protocol,
        source: addresses(source),
        source_ports: "*".to_owned(),
        destination,
        ports: ports(&rule.ports().collect::<Vec<_>>()),
        requests,
    }
}

fn targets(targets: &[Target]) -> String {
    let texts: Vec<_> = targets
        .iter()
        .map(|target| match target {
            Target::Fqdn(pattern) => pattern.to_string(),
            Target::FqdnTag(tag) => format!("FQDN tag {tag}"),
            Target::WebCategory(category) => format!("web category {category}"),
            Target::Url { text, .. } => text.clone(),
        })
        .collect();
    joined(&texts)
}

fn addresses(list: &[Address]) -> String {
    joined(list)
}

fn ports(list: &[PortRange]) -> String {
    joined(list)
}

/// The first few, and how many more there are.
fn joined<T: ToString>(list: &[T]) -> String {
    const SHOWN: usize = 4;
    let mut text = list.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if list.len() > SHOWN {
        let _ = write!(text, " and {} more", list.len() - SHOWN);
    }
    text
}

fn protocol_name(number: u8) -> String {
    match number {
        1 => "Icmp".to_owned(),
        6 => "Tcp".to_owned(),
        17 => "Udp".to_owned(),
        50 => "Esp".to_owned(),
        51 => "Ah".to_owned(),
        other => other.to_string(),
    }
}
