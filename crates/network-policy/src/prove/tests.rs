//! What single oracles cannot say: tags, names, routes and the platform, one trap each.

use std::sync::Arc;

use super::*;
use crate::{
    Address, AdminAction, AdminRule, Application, ApplicationRule, CheckError, Context, Direction, Firewall,
    FirewallPolicy, FirewallRule, FqdnPattern, Layer, NetworkPolicy, NetworkSecurityGroup, NextHop, Outbound,
    Route, RouteDestination, RouteSource, RouteTable, RuleCollection, RuleCollectionGroup, RuleProtocol,
    SecurityRule, ServiceEndpoint, Tags, Target,
};
use ProofVerdict::{Depends, Proved, Refuted};

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
        source: vec![Address::parse(source).unwrap()],
        source_ports: vec![PortRange::ALL],
        destination: vec![Address::parse(destination).unwrap()],
        destination_ports: vec![PortRange::parse(port).unwrap()],
    }
}

fn policy(rules: &[&str]) -> NetworkPolicy {
    let rules = rules.iter().map(|text| rule(text)).collect();
    NetworkPolicy {
        subnet_nsg: Some(NetworkSecurityGroup::new("nsg", rules).unwrap()),
        context: Context {
            virtual_network: vec!["10.241.0.0/24".parse().unwrap()],
            build_subnet: Some("10.241.0.0/28".parse().unwrap()),
            ..Context::default()
        },
        ..NetworkPolicy::default()
    }
}

fn with_tags(mut policy: NetworkPolicy, tags: &[(&str, &[&str])]) -> NetworkPolicy {
    let mut all = Tags::new("a test");
    for (name, prefixes) in tags {
        let prefixes: Vec<_> = prefixes.iter().map(|text| text.parse().unwrap()).collect();
        all.insert(name, &prefixes);
    }
    policy.context.tags = Arc::new(all);
    policy
}

/// Proves, asks for the second opinion, and checks the certificate.
#[track_caller]
fn ask(policy: &NetworkPolicy, line: &str, verdict: ProofVerdict) -> Proof {
    let contract = Contract::parse(line).unwrap();
    let compiled = policy.compile();
    let proof = compiled.prove(&contract);
    assert_eq!(proof.verdict, verdict, "{proof:#?}");
    assert_eq!(compiled.second_opinion(&contract).verdict, verdict);
    let checked = proof.certificate.as_ref().unwrap().check(policy, &contract);
    assert_eq!(checked.is_ok(), verdict == Proved, "{checked:?} {proof:#?}");
    proof
}

const NONE: &str = "4096 out deny * * * *";

#[test]
fn a_tag_is_compared_by_name_where_its_prefixes_are_not_known() {
    let contract = "allow outbound tcp * -> Storage:443";
    let allows = policy(&["100 out allow tcp * STORAGE 443", NONE]);
    ask(&allows, contract, Proved);
    let proof = ask(&policy(&["100 out deny tcp * Storage 443"]), contract, Refuted);
    assert_eq!((proof.packet, proof.lost.unwrap().phrase.as_str()), (None, "every packet"));
    let proof = ask(&policy(&["100 out allow tcp * Storage.EastUS2 443", NONE]), contract, Depends);
    assert!(proof.open.iter().any(|open| open.contains("service tag Storage.EastUS2")), "{:?}", proof.open);
    // Never empty, never any.
    ask(&policy(&["100 out deny tcp * CorpNetPublic 443"]), "allow outbound tcp * -> Internet:443", Depends);
    ask(
        &policy(&["100 out allow tcp * CorpNetPublic 443", NONE]),
        "allow outbound tcp * -> Internet:443",
        Depends,
    );
}

#[test]
fn a_region_is_not_the_service_and_azure_is_not_the_internet() {
    let tags: &[(&str, &[&str])] = &[
        ("Storage", &["20.60.0.0/16", "52.239.192.0/18"]),
        ("Storage.EastUS2", &["20.60.0.0/24"]),
        ("AzureCloud", &["20.0.0.0/8"]),
    ];
    let regional = with_tags(policy(&["100 out allow tcp * Storage.EastUS2 443", NONE]), tags);
    let proof = ask(&regional, "allow outbound tcp * -> Storage:443", Refuted);
    let packet = proof.packet.unwrap();
    assert_eq!((packet.to.to_string().as_str(), packet.owner.as_deref()), ("20.60.1.1", Some("storage")));
    assert_eq!(proof.lost.unwrap().phrase, "81,664 of 81,920 destinations");
    ask(&regional, "allow outbound tcp * -> Storage.EastUS2:443", Proved);
    let cloud = with_tags(policy(&["100 out allow tcp * AzureCloud 443", NONE]), tags);
    ask(&cloud, "allow outbound tcp * -> Internet:443", Refuted);
    let proof = ask(&cloud, "allow outbound tcp * -> Storage:443", Refuted);
    assert_eq!(proof.lost.unwrap().phrase, "16,384 of 81,920 destinations");
}

