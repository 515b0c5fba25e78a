//! Worked examples of Azure's documents. Those of "how network security groups filter network traffic", of IP flow verify
//! and of a firewall policy's order stand beside the code they are about.

use std::collections::BTreeSet;
use std::sync::Arc;

use network_policy::{
    Access, Address, Application, ApplicationRule, Context, Contract, Destination, Direction, FirewallPolicy,
    FirewallRule, Flow, FqdnPattern, Layer, LayerDecision, NetworkPolicy, NetworkRule, NetworkSecurityGroup,
    NextHop, Outbound, PortRange, ProofVerdict, Protocol, Route, RouteDestination, RouteSource, RouteTable,
    RuleCollection, RuleCollectionGroup, RuleProtocol, SecurityRule, ServiceEndpoint, Tags, Target, Verdict,
};

fn outbound(to: &str, port: u16) -> Flow {
    Flow {
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        source: "10.0.0.4".parse().unwrap(),
        source_port: 50_000,
        destination: match to.parse() {
            Ok(address) => Destination::Address(address),
            Err(_) => Destination::Name(to.to_owned()),
        },
        port,
        application: None,
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

/// "Virtual network traffic routing", the route table of Subnet1: what is marked *Active* is what decides. 20.60.0.0/16
/// stands for the prefixes of the service endpoint.
fn subnet1() -> NetworkPolicy {
    let appliance = || NextHop::Appliance(Some("10.0.100.4".parse().unwrap()));
    let user = |name: &str, prefix: &str, next_hop| Route {
        name: name.to_owned(),
        source: RouteSource::User,
        destination: RouteDestination::Prefix(prefix.parse().unwrap()),
        next_hop,
    };
    let routes = vec![
        user("Within-VNet1", "10.0.0.0/16", appliance()),
        user("Within-Subnet1", "10.0.0.0/24", NextHop::VirtualNetwork),
        user("ToVNet2-1-Drop", "10.1.0.0/16", NextHop::None),
        user("ToVNet2-2-Drop", "10.2.0.0/16", NextHop::None),
        user("To-On-Prem", "10.10.0.0/16", appliance()),
        user("Default-NVA", "0.0.0.0/0", appliance()),
    ];
    let storage = ServiceEndpoint {
        service: "Microsoft.Storage".to_owned(),
        region: Some("Storage.EastUS".to_owned()),
    };
    let mut tags = Tags::new("the example");
    tags.insert("Storage", &["20.60.0.0/16".parse().unwrap()]);
    tags.insert("Storage.EastUS", &["20.60.0.0/16".parse().unwrap()]);
    NetworkPolicy {
        routes: Some(RouteTable {
            name: "Subnet1".to_owned(),
            routes,
            service_endpoints: vec![storage],
            outbound: Outbound::NatGateway,
            ..RouteTable::default()
        }),
        context: Context {
            virtual_network: vec!["10.0.0.0/16".parse().unwrap()],
            build_subnet: Some("10.0.0.0/24".parse().unwrap()),
            peered: vec!["10.1.0.0/16".parse().unwrap(), "10.2.0.0/16".parse().unwrap()],
            gateway: vec!["10.10.0.0/16".parse().unwrap()],
            tags: Arc::new(tags),
            ..Context::default()
        },
        ..NetworkPolicy::default()
    }
}

/// An address of each row that no longer prefix holds, and the route that decides there: its own where the row is
/// *Active*, the one that overrides it where it is *Invalid*.
#[test]
fn documented_route_table_of_subnet1() {
    let policy = subnet1();
    for (row, to, active, route, verdict) in [
        (1, "10.0.5.9", false, "Within-VNet1", Verdict::Undecided),
        (2, "10.0.5.9", true, "Within-VNet1", Verdict::Undecided),
        (3, "10.0.0.9", true, "Within-Subnet1", Verdict::Allowed),
        (4, "10.1.0.9", false, "ToVNet2-1-Drop", Verdict::Denied),
        (5, "10.2.0.9", false, "ToVNet2-2-Drop", Verdict::Denied),
        (6, "10.1.0.9", true, "ToVNet2-1-Drop", Verdict::Denied),
        (7, "10.2.0.9", true, "ToVNet2-2-Drop", Verdict::Denied),
        (8, "10.10.0.9", false, "To-On-Prem", Verdict::Undecided),
        (9, "10.10.0.9", true, "To-On-Prem", Verdict::Undecided),
        (10, "20.60.0.9", true, "service endpoint Microsoft.Storage", Verdict::Allowed),
        (11, "1.1.1.1", false, "Default-NVA", Verdict::Undecided),
        (12, "1.1.1.1", true, "Default-NVA", Verdict::Undecided),
    ] {
        let path = policy.path(&outbound(to, 443));
        let by = path.iter().find(|layer| layer.decided_by.layer == Layer::Route).unwrap();
        assert_eq!((by.decided_by.rule.as_str(), by.verdict), (route, verdict), "row {row}");
        let own = SUBNET1_ROWS[row - 1];
        assert_eq!(by.decided_by.rule == own, active, "row {row}: {own}");
    }
    // No packet at all meets a row that is Invalid, nor one that Azure removed from the table.
    let everything = Contract::parse("allow outbound * * -> *").unwrap();
    let boxes = policy.compile().certify(&everything).boxes;
    let met: BTreeSet<_> = boxes
        .iter()
        .flat_map(|part| &part.deciders)
        .filter(|by| by.layer == Layer::Route)
        .map(|by| by.rule.as_str())
        .collect();
    let active = [1, 2, 5, 6, 8, 9, 11].map(|row: usize| SUBNET1_ROWS[row]);
    assert_eq!(met, active.into_iter().collect());
    // What the routes lead into an appliance nobody knows depends on it; what they drop is refuted.
    for (line, verdict) in [
        ("allow outbound tcp * -> 10.0.0.0/24", ProofVerdict::Proved),
        ("allow outbound tcp * -> 10.1.0.0/16", ProofVerdict::Refuted),
        ("deny outbound * * -> 10.2.0.0/16", ProofVerdict::Proved),
        ("allow outbound tcp * -> 10.10.0.0/16", ProofVerdict::Depends),
        ("allow outbound tcp * -> 192.168.7.0/24", ProofVerdict::Depends),
        ("allow outbound tcp * -> 20.60.0.0/16:443", ProofVerdict::Proved),
        ("allow outbound tcp * -> 20.0.0.0/8:443", ProofVerdict::Depends),
    ] {
        assert_eq!(policy.prove(&Contract::parse(line).unwrap()).verdict, verdict, "{line}");
    }
}

/// The rows of the table, by the names that routes have here.
const SUBNET1_ROWS: [&str; 12] = [
    "system route 10.0.0.0/16 -> virtual network",
    "Within-VNet1",
    "Within-Subnet1",
    "system route 10.1.0.0/16 -> peered virtual network",
    "system route 10.2.0.0/16 -> peered virtual network",
    "ToVNet2-1-Drop",
    "ToVNet2-2-Drop",
    "system route 10.10.0.0/16 -> virtual network gateway",
    "To-On-Prem",
    "service endpoint Microsoft.Storage",
    "system route 0.0.0.0/0 -> Internet",
    "Default-NVA",
];

/// The table of Subnet2, which has no routes of its own: what is private and nobody's is dropped.
#[test]
fn documented_route_table_of_subnet2() {
    let mut policy = subnet1();
    let table = policy.routes.as_mut().unwrap();
    (table.routes, table.service_endpoints) = (Vec::new(), Vec::new());
    for (to, route, verdict) in [
        ("10.0.5.9", "system route 10.0.0.0/16 -> virtual network", Verdict::Allowed),
        ("10.1.0.9", "system route 10.1.0.0/16 -> peered virtual network", Verdict::Allowed),
        ("10.2.0.9", "system route 10.2.0.0/16 -> peered virtual network", Verdict::Allowed),
        ("10.10.0.9", "system route 10.10.0.0/16 -> virtual network gateway", Verdict::Undecided),
        ("1.1.1.1", "system route 0.0.0.0/0 -> Internet", Verdict::Allowed),
        ("10.99.0.9", "system route 10.0.0.0/8 -> none", Verdict::Denied),
        ("100.64.0.9", "system route 100.64.0.0/10 -> none", Verdict::Denied),
        ("192.168.0.9", "system route 192.168.0.0/16 -> none", Verdict::Denied),
    ] {
        let path = policy.path(&outbound(to, 443));
        let by = path.iter().find(|layer| layer.decided_by.layer == Layer::Route).unwrap();
        assert_eq!((by.decided_by.rule.as_str(), by.verdict), (route, verdict), "{to}");
    }
}

/// "Application security groups": NSG1. Who belongs to which group is not known here, but that the build machine
/// belongs to none, so that no rule about a group allows it anything or keeps it from anything.
#[test]
fn documented_application_security_groups() {
    let group = |name: &str| vec![Address::ApplicationSecurityGroup(name.to_owned())];
    let rule = |priority, name: &str, source, destination, port, protocol, access| SecurityRule {
        name: name.to_owned(),
        priority,
        direction: Direction::Inbound,
        access,
        protocol,
        source,
        source_ports: vec![PortRange::ALL],
        destination,
        destination_ports: vec![PortRange::single(port)],
    };
    let tcp = RuleProtocol::Only(Protocol::Tcp);
    let internet = vec![Address::parse("Internet").unwrap()];
    let rules = vec![
        rule(100, "Allow-HTTP-Inbound-Internet", internet, group("AsgWeb"), 80, tcp, Access::Allow),
        rule(
            110,
            "Allow-Database-BusinessLogic",
            group("AsgLogic"),
            group("AsgDb"),
            1433,
            tcp,
            Access::Allow,
        ),
        rule(
            120,
            "Deny-Database-All",
            vec![Address::Any],
            group("AsgDb"),
            1433,
            RuleProtocol::Any,
            Access::Deny,
        ),
    ];
    let policy = NetworkPolicy {
        subnet_nsg: Some(NetworkSecurityGroup::new("NSG1", rules).unwrap()),
        context: subnet1().context,
        ..NetworkPolicy::default()
    };
    let compiled = policy.compile();
    for (flow, verdict, by) in [
        (inbound("1.1.1.1", 80), Verdict::Denied, "DenyAllInBound"),
        (inbound("10.0.0.9", 1433), Verdict::Allowed, "AllowVnetInBound"),
    ] {
        let decision = compiled.decide_in_azure(&flow);
        assert_eq!((decision.verdict, decision.rule.as_str()), (verdict, by), "{flow:?}");
    }
}

fn network_rule(name: &str, ports: &[u16]) -> FirewallRule {
    FirewallRule::Network(NetworkRule {
        name: name.to_owned(),
        protocols: vec![RuleProtocol::Only(Protocol::Tcp)],
        source: vec![Address::Any],
        destination: vec![Address::Any],
        destination_names: Vec::new(),
        destination_ports: ports.iter().map(|port| PortRange::single(*port)).collect(),
    })
}

fn firewall(collections: Vec<(u16, Access, FirewallRule)>) -> NetworkPolicy {
    let collections = collections.into_iter().map(|(priority, action, rule)| RuleCollection {
        name: format!("collection-{priority}"),
        priority,
        action,
        rules: vec![rule],
    });
    let group =
        RuleCollectionGroup { name: "group".to_owned(), priority: 100, collections: collections.collect() };
    let firewall = FirewallPolicy::new("firewall", vec![group]);
    NetworkPolicy { firewall: Some(firewall.into()), context: subnet1().context, ..NetworkPolicy::default() }
}

/// The report of least privilege: what is allowed to named hosts alone is there by its rule, until a contract asks for it.
#[test]
fn names_that_nobody_asked_for_are_excess() {
    let hosts = |name: &str, pattern: &str| {
        FirewallRule::Application(ApplicationRule {
            name: name.to_owned(),
            protocols: vec![(Application::Https, 443)],
            source: vec![Address::Any],
            destination: Vec::new(),
            targets: vec![Target::Fqdn(FqdnPattern::parse(pattern).unwrap())],
        })
    };
    let policy = firewall(vec![
        (100, Access::Allow, hosts("storage", "*.blob.core.windows.net")),
        (200, Access::Allow, hosts("tools", "dl.k8s.io")),
    ]);
    let rules = |contracts: &[&str]| {
        let contracts: Vec<_> = contracts.iter().map(|line| Contract::parse(line).unwrap()).collect();
        let excess = policy.excess(&contracts);
        let outbound = excess.into_iter().filter(|one| one.direction == Direction::Outbound);
        let mut names: Vec<_> = outbound.filter_map(|one| Some(one.decided_by?.rule)).collect();
        names.sort();
        names
    };
    assert_eq!(rules(&[]), ["storage", "tools"]);
    assert_eq!(rules(&["allow outbound tcp * -> *.blob.core.windows.net:443"]), ["tools"]);
    let both =
        ["allow outbound tcp * -> *.blob.core.windows.net:443", "allow outbound tcp * -> dl.k8s.io:443"];
    assert_eq!(rules(&both), [""; 0]);
    assert_eq!(rules(&["allow outbound tcp * -> *:443"]), [""; 0]);
}

/// "Azure Firewall rule processing logic", example 1: a network rule allows google.com before an application rule that
/// denies it is asked.
#[test]
fn documented_network_rule_before_application_rule() {
    let deny = FirewallRule::Application(ApplicationRule {
        name: "Deny-google".to_owned(),
        protocols: vec![(Application::Http, 80), (Application::Https, 443)],
        source: vec![Address::Any],
        destination: Vec::new(),
        targets: vec![Target::Fqdn(FqdnPattern::parse("google.com").unwrap())],
    });
    let allow = network_rule("Allow-web", &[80, 443]);
    let policy = firewall(vec![(100, Access::Deny, deny), (200, Access::Allow, allow)]);
    let google = Flow { application: Some(Application::Https), ..outbound("google.com", 443) };
    let decision = policy.decide(&google);
    assert_eq!((decision.verdict, decision.rule.as_str()), (Verdict::Allowed, "Allow-web"));
    let proof = policy.prove(&Contract::parse("allow outbound tcp * -> Internet:443").unwrap());
    assert_eq!(proof.verdict, ProofVerdict::Proved, "{proof:#?}");
}

/// The same, example 2: SSH is denied by a collection of higher priority.
#[test]
fn documented_deny_collection_of_higher_priority() {
    let policy = firewall(vec![
        (200, Access::Allow, network_rule("Allow-SSH", &[22])),
        (100, Access::Deny, network_rule("Deny-SSH", &[22])),
    ]);
    let decision = policy.decide(&outbound("1.1.1.1", 22));
    assert_eq!((decision.verdict, decision.rule.as_str()), (Verdict::Denied, "Deny-SSH"));
    let proof = policy.prove(&Contract::parse("deny outbound tcp * -> Internet:22").unwrap());
    assert_eq!(proof.verdict, ProofVerdict::Proved, "{proof:#?}");
}

/// "Diagnose a virtual machine network traffic filter problem": how the default rules read in effective rules. `Internet`
/// begins 1.0.0.0/8, 2.0.0.0/7, 4.0.0.0/6, 8.0.0.0/7, 11.0.0.0/8, 12.0.0.0/6; `VirtualNetwork` holds the platform's
/// address.
#[test]
fn documented_expansions_of_tags() {
    let policy = NetworkPolicy {
        subnet_nsg: Some(NetworkSecurityGroup::new("nsg", Vec::new()).unwrap()),
        context: Context { peered: Vec::new(), gateway: Vec::new(), ..subnet1().context },
        ..NetworkPolicy::default()
    };
    let by = |line: &str| {
        let proof = policy.prove(&Contract::parse(line).unwrap());
        (proof.verdict, proof.decided_by.map(|by| by.rule).unwrap_or_default())
    };
    let allowed = |rule: &str| (ProofVerdict::Proved, rule.to_owned());
    for block in ["1.0.0.0/8", "2.0.0.0/7", "4.0.0.0/6", "8.0.0.0/7", "11.0.0.0/8", "12.0.0.0/6"] {
        assert_eq!(
            by(&format!("allow outbound tcp * -> {block}")),
            allowed("AllowInternetOutBound"),
            "{block}"
        );
    }
    for block in ["0.0.0.0/8", "10.1.0.0/16", "172.16.0.0/12", "192.168.0.0/16"] {
        assert_eq!(by(&format!("deny outbound tcp * -> {block}")), allowed("DenyAllOutBound"), "{block}");
    }
    assert_eq!(by("allow outbound tcp * -> 10.0.0.0/16"), allowed("AllowVnetOutBound"));
    assert_eq!(by("allow inbound tcp 168.63.129.16 -> *"), allowed("AllowVnetInBound"));
}

/// `Storage` is neither all of a region's nor part of `AzureCloud`: rules about those do not keep a promise about it.
#[test]
fn a_tag_is_not_proved_by_one_that_looks_wider() {
    let mut tags = Tags::new("a part of the file of 17 November 2025");
    let net = |text: &str| text.parse().unwrap();
    tags.insert("Storage", &[net("20.60.0.0/16"), net("20.150.0.0/17"), net("52.239.192.0/18")]);
    tags.insert("Storage.EastUS2", &[net("20.60.0.0/24")]);
    tags.insert("AzureCloud", &[net("20.0.0.0/8")]);
    let verdict = |allowed: &str| {
        let lines = [format!("100 {allowed}"), "200 deny outbound * * -> *".to_owned()];
        let rules = lines.iter().map(|line| crate::repair::rule(line)).collect();
        let policy = NetworkPolicy {
            subnet_nsg: Some(NetworkSecurityGroup::new("nsg", rules).unwrap()),
            context: Context { tags: Arc::new(tags.clone()), ..subnet1().context },
            ..NetworkPolicy::default()
        };
        policy.prove(&Contract::parse("allow outbound tcp * -> Storage:443").unwrap()).verdict
    };
    assert_eq!(verdict("allow outbound tcp * -> Storage:443"), ProofVerdict::Proved);
    assert_eq!(verdict("allow outbound tcp * -> Storage.EastUS2:443"), ProofVerdict::Refuted);
    assert_eq!(verdict("allow outbound tcp * -> AzureCloud:443"), ProofVerdict::Refuted);
    assert_eq!(verdict("allow outbound tcp * -> Unheard:443"), ProofVerdict::Depends);
}

/// A layer behind a refusal is asked, too: everything that stands in the way is told at once.
#[test]
fn a_path_tells_every_layer_that_refuses() {
    let refuse = || {
        Some(
            NetworkSecurityGroup::new("nsg", vec![crate::repair::rule("100 deny outbound * * -> *")])
                .unwrap(),
        )
    };
    let policy = NetworkPolicy { nic_nsg: refuse(), subnet_nsg: refuse(), ..subnet1() };
    let denied = |layer: &LayerDecision| layer.verdict == Verdict::Denied;
    let path = policy.path(&outbound("10.1.0.9", 443));
    let layers: Vec<_> =
        path.iter().filter(|layer| denied(layer)).map(|layer| layer.decided_by.layer).collect();
    assert_eq!(layers, [Layer::NicNsg, Layer::SubnetNsg, Layer::Route]);
}
