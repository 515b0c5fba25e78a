//! Worked examples of Azure's documentation, and the traps it names.

mod firewall;

use super::*;
use crate::address::{Address, PortRange, RuleProtocol};
use crate::defaults::Endpoint;
use crate::flow::{Application, Destination, Direction, Protocol};
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
        ..Context::default()
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
fn addresses_in_disguise_are_no_names() {
    let policy = behind_subnet(&["100 out allow * * Internet *", "110 out deny * * * *"]);
    for name in
        ["168.63.129.16", "169.254.169.254", "[::ffff:168.63.129.16]", "2822734096", "0xa83f8110", "0x7f.1"]
    {
        let http = Flow { application: Some(Application::Http), ..outbound("www.example.org", 80) };
        let decision = policy.decide(&Flow { destination: Destination::Name(name.to_owned()), ..http });
        assert_eq!((decision.verdict, decision.layer), (Denied, Platform), "{name}");
    }
    let host = Flow { destination: Destination::Name("10.9.9.9".to_owned()), ..outbound("10.9.9.9", 80) };
    expect(&policy, &host, Denied, SubnetNsg, "110 out deny * * * *");
    expect(
        &policy,
        &outbound("::ffff:168.63.129.16", 80),
        Denied,
        Platform,
        "the platform's wire server does not exist in a local build",
    );
    expect(&policy, &outbound("4.example.org", 80), Allowed, SubnetNsg, "100 out allow * * Internet *");
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