#[test]
fn a_packet_is_one_that_people_know_with_the_rule_that_nearly_let_it_pass() {
    let allow = "100 out allow tcp * Internet 443";
    let proof = ask(&policy(&[allow, NONE]), "allow outbound tcp 10.241.0.0/28 -> Internet:80-443", Refuted);
    assert_eq!(proof.packet.unwrap().to_string(), "tcp 10.241.0.4:50000 -> 20.60.0.1:80");
    let by = proof.decided_by.unwrap();
    assert_eq!((by.layer, by.rule.as_str(), by.priority), (Layer::SubnetNsg, NONE, Some(4096)));
    let near = proof.near_miss.unwrap();
    assert_eq!(near.rule, allow);
    let missed: Vec<_> = near.fields.iter().filter(|field| field.matches == Some(false)).collect();
    assert_eq!(missed.len(), 1);
    assert_eq!(
        (missed[0].field, missed[0].rule.as_str(), missed[0].packet.as_str()),
        ("destination port", "443", "80")
    );
    assert!(proof.lost.unwrap().phrase.ends_with("on 363 ports"));
}

#[test]
fn what_azure_exempts_passes_and_is_not_counted() {
    let closed = policy(&[NONE]);
    ask(&closed, "allow outbound udp * -> 168.63.129.16:53", Proved);
    ask(&closed, "allow outbound tcp * -> 169.254.169.254:80", Proved);
    ask(&closed, "allow outbound tcp * -> 168.63.129.16:25", Refuted);
    ask(&policy(&[]), "allow outbound udp * -> VirtualNetwork", Proved);
    let proof = ask(&closed, "deny outbound tcp * -> *", Proved);
    assert!(proof.assumptions.iter().any(|text| text.contains("exempts")), "{:?}", proof.assumptions);
    let blocked = policy(&["100 out deny * * AzurePlatformDNS *"]);
    ask(&blocked, "allow outbound udp * -> 168.63.129.16:53", Depends);
    // Probes come from an address that is not exempt inbound.
    let probes = policy(&["100 in deny * AzureLoadBalancer * *"]);
    ask(&probes, "allow inbound tcp AzureLoadBalancer -> *:60001", Refuted);
}

#[test]
fn admin_rules_come_before_groups() {
    let admin = |action, port| AdminRule {
        name: format!("{action:?}"),
        resource: "manager".to_owned(),
        priority: 1,
        direction: Direction::Outbound,
        action,
        protocol: RuleProtocol::Any,
        source: vec![Address::Any],
        source_ports: vec![PortRange::ALL],
        destination: vec![Address::Any],
        destination_ports: vec![PortRange::single(port)],
    };
    let mut closed = policy(&[NONE]);
    closed.admin = vec![admin(AdminAction::AlwaysAllow, 443)];
    let proof = ask(&closed, "allow outbound tcp * -> Internet:443", Proved);
    assert_eq!(proof.decided_by.unwrap().layer, Layer::Admin);
    closed.admin = vec![admin(AdminAction::Allow, 443)];
    ask(&closed, "allow outbound tcp * -> Internet:443", Refuted);
    let mut open = policy(&[]);
    open.admin = vec![admin(AdminAction::Deny, 443)];
    let proof = ask(&open, "allow outbound tcp * -> Internet:443", Refuted);
    assert_eq!(proof.decided_by.unwrap().rule, "Deny");
}

fn route(destination: &str, next_hop: NextHop) -> Route {
    Route {
        name: format!("to {destination}"),
        source: RouteSource::User,
        destination: RouteDestination::Prefix(destination.parse().unwrap()),
        next_hop,
    }
}

fn routed(rules: &[&str], routes: Vec<Route>, outbound: Outbound) -> NetworkPolicy {
    let table = RouteTable { name: "routes".to_owned(), routes, outbound, ..RouteTable::default() };
    NetworkPolicy { routes: Some(table), ..policy(rules) }
}

const FIREWALL: &str = "10.200.0.4";

fn appliance(address: &str) -> NextHop {
    NextHop::Appliance(Some(address.parse().unwrap()))
}

