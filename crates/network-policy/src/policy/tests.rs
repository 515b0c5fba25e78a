//! Worked examples of Azure's documentation, and the traps it names.

use super::*;
use crate::address::{Address, PortRange, RuleProtocol};
use crate::defaults::Endpoint;
use crate::firewall::{
    ApplicationRule, FirewallRule, NetworkRule, RuleCollection, RuleCollectionGroup, Target,
};
use crate::fqdn::FqdnPattern;
use crate::matching::Access;
use crate::nsg::SecurityRule;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn ports(text: &str) -> Vec<PortRange> {
    vec![PortRange::parse(text).unwrap()]
}

/// `"100 out deny tcp 10.0.0.0/8 Internet 80"`; the name is the whole text.
fn rule(text: &str) -> SecurityRule {
    let words: Vec<_> = text.split(' ').collect();
    let [priority, direction, access, protocol, source, destination, port] = words[..] else {
        panic!("seven words: {text}")
    };
    SecurityRule {
        name: text.to_owned(),
        priority: priority.parse().unwrap(),
        direction: if direction == "in" { Direction::Inbound } else { Direction::Outbound },
        access: if access == "allow" { Access::Allow } else { Access::Deny },
        protocol: RuleProtocol::parse(protocol).unwrap(),
        source: vec![address(source)],
        source_ports: vec![PortRange::ALL],
        destination: vec![address(destination)],
        destination_ports: ports(port),
    }
}

fn nsg(name: &str, rules: &[&str]) -> NetworkSecurityGroup {
    NetworkSecurityGroup::new(name, rules.iter().map(|text| rule(text)).collect()).unwrap()
}

fn network() -> Context {
    Context {
        virtual_network: vec!["10.0.0.0/16".parse().unwrap()],
        build_subnet: Some("10.0.0.0/28".parse().unwrap()),
    }
}

fn behind_subnet(rules: &[&str]) -> NetworkPolicy {
    NetworkPolicy { subnet_nsg: Some(nsg("subnet", rules)), context: network(), ..NetworkPolicy::default() }
}

fn outbound(to: &str, port: u16) -> Flow {
    let destination = to.parse().map_or_else(|_| Destination::Name(to.to_owned()), Destination::Address);
    let application = match (&destination, port) {
        (Destination::Name(_), 443) => Some(Application::Https),
        (Destination::Name(_), 80) => Some(Application::Http),
        _ => None,
    };
    Flow {
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        source: "10.0.0.4".parse().unwrap(),
        source_port: 50_000,
        destination,
        port,
        application,
    }
}

fn inbound(from: &str, port: u16) -> Flow {
    Flow {
        direction: Direction::Inbound,
        source: from.parse().unwrap(),
        destination: Destination::Address("10.0.0.4".parse().unwrap()),
        ..outbound("10.0.0.4", port)
    }
}

#[track_caller]
fn expect(policy: &NetworkPolicy, flow: &Flow, verdict: Verdict, layer: Layer, rule: &str) {
    let decision = policy.decide(flow);
    assert_eq!(
        (decision.verdict, decision.layer, decision.rule.as_str()),
        (verdict, layer, rule),
        "{flow:?}"
    );
}

use Layer::{FirewallApplication, FirewallNetwork, NicNsg, Platform, SubnetNsg};
use Verdict::{Allowed, Denied, Undecided};

const FREE: &str = "no network security group or firewall stands in the way";

/// "How network security groups filter network traffic": four machines, two groups.
#[test]
fn documented_machines_inbound() {
    let web = "100 in allow tcp * * 80";
    let policy = |subnet, nic| NetworkPolicy {
        subnet_nsg: subnet,
        nic_nsg: nic,
        context: network(),
        ..Default::default()
    };
    let flow = inbound("203.0.113.9", 80);

    let vm1 = policy(Some(nsg("NSG1", &[])), Some(nsg("NSG2", &[web])));
    expect(&vm1, &flow, Denied, SubnetNsg, "DenyAllInBound");
    let vm1 = policy(Some(nsg("NSG1", &[web])), Some(nsg("NSG2", &[])));
    expect(&vm1, &flow, Denied, NicNsg, "DenyAllInBound");
    expect(&policy(Some(nsg("NSG1", &[web])), Some(nsg("NSG2", &[web]))), &flow, Allowed, NicNsg, web);
    expect(&policy(Some(nsg("NSG1", &[web])), None), &flow, Allowed, SubnetNsg, web);
    expect(&policy(None, Some(nsg("NSG2", &[web]))), &flow, Allowed, NicNsg, web);
    expect(&policy(None, None), &flow, Allowed, Platform, FREE);
}

