//! Firewall rules, mostly from "Azure Firewall rule processing logic".

use super::*;
use crate::firewall::{
    ApplicationRule, FirewallPolicy, FirewallRule, NetworkRule, RuleCollection, RuleCollectionGroup, Target,
};
use crate::fqdn::FqdnPattern;

fn fqdn(pattern: &str) -> Target {
    Target::Fqdn(FqdnPattern::parse(pattern).unwrap())
}

fn application(name: &str, targets: Vec<Target>) -> FirewallRule {
    FirewallRule::Application(ApplicationRule {
        name: name.to_owned(),
        protocols: vec![(Application::Https, 443)],
        source: vec![Address::Any],
        destination: Vec::new(),
        targets,
    })
}

fn network_rule(name: &str, destination: &str, port: &str) -> FirewallRule {
    FirewallRule::Network(NetworkRule {
        name: name.to_owned(),
        protocols: vec![RuleProtocol::Any],
        source: vec![Address::Any],
        destination: vec![address(destination)],
        destination_names: Vec::new(),
        destination_ports: ports(port),
    })
}

fn collection(name: &str, priority: u16, action: Access, rules: Vec<FirewallRule>) -> RuleCollection {
    RuleCollection { name: name.to_owned(), priority, action, rules }
}

fn group(name: &str, priority: u16, collections: Vec<RuleCollection>) -> RuleCollectionGroup {
    RuleCollectionGroup { name: name.to_owned(), priority, collections }
}

fn behind_firewall(collections: Vec<RuleCollection>) -> NetworkPolicy {
    let firewall = FirewallPolicy::new("fw", vec![group("g", 100, collections)]);
    NetworkPolicy { firewall: Some(firewall.into()), context: network(), ..NetworkPolicy::default() }
}

/// "Azure Firewall rule processing logic": the worked example of a parent and a child policy. Each rule in turn
/// is the one that decides once the earlier ones are made not to match.
#[test]
fn documented_order_of_parent_and_child() {
    let order = ["NetworkRC1", "NetworkRC2", "ChNetRC1", "ChNetRC2", "AppRC2", "ChAppRC1", "ChAppRC2"];
    let host = "host.example.org";
    for first in 0..order.len() {
        let matching = |name: &str| order[first..].contains(&name);
        let net = |name: &str, priority| {
            let port = if matching(name) { "443" } else { "444" };
            collection(name, priority, Access::Allow, vec![network_rule(name, "Internet", port)])
        };
        let app = |name: &str, priority| {
            let target = if matching(name) { host } else { "other.example.org" };
            collection(name, priority, Access::Allow, vec![application(name, vec![fqdn(target)])])
        };
        let parent = FirewallPolicy::new(
            "base",
            vec![
                group("BaseRCG2", 300, vec![net("NetworkRC2", 1300), app("AppRC2", 1200)]),
                group("BaseRCG1", 200, vec![net("NetworkRC1", 800)]),
            ],
        );
        let child = FirewallPolicy::new(
            "child",
            vec![
                group("ChildRCG2", 650, vec![app("ChAppRC2", 2000), net("ChNetRC2", 1100)]),
                group("ChildRCG1", 300, vec![app("ChAppRC1", 900), net("ChNetRC1", 700)]),
            ],
        );
        let policy = NetworkPolicy {
            firewall: Some(child.with_parent(&parent).into()),
            context: network(),
            ..NetworkPolicy::default()
        };
        let layer = if first < 4 { FirewallNetwork } else { FirewallApplication };
        expect(&policy, &outbound(host, 443), Allowed, layer, order[first]);
    }
}

#[test]
fn a_network_deny_beats_an_application_allow() {
    let policy = behind_firewall(vec![
        collection("app", 100, Access::Allow, vec![application("hosts", vec![fqdn("*")])]),
        collection("net", 900, Access::Deny, vec![network_rule("no-storage", "Storage", "443")]),
    ]);
    expect(&policy, &outbound("a.blob.core.windows.net", 443), Denied, FirewallNetwork, "no-storage");
}

#[test]
fn application_rules_match_only_what_names_its_host() {
    let policy = behind_firewall(vec![collection(
        "app",
        100,
        Access::Allow,
        vec![application("hosts", vec![fqdn("*.example.org")])],
    )]);
    let tls = outbound("www.example.org", 443);
    expect(&policy, &tls, Allowed, FirewallApplication, "hosts");
    let quic = Flow { protocol: Protocol::Udp, ..tls.clone() };
    expect(&policy, &quic, Denied, FirewallNetwork, NO_RULE);
    let plain = Flow { application: None, ..tls.clone() };
    expect(&policy, &plain, Denied, FirewallNetwork, NO_RULE);
    let http = Flow { application: Some(Application::Http), ..tls };
    expect(&policy, &http, Denied, FirewallApplication, NO_RULE);
    expect(&policy, &outbound("example.org", 443), Denied, FirewallApplication, NO_RULE);
    expect(&policy, &outbound("203.0.113.9", 443), Denied, FirewallNetwork, NO_RULE);
}

#[test]
fn what_microsoft_does_not_publish_stays_undecided() {
    let tag = application("updates", vec![Target::FqdnTag("WindowsUpdate".to_owned())]);
    let policy = behind_firewall(vec![collection("app", 100, Access::Allow, vec![tag])]);
    expect(&policy, &outbound("www.example.org", 443), Undecided, FirewallApplication, "updates");
}

#[test]
fn network_rules_by_name_match_that_name_only() {
    let FirewallRule::Network(rule) = network_rule("git", "Internet", "22") else { unreachable!() };
    let rule = NetworkRule {
        destination: Vec::new(),
        destination_names: vec![FqdnPattern::parse("git.example.org").unwrap()],
        ..rule
    };
    let policy =
        behind_firewall(vec![collection("net", 100, Access::Allow, vec![FirewallRule::Network(rule)])]);
    expect(&policy, &outbound("git.example.org", 22), Allowed, FirewallNetwork, "git");
    expect(&policy, &outbound("other.example.org", 22), Denied, FirewallNetwork, NO_RULE);
    expect(&policy, &outbound("203.0.113.9", 22), Undecided, FirewallNetwork, "git");
}

#[test]
fn traffic_inside_the_virtual_network_does_not_meet_the_firewall() {
    let policy = behind_firewall(Vec::new());
    expect(&policy, &outbound("10.0.7.7", 22), Allowed, Platform, FREE);
    expect(&policy, &outbound("192.168.7.7", 22), Denied, FirewallNetwork, NO_RULE);
}