#[test]
fn a_default_route_makes_the_virtual_network_universal() {
    let table = vec![route("0.0.0.0/0", appliance("10.9.9.9"))];
    let tunnelled = routed(&[], table, Outbound::Missing);
    let proof = ask(&tunnelled, "deny inbound tcp Internet -> *:22", Refuted);
    assert_eq!(proof.decided_by.unwrap().rule, "AllowVnetInBound");
    ask(&policy(&[]), "deny inbound tcp Internet -> *:22", Proved);
    let proof = ask(&tunnelled, "allow outbound tcp * -> Internet:443", Depends);
    assert!(proof.open[0].contains("appliance 10.9.9.9"), "{:?}", proof.open);
    assert_eq!(proof.decided_by.unwrap().layer, Layer::Route);
}

#[test]
fn routes_lose_what_groups_let_pass() {
    let contract = "allow outbound tcp * -> Internet:443";
    let hole = routed(&[], vec![route("20.60.0.0/16", NextHop::None)], Outbound::NatGateway);
    let proof = ask(&hole, contract, Refuted);
    let by = proof.decided_by.unwrap();
    assert_eq!(
        (by.layer, by.resource.as_str(), by.rule.as_str()),
        (Layer::Route, "routes", "to 20.60.0.0/16")
    );
    assert!(proof.lost.unwrap().phrase.starts_with("65,536 of "));
    ask(&routed(&[], Vec::new(), Outbound::NatGateway), contract, Proved);
    ask(&routed(&[], Vec::new(), Outbound::Missing), contract, Refuted);
    let proof = ask(&routed(&[], Vec::new(), Outbound::Unknown), contract, Depends);
    assert!(proof.open[0].contains("default outbound access"), "{:?}", proof.open);
    ask(&routed(&[], Vec::new(), Outbound::Missing), "allow outbound tcp * -> VirtualNetwork:22", Refuted);
    ask(&routed(&[], Vec::new(), Outbound::Missing), "allow outbound tcp * -> 10.241.0.0/24:22", Proved);
}

fn firewall(rules: Vec<FirewallRule>) -> Firewall {
    let collection = RuleCollection { name: "hosts".to_owned(), priority: 200, action: Access::Allow, rules };
    let group = RuleCollectionGroup { name: "g".to_owned(), priority: 100, collections: vec![collection] };
    Firewall {
        policy: FirewallPolicy::new("fw", vec![group]),
        private_addresses: vec![FIREWALL.parse().unwrap()],
    }
}

fn hosts(name: &str, targets: Vec<Target>) -> FirewallRule {
    FirewallRule::Application(ApplicationRule {
        name: name.to_owned(),
        protocols: vec![(Application::Https, 443)],
        source: vec![Address::Any],
        destination: Vec::new(),
        targets,
    })
}

#[test]
fn a_service_endpoint_leads_past_the_firewall() {
    let tags: &[(&str, &[&str])] = &[("Storage", &["20.60.0.0/16"]), ("Storage.EastUS2", &["20.60.0.0/24"])];
    let table = vec![route("0.0.0.0/0", appliance(FIREWALL))];
    let mut guarded = with_tags(routed(&[], table, Outbound::Missing), tags);
    guarded.firewall = Some(firewall(Vec::new()));
    ask(&guarded, "deny outbound tcp * -> Storage:443", Proved);
    let endpoint = ServiceEndpoint {
        service: "Microsoft.Storage".to_owned(),
        region: Some("Storage.EastUS2".to_owned()),
    };
    guarded.routes.as_mut().unwrap().service_endpoints.push(endpoint);
    ask(&guarded, "allow outbound tcp * -> Storage.EastUS2:443", Proved);
    let proof = ask(&guarded, "deny outbound tcp * -> Storage:443", Refuted);
    assert_eq!(proof.lost.unwrap().phrase, "256 of 65,536 destinations");
    // Whether another region's storage is reached through it is not known.
    ask(&guarded, "deny outbound tcp * -> 20.60.1.0/24:443", Depends);
}

#[test]
fn a_refusal_holds_for_every_name() {
    let table = || vec![route("0.0.0.0/0", appliance(FIREWALL))];
    let behind = |targets| NetworkPolicy {
        firewall: Some(firewall(vec![hosts("hosts", targets)])),
        ..routed(&[], table(), Outbound::Missing)
    };
    let fqdn = |text: &str| Target::Fqdn(FqdnPattern::parse(text).unwrap());
    let open = behind(vec![fqdn("*.blob.core.windows.net"), fqdn("mcr.microsoft.com")]);
    let proof = ask(&open, "deny outbound tcp * -> Internet:443", Refuted);
    let packet = proof.packet.unwrap();
    assert_eq!(packet.application, Some(Application::Https));
    let name = packet.name.unwrap();
    assert!(name.ends_with(".blob.core.windows.net") || name == "mcr.microsoft.com", "{name}");
    assert_eq!(proof.decided_by.unwrap().layer, Layer::FirewallApplication);
    ask(&open, "deny outbound tcp * -> Internet:80", Proved);
    ask(&open, "deny outbound udp * -> Internet:443", Proved);
    // A packet that names no host matches no application rule.
    ask(&open, "allow outbound tcp * -> Internet:443", Refuted);
    let tagged = behind(vec![Target::FqdnTag("WindowsUpdate".to_owned())]);
    let proof = ask(&tagged, "deny outbound tcp * -> Internet:443", Depends);
    assert!(proof.open[0].contains("FQDN tag WindowsUpdate"), "{:?}", proof.open);
}