#[test]
fn documented_machines_outbound() {
    let deny = "100 out deny tcp * Internet 80";
    let policy = |subnet, nic| NetworkPolicy {
        subnet_nsg: subnet,
        nic_nsg: nic,
        context: network(),
        ..Default::default()
    };
    let flow = outbound("203.0.113.9", 80);

    let open = policy(Some(nsg("NSG1", &[])), Some(nsg("NSG2", &[])));
    expect(&open, &flow, Allowed, SubnetNsg, "AllowInternetOutBound");
    // The interface's group is asked first, so it is the one that refuses when both would.
    expect(&policy(Some(nsg("NSG1", &[deny])), Some(nsg("NSG2", &[deny]))), &flow, Denied, NicNsg, deny);
    expect(&policy(Some(nsg("NSG1", &[deny])), None), &flow, Denied, SubnetNsg, deny);
    expect(&policy(None, Some(nsg("NSG2", &[]))), &flow, Allowed, NicNsg, "AllowInternetOutBound");
    expect(&policy(None, None), &flow, Allowed, Platform, FREE);
}

/// "Diagnose a virtual machine network traffic filter problem": three flows of IP flow verify.
#[test]
fn documented_ip_flow_verify() {
    let policy = behind_subnet(&[]);
    expect(&policy, &outbound("13.107.21.200", 80), Allowed, SubnetNsg, "AllowInternetOutBound");
    expect(&policy, &outbound("172.31.0.100", 80), Denied, SubnetNsg, "DenyAllOutBound");
    expect(&policy, &inbound("172.31.0.100", 80), Denied, SubnetNsg, "DenyAllInBound");
}

#[test]
fn default_rules_cover_the_virtual_network_and_probes() {
    let policy = behind_subnet(&[]);
    expect(&policy, &outbound("10.0.9.9", 5432), Allowed, SubnetNsg, "AllowVnetOutBound");
    expect(&policy, &inbound("10.0.9.9", 22), Allowed, SubnetNsg, "AllowVnetInBound");
    // The platform address is in VirtualNetwork, so its probes already pass the first default rule.
    expect(&policy, &inbound("168.63.129.16", 60001), Allowed, SubnetNsg, "AllowVnetInBound");
    for private in ["192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "224.0.0.1", "fe80::1", "::1"] {
        expect(&policy, &outbound(private, 443), Denied, SubnetNsg, "DenyAllOutBound");
    }
}

#[test]
fn a_public_range_of_the_virtual_network_is_not_internet() {
    let mut policy = behind_subnet(&["100 out deny tcp * Internet 443"]);
    policy.context.virtual_network.push("198.51.100.0/24".parse().unwrap());
    expect(&policy, &outbound("198.51.100.7", 443), Allowed, SubnetNsg, "AllowVnetOutBound");
}

/// "Application security groups": build machines are in none, so rules about one never touch their own side.
#[test]
fn application_security_groups_never_hold_the_build_machine() {
    let group = |name: &str| Address::ApplicationSecurityGroup(name.to_owned());
    let database = SecurityRule { destination: vec![group("AsgDb")], ..rule("120 in deny * * * 1433") };
    let logic = SecurityRule {
        source: vec![group("AsgLogic")],
        destination: vec![group("AsgDb")],
        ..rule("110 in allow tcp * * 1433")
    };
    let web = SecurityRule { destination: vec![group("AsgWeb")], ..rule("100 in allow tcp Internet * 80") };
    let mut policy = behind_subnet(&[]);
    policy.subnet_nsg = Some(NetworkSecurityGroup::new("asg", vec![database, logic, web]).unwrap());
    expect(&policy, &inbound("10.0.0.9", 1433), Allowed, SubnetNsg, "AllowVnetInBound");
    expect(&policy, &inbound("203.0.113.9", 80), Denied, SubnetNsg, "DenyAllInBound");
}

