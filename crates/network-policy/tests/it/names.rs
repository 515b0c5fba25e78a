//! Contracts about host names against a naive reading of each name, address and port, and against the certificate checker.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use network_policy::{
    Access, Address, Application, ApplicationRule, Context, Contract, Destination, Direction, FirewallPolicy,
    FirewallRule, Flow, FqdnPattern, NetworkPolicy, NetworkRule, NetworkSecurityGroup, PortRange, Proof,
    ProofVerdict, Protocol, RuleCollection, RuleCollectionGroup, RuleProtocol, Tags, Target, Verdict,
};
use proptest::prelude::*;

/// Public addresses that no rule here tells apart from those beside them: in the tag, in a prefix, and elsewhere.
const ADDRESSES: [u32; 3] = [0x143c_0001, 0x0101_0101, 0x0808_0808];
const PORTS: [u16; 4] = [22, 80, 443, 1433];
const LABELS: [&str; 4] = ["a", "b", "ab", "ba"];
const PATTERNS: [&str; 9] =
    ["*", "*.x", "a.x", "*.a.x", "*a.x", "b.a.x", "*.b.x", "ab.x", "*.blob.core.windows.net"];

/// Names of every cell into which the patterns cut them, and some more.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    for end in ["x", "y", "blob.core.windows.net"] {
        names.push(end.to_owned());
        for one in LABELS {
            names.push(format!("{one}.{end}"));
            names.extend(LABELS.iter().map(|two| format!("{two}.{one}.{end}")));
        }
    }
    names
}