#[test]
fn custom_dns_servers_have_to_be_let_through() {
    let mut closed = policy(&["100 out allow tcp * Internet 443", NONE]);
    closed.context.dns_servers = vec!["10.200.0.4".parse().unwrap()];
    assert_eq!(closed.compile().unreachable_dns_servers(), closed.context.dns_servers);
    let open = policy(&["100 out allow * * 10.200.0.4 53", NONE]);
    let open = NetworkPolicy { context: closed.context, ..open };
    assert!(open.compile().unreachable_dns_servers().is_empty());
}

#[test]
fn version_6_is_counted_beyond_every_register() {
    let mut both = policy(&[]);
    both.context.virtual_network.push("fd00::/48".parse().unwrap());
    ask(&both, "allow outbound tcp * -> VirtualNetwork", Proved);
    ask(&both, "allow outbound tcp fd00::/64 -> 2000::/3:443", Proved);
    let proof = ask(&both, "allow outbound tcp fd00::/64 -> 4000::/3:443", Refuted);
    assert_eq!(proof.lost.unwrap().packets, u128::MAX);
}

#[test]
fn a_certificate_that_was_tampered_with_is_refused() {
    let group = policy(&["100 out allow tcp * Internet 443", "110 out deny tcp * 20.60.0.0/16 80"]);
    let contract = Contract::parse("allow outbound tcp * -> Internet:443-8443").unwrap();
    let honest = group.compile().certify(&contract);
    assert!(matches!(honest.check(&group, &contract), Ok(())), "nothing denies 80 here");
    let contract = Contract::parse("deny outbound tcp * -> 20.60.0.0/15:79-80").unwrap();
    let partition = group.compile().certify(&contract);
    assert!(matches!(partition.check(&group, &contract), Err(CheckError::Broken(_))));
    let mut lied = partition.clone();
    lied.boxes.iter_mut().for_each(|one| one.verdict = Verdict::Denied);
    assert!(matches!(lied.check(&group, &contract), Err(CheckError::Decision { .. })));
    let mut short = partition.clone();
    short.boxes.retain(|one| one.verdict == Verdict::Denied);
    assert_eq!(short.check(&group, &contract), Err(CheckError::Incomplete));
    let mut doubled = partition.clone();
    doubled.boxes.push(doubled.boxes[0].clone());
    assert!(matches!(doubled.check(&group, &contract), Err(CheckError::Overlap(0, _))));
    let other = Contract::parse("deny outbound udp * -> 20.60.0.0/15:79-80").unwrap();
    assert_eq!(partition.check(&group, &other), Err(CheckError::Outside(0)));
    assert_eq!(Certificate::default().check(&group, &other), Err(CheckError::Incomplete));
}

#[test]
fn protocols_without_ports() {
    let ported = policy(&["100 out allow * * Internet 443", NONE]);
    ask(&ported, "allow outbound icmp * -> Internet", Depends);
    ask(&policy(&["100 out allow Icmp * Internet *", NONE]), "allow outbound icmp * -> Internet", Proved);
    ask(&ported, "deny outbound esp * -> VirtualNetwork", Proved);
}

/// Azure keeps the first four addresses of a subnet and the last to itself.
#[test]
fn no_packet_is_shown_that_no_machine_could_send() {
    let subnet = |prefix: &str| crate::FarSubnet {
        name: "containers".to_owned(),
        prefixes: vec![prefix.parse().unwrap()],
        nsg: NetworkSecurityGroup::new("containers", Vec::new()).unwrap(),
    };
    let mut closed = policy(&["100 in deny * * * *"]);
    closed.far_subnets = vec![subnet("10.241.0.64/26")];
    let shown = |line: &str| {
        let contract = Contract::parse(line).unwrap();
        let packets = [closed.prove(&contract).packet, closed.compile().second_opinion(&contract).packet];
        packets.map(|packet| packet.unwrap().from.to_string())
    };
    let [found, second] = shown("allow inbound tcp 10.241.0.64/26 -> *:22");
    assert_eq!((found.as_str(), second.as_str()), ("10.241.0.68", "10.241.0.68"));
    // When there is no other, it is one of those.
    assert_eq!(shown("allow inbound tcp 10.241.0.64/31 -> *:22")[0], "10.241.0.64");
}