#[test]
fn the_platform_is_not_there_whatever_the_rules_say() {
    let policy = behind_subnet(&["100 out allow * * * *"]);
    for platform in ["168.63.129.16", "169.254.169.254"] {
        let decision = policy.decide(&outbound(platform, 80));
        assert_eq!((decision.verdict, decision.layer), (Denied, Platform));
        assert!(decision.rule.contains("does not exist in a local build"), "{decision:?}");
    }
}

#[test]
fn names_stand_for_their_service_tag_or_the_internet() {
    let storage = "100 out allow tcp VirtualNetwork Storage 443";
    let none = "4096 out deny * * * *";
    let policy = behind_subnet(&[storage, none]);
    expect(&policy, &outbound("account.blob.core.windows.net", 443), Allowed, SubnetNsg, storage);
    expect(&policy, &outbound("account.blob.core.windows.net", 80), Denied, SubnetNsg, none);
    // Whether this host lies in Storage is not known, and the tag decides.
    expect(&policy, &outbound("files.example.org", 443), Undecided, SubnetNsg, storage);
    expect(&policy, &outbound("20.60.0.1", 443), Undecided, SubnetNsg, storage);

    let internet = "100 out allow tcp VirtualNetwork Internet 443";
    let policy = behind_subnet(&[internet, none]);
    expect(&policy, &outbound("files.example.org", 443), Allowed, SubnetNsg, internet);
    let policy = behind_subnet(&["100 out allow tcp * AzureResourceManager 443", none]);
    expect(
        &policy,
        &outbound("management.azure.com", 443),
        Allowed,
        SubnetNsg,
        "100 out allow tcp * AzureResourceManager 443",
    );
    let regional = "100 out allow tcp * Storage.EastUS2 443";
    expect(
        &behind_subnet(&[regional, none]),
        &outbound("a.blob.core.windows.net", 443),
        Undecided,
        SubnetNsg,
        regional,
    );
}

#[test]
fn prefixes_against_names() {
    let open = "100 out allow tcp * 20.0.0.0/8 443";
    let none = "4096 out deny * * * *";
    expect(&behind_subnet(&[open, none]), &outbound("files.example.org", 443), Undecided, SubnetNsg, open);
    // A private prefix cannot hold a public name, so refusing it changes nothing.
    let policy = behind_subnet(&["100 out deny tcp * 10.0.0.0/8 443"]);
    expect(&policy, &outbound("files.example.org", 443), Allowed, SubnetNsg, "AllowInternetOutBound");
    let all = "100 out deny tcp * 0.0.0.0/0 443";
    expect(&behind_subnet(&[all]), &outbound("files.example.org", 443), Denied, SubnetNsg, all);
}

#[test]
fn an_open_point_that_changes_nothing_is_no_reason_for_doubt() {
    let none = "4096 out deny * * * *";
    let policy = behind_subnet(&["100 out deny tcp * Sql 443", none]);
    expect(&policy, &outbound("files.example.org", 443), Denied, SubnetNsg, none);
    // A later layer that refuses anyway settles it too.
    let mut policy = behind_subnet(&[none]);
    policy.nic_nsg = Some(nsg("nic", &["100 out deny tcp * Sql 443"]));
    expect(&policy, &outbound("files.example.org", 443), Denied, SubnetNsg, none);
    let platform =
        behind_subnet(&["100 out deny * * AzurePlatformIMDS *", "110 out deny * * AzurePlatformDNS *"]);
    expect(&platform, &outbound("files.example.org", 443), Allowed, SubnetNsg, "AllowInternetOutBound");
}