#[derive(Clone, Debug)]
enum Rule {
    /// Addresses of the security group: what it says, to which addresses, on which port.
    Group(bool, &'static str, Option<u16>),
    Network(bool, &'static str, Option<u16>),
    /// A network rule about names.
    Names(bool, &'static str, Option<u16>),
    Application(bool, &'static str, Vec<(Application, u16)>),
    /// The same by URL, which a flow may match or not.
    Url(bool, &'static str),
}

fn pattern(text: &str) -> FqdnPattern {
    FqdnPattern::parse(text).unwrap()
}

fn access(allow: bool) -> Access {
    if allow { Access::Allow } else { Access::Deny }
}

fn firewall_rule(rule: &Rule) -> Option<(bool, FirewallRule)> {
    let ports = |port: &Option<u16>| vec![port.map_or(PortRange::ALL, PortRange::single)];
    let network = |destination: &[&str], names: Vec<FqdnPattern>, port| NetworkRule {
        name: String::new(),
        protocols: vec![RuleProtocol::Only(Protocol::Tcp)],
        source: vec![Address::Any],
        destination: destination.iter().map(|text| Address::parse(text).unwrap()).collect(),
        destination_names: names,
        destination_ports: ports(port),
    };
    let application = |protocols: &[_], target| {
        FirewallRule::Application(ApplicationRule {
            name: String::new(),
            protocols: protocols.to_vec(),
            source: vec![Address::Any],
            destination: Vec::new(),
            targets: vec![target],
        })
    };
    Some(match rule {
        Rule::Group(..) => return None,
        Rule::Network(allow, to, port) => (*allow, FirewallRule::Network(network(&[to], Vec::new(), port))),
        Rule::Names(allow, name, port) => {
            (*allow, FirewallRule::Network(network(&[], vec![pattern(name)], port)))
        }
        Rule::Application(allow, name, protocols) => {
            (*allow, application(protocols, Target::Fqdn(pattern(name))))
        }
        Rule::Url(allow, host) => {
            let target = Target::Url { host: pattern(host), text: format!("{host}/path") };
            (*allow, application(&[(Application::Https, 443), (Application::Http, 80)], target))
        }
    })
}

fn policy(rules: &[Rule]) -> NetworkPolicy {
    let group = rules.iter().zip((110..).step_by(10)).filter_map(|(rule, priority)| match rule {
        Rule::Group(allow, to, port) => {
            let access = if *allow { "allow" } else { "deny" };
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            Some(crate::repair::rule(&format!("{priority} {access} outbound tcp * -> {to}{port}")))
        }
        _ => None,
    });
    let collections = rules.iter().zip(100..).filter_map(|(rule, priority)| {
        let (allow, rule) = firewall_rule(rule)?;
        Some(RuleCollection {
            name: priority.to_string(),
            priority,
            action: access(allow),
            rules: vec![rule],
        })
    });
    let collections: Vec<_> = collections.collect();
    let policy = (!collections.is_empty()).then(|| {
        let group = RuleCollectionGroup { name: "group".to_owned(), priority: 200, collections };
        FirewallPolicy::new("firewall", vec![group])
    });
    let mut tags = Tags::new("the small universe");
    tags.insert("Storage", &["20.60.0.0/16".parse().unwrap()]);
    NetworkPolicy {
        subnet_nsg: Some(NetworkSecurityGroup::new("nsg", group.collect()).unwrap()),
        firewall: policy.map(Into::into),
        context: Context {
            virtual_network: vec!["10.1.0.0/16".parse().unwrap()],
            build_subnet: Some("10.1.0.0/28".parse().unwrap()),
            tags: Arc::new(tags),
            ..Context::default()
        },
        ..NetworkPolicy::default()
    }
}

/// One flow: who is asked for, where it is, on which port and in which language.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    name: &'a str,
    address: u32,
    port: u16,
    application: Option<Application>,
}

/// Rules one after the other; `None` where a URL may or may not match.
fn passes(rules: &[Rule], asked: Asked<'_>) -> Option<bool> {
    let at = |port: &Option<u16>| port.is_none_or(|port| port == asked.port);
    // The names of a service are in its tag, wherever the file says that the tag is.
    let blob = asked.name.ends_with(".blob.core.windows.net");
    let to = |text: &str| match text {
        "Storage" => blob || asked.address >> 16 == 0x143c,
        "1.1.1.0/24" => asked.address >> 8 == 0x01_0101,
        _ => true,
    };
    let group = rules.iter().find_map(|rule| match rule {
        Rule::Group(allow, text, port) if at(port) && to(text) => Some(*allow),
        _ => None,
    });
    if group == Some(false) {
        return Some(false);
    }
    if rules.iter().all(|rule| matches!(rule, Rule::Group(..))) {
        return Some(true);
    }
    let network = rules.iter().find_map(|rule| match rule {
        Rule::Network(allow, text, port) if at(port) && to(text) => Some(*allow),
        Rule::Names(allow, text, port) if at(port) && pattern(text).matches(asked.name) => Some(*allow),
        _ => None,
    });
    if let Some(allow) = network {
        return Some(allow);
    }
    let mut perhaps = [false; 2];
    for rule in rules {
        let decides = match rule {
            Rule::Application(allow, text, protocols) => {
                let spoken =
                    |(application, port): &_| asked.application == Some(*application) && asked.port == *port;
                (pattern(text).matches(asked.name) && protocols.iter().any(spoken)).then_some(*allow)
            }
            Rule::Url(allow, text) => {
                let usual = asked.application.is_some_and(|_| {
                    [(Some(Application::Https), 443), (Some(Application::Http), 80)]
                        .contains(&(asked.application, asked.port))
                });
                perhaps[usize::from(*allow)] |= usual && pattern(text).matches(asked.name);
                None
            }
            _ => None,
        };
        if let Some(allow) = decides {
            return if perhaps[usize::from(!allow)] { None } else { Some(allow) };
        }
    }
    if perhaps[1] { None } else { Some(false) }
}

/// What the packets of a contract speak.
fn spoken(allow: bool, port: u16) -> Vec<Option<Application>> {
    if allow {
        vec![Some(Application::usual(port))]
    } else {
        vec![None, Some(Application::Http), Some(Application::Https), Some(Application::Mssql)]
    }
}

/// Whether every way to break the contract by a name, port and language breaks it at every address, at some, at none.
fn expected(rules: &[Rule], allow: bool, name: &FqdnPattern, ports: &[u16]) -> ProofVerdict {
    let mut verdict = ProofVerdict::Proved;
    for name in names().iter().filter(|own| name.matches(own)) {
        for &port in ports {
            for application in spoken(allow, port) {
                let fates =
                    ADDRESSES.map(|address| passes(rules, Asked { name, address, port, application }));
                if fates.iter().all(|fate| *fate == Some(!allow)) {
                    return ProofVerdict::Refuted;
                }
                if fates.iter().any(|fate| *fate != Some(allow)) {
                    verdict = ProofVerdict::Depends;
                }
            }
        }
    }
    verdict
}

fn rule() -> impl Strategy<Value = Rule> {
    let port = || prop::option::of(prop::sample::select(&PORTS[..]));
    let name = || prop::sample::select(&PATTERNS[..]);
    let to = || prop::sample::select(vec!["*", "Storage", "1.1.1.0/24", "Internet"]);
    let protocols = prop::sample::subsequence(
        vec![
            (Application::Http, 80),
            (Application::Https, 443),
            (Application::Https, 22),
            (Application::Mssql, 1433),
        ],
        1..4,
    );
    prop_oneof![
        2 => (any::<bool>(), to(), port()).prop_map(|(allow, to, port)| Rule::Group(allow, to, port)),
        2 => (any::<bool>(), to(), port()).prop_map(|(allow, to, port)| Rule::Network(allow, to, port)),
        1 => (any::<bool>(), name(), port()).prop_map(|(allow, name, port)| Rule::Names(allow, name, port)),
        4 => (any::<bool>(), name(), protocols)
            .prop_map(|(allow, name, protocols)| Rule::Application(allow, name, protocols)),
        1 => (any::<bool>(), name()).prop_map(|(allow, name)| Rule::Url(allow, name)),
    ]
}

fn flow(asked: Asked<'_>, by_name: bool) -> Flow {
    let address = IpAddr::from(Ipv4Addr::from(asked.address));
    Flow {
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        source: "10.1.0.4".parse().unwrap(),
        source_port: 50_000,
        destination: if by_name {
            Destination::Name(asked.name.to_owned())
        } else {
            Destination::Named(address, asked.name.to_owned())
        },
        port: asked.port,
        application: asked.application,
    }
}

fn verdict(passes: Option<bool>) -> Verdict {
    match passes {
        Some(true) => Verdict::Allowed,
        Some(false) => Verdict::Denied,
        None => Verdict::Undecided,
    }
}

/// The shown packet breaks the contract at every address its name may have.
fn shown(rules: &[Rule], allow: bool, proof: &Proof) -> Result<(), TestCaseError> {
    let packet = proof.packet.clone().unwrap();
    let name = packet.name.clone().unwrap();
    for address in ADDRESSES {
        let asked = Asked { name: &name, address, port: packet.to_port, application: packet.application };
        prop_assert_eq!(passes(rules, asked), Some(!allow), "{:?}", asked);
    }
    let found = policy(rules).compile().decide_in_azure(&packet.flow());
    prop_assert_eq!(found.verdict, verdict(Some(!allow)), "{:?}", packet);
    Ok(())
}

proptest! {
    #![proptest_config(crate::cases(1500))]

    #[test]
    fn names_prove_what_every_name_and_address_does(
        rules in prop::collection::vec(rule(), 0..7),
        allow in any::<bool>(),
        name in prop::sample::select(&PATTERNS[..]),
        ports in prop::sample::select(vec![vec![443u16], vec![80], vec![22], vec![1433], PORTS.to_vec()]),
    ) {
        let range = if let [only] = ports[..] { format!(":{only}") } else { String::new() };
        let access = if allow { "allow" } else { "deny" };
        let contract = Contract::parse(&format!("{access} outbound tcp * -> {name}{range}"));
        // `*` by itself means addresses.
        prop_assume!(contract.as_ref().is_ok_and(|contract| contract.name.is_some()));
        let contract = contract.unwrap();
        let policy = policy(&rules);
        let compiled = policy.compile();
        let proof = compiled.prove(&contract);
        // Ports that no rule names decide like any other of them: those here are enough only where rules name all.
        let ports = if range.is_empty() { [&ports[..], &[444]].concat() } else { ports };
        let expected = expected(&rules, allow, &pattern(name), &ports);
        prop_assert_eq!(proof.verdict, expected, "{} {:#?}", contract, proof);
        prop_assert_eq!(compiled.second_opinion(&contract).verdict, expected, "{}", contract);
        match proof.verdict {
            ProofVerdict::Proved => {
                let certificate = proof.certificate.unwrap();
                prop_assert_eq!(certificate.check(&policy, &contract), Ok(()), "{}", contract);
            }
            ProofVerdict::Refuted => shown(&rules, allow, &proof)?,
            ProofVerdict::Depends => prop_assert!(!proof.open.is_empty()),
        }
        // No rule of a group is as narrow as a name, so that none is added.
        let repair = policy.repair(std::slice::from_ref(&contract));
        prop_assert!(repair.rules.is_empty(), "{:?}", repair.rules);
        let told = repair.beyond.iter().filter(|beyond| !beyond.obstacles.is_empty()).count();
        prop_assert_eq!(told, usize::from(expected == ProofVerdict::Refuted), "{:?}", repair);
    }

    #[test]
    fn an_address_with_a_name_is_decided_by_both(
        rules in prop::collection::vec(rule(), 0..7),
        name in prop::sample::select(names()),
        address in prop::sample::select(&ADDRESSES[..]),
        port in prop::sample::select(&PORTS[..]),
        application in prop::sample::select(vec![None, Some(Application::Http), Some(Application::Https)]),
    ) {
        let asked = Asked { name: &name, address, port, application };
        // An address counts as what it is, whatever the name it is asked for by.
        prop_assume!(!name.ends_with(".blob.core.windows.net"));
        let compiled = policy(&rules).compile();
        let decided = compiled.decide_in_azure(&flow(asked, false)).verdict;
        prop_assert_eq!(decided, verdict(passes(&rules, asked)), "{:?}", asked);
        // The name alone is decided only where every address is.
        let by_name = compiled.decide_in_azure(&flow(asked, true)).verdict;
        prop_assert!(by_name == Verdict::Undecided || by_name == decided, "{:?} {:?}", asked, by_name);
    }
}

#[test]
fn a_contract_about_a_name_tells_what_decides_it() {
    let open = vec![
        Rule::Network(false, "1.1.1.0/24", None),
        Rule::Application(true, "*.a.x", vec![(Application::Https, 443)]),
    ];
    let proof = policy(&open).prove(&Contract::parse("allow outbound tcp * -> *.a.x:443").unwrap());
    assert_eq!(proof.verdict, ProofVerdict::Depends);
    assert_eq!(proof.open, ["the addresses of *.a.x"]);
    let closed = vec![Rule::Application(true, "b.a.x", vec![(Application::Https, 443)])];
    let proof = policy(&closed).prove(&Contract::parse("allow outbound tcp * -> *.a.x:443").unwrap());
    assert_eq!(proof.verdict, ProofVerdict::Refuted);
    assert_eq!(proof.lost.unwrap().phrase, "some of the names");
    let packet = proof.packet.unwrap();
    assert!(
        packet.name.as_deref().is_some_and(|name| name.ends_with(".a.x") && name != "b.a.x"),
        "{packet:?}"
    );
}