#[test]
fn an_unknown_build_subnet_leaves_source_prefixes_open() {
    let allow = "100 out allow tcp 10.240.0.0/24 Internet 443";
    let none = "4096 out deny * * * *";
    let mut policy = behind_subnet(&[allow, none]);
    expect(&policy, &outbound("203.0.113.9", 443), Denied, SubnetNsg, none);
    policy.context.build_subnet = None;
    expect(&policy, &outbound("203.0.113.9", 443), Undecided, SubnetNsg, allow);
    policy.context.virtual_network.clear();
    expect(&behind_nothing_known(), &outbound("10.9.9.9", 22), Undecided, SubnetNsg, "AllowVnetOutBound");
}

fn behind_nothing_known() -> NetworkPolicy {
    NetworkPolicy { context: Context::default(), ..behind_subnet(&[]) }
}

#[test]
fn ports_of_other_protocols_only_may_match() {
    let deny = "100 out deny * * * 1024-65535";
    let icmp = Flow { protocol: Protocol::Icmp, port: 0, source_port: 0, ..outbound("203.0.113.9", 0) };
    expect(&behind_subnet(&[deny]), &icmp, Undecided, SubnetNsg, deny);
    let all = "100 out deny Icmp * * *";
    expect(&behind_subnet(&[all]), &icmp, Denied, SubnetNsg, all);
}

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
    NetworkPolicy { firewall: Some(firewall), context: network(), ..NetworkPolicy::default() }
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
            firewall: Some(child.with_parent(&parent)),
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

fn defaults(allow: &[&str]) -> NetworkPolicy {
    let allow: Vec<_> = allow.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
    NetworkPolicy::default_for(&allow)
}

#[test]
fn the_default_policy_is_the_guidance() {
    let policy = defaults(&["deb.example.org:80", "*.blob.core.windows.net:443", "git.example.org:22"]);
    expect(&policy, &outbound("deb.example.org", 80), Allowed, FirewallApplication, "allow-http-80");
    expect(
        &policy,
        &outbound("x.blob.core.windows.net", 443),
        Allowed,
        FirewallApplication,
        "allow-https-443",
    );
    expect(&policy, &outbound("git.example.org", 22), Allowed, FirewallNetwork, "allow-tcp-22");
    expect(&policy, &outbound("deb.example.org", 443), Denied, FirewallApplication, NO_RULE);
    expect(&policy, &outbound("get.example.org", 443), Denied, FirewallApplication, NO_RULE);
    expect(&policy, &outbound("1.1.1.1", 443), Denied, FirewallNetwork, NO_RULE);
    expect(&policy, &outbound("get.example.org", 8443), Denied, SubnetNsg, "DenyAllOutbound");
    let time = Flow { protocol: Protocol::Udp, ..outbound("time.example.org", 123) };
    expect(&policy, &time, Denied, SubnetNsg, "DenyAllOutbound");
    let neighbour = outbound("10.241.0.9", 22);
    expect(&policy, &neighbour, Allowed, SubnetNsg, "AllowSshInVirtualNetworkOutbound");
    assert_eq!(policy.build_machine().to_string(), "10.241.0.4");
}

#[test]
fn only_names_that_something_may_allow_resolve() {
    let policy = defaults(&["deb.example.org:80", "https://odd.example.org:8443", "git.example.org:22"]);
    for name in ["deb.example.org", "odd.example.org", "git.example.org"] {
        assert_eq!(policy.may_resolve(name).verdict, Allowed, "{name}");
    }
    let refused = policy.may_resolve("get.example.org");
    assert_eq!((refused.verdict, refused.rule.as_str()), (Denied, NO_RULE));
    // One port of the middle of a range is enough.
    let policy = behind_subnet(&["100 out allow tcp * Internet 5000-5001", "110 out deny * * * *"]);
    assert_eq!(policy.may_resolve("db.example.org").verdict, Allowed);
    let policy = behind_subnet(&["100 out deny tcp * * 1-65534"]);
    assert_eq!(policy.may_resolve("db.example.org").verdict, Allowed);
    let policy = behind_subnet(&["100 out deny tcp * * *"]);
    assert_eq!(policy.may_resolve("db.example.org").verdict, Denied);
    let policy = behind_subnet(&["100 out allow tcp * Sql 1433", "110 out deny * * * *"]);
    assert_eq!(policy.may_resolve("db.example.org").verdict, Undecided);
}
