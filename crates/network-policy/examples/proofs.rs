//! How long decisions and proofs take, beside an SMT solver on the same rules, for `cargo xtask bench`.
//!
//! Prints one line for each scenario: its name, our seconds, the solver's seconds, between tabulators. Arguments: a
//! Python that has z3-solver, or `-`. `SERVICE_TAGS` names Azure's service tags file (JSON, or JSON in xz); without it
//! tags are made up. The line `tags` says which.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot run has nobody to tell but the person who runs it"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use ipnet::{IpNet, Ipv4Net};
use network_policy::{
    Access, Address, Context, Contract, Destination, Direction, Flow, NetworkPolicy, NetworkSecurityGroup,
    PortRange, Protocol, RuleProtocol, SecurityRule, Tags,
};
use serde_json::{Value, json};

/// Flows of both topologies of Azure Image Builder, and what a build commonly needs beside them.
const FLOWS: [&str; 9] = [
    "allow outbound tcp 10.241.0.0/28 -> Internet:443",
    "allow outbound tcp 10.241.0.0/28 -> Internet:80",
    "allow outbound tcp 10.241.0.0/28 -> VirtualNetwork:22",
    "allow outbound tcp 10.241.0.0/28 -> Storage:443",
    "allow outbound tcp 10.241.0.0/28 -> AzureCloud:443",
    "allow outbound tcp 10.241.0.0/28 -> AzureResourceManager:443",
    "allow inbound tcp AzureLoadBalancer -> 10.241.0.0/28:60001",
    "allow inbound tcp VirtualNetwork -> 10.241.0.0/28:60001",
    "allow inbound tcp VirtualNetwork -> 10.241.0.0/28:22",
];
const TAGS: [&str; 6] =
    ["Storage", "AzureCloud", "AzureResourceManager", "AzureActiveDirectory", "AzureMonitor", "LogicApps"];
const SIZES: [u16; 3] = [10, 100, 1000];
/// Instances of each size.
const INSTANCES: usize = 5;

type Spans = Vec<(u32, u32)>;

fn main() {
    let python = std::env::args().nth(1).filter(|python| python != "-").map(std::path::PathBuf::from);
    let (known, kind) = known_tags();
    println!("tags\t{kind}");
    let mut random = Random(20_251_117);
    for size in SIZES {
        let policies: Vec<_> = (0..INSTANCES).map(|_| mixed(&mut random, size, &known)).collect();
        let flows: Vec<_> = FLOWS.iter().map(|line| Contract::parse(line).unwrap()).collect();
        let ours: Vec<f64> = policies.iter().flat_map(|policy| prove(policy, &flows)).collect();
        // With 1,000 rules about real tags the solver takes minutes a flow: one is enough to see that.
        let asked = flows.iter().take(if size < 1000 || kind != REAL { flows.len() } else { 1 });
        let cases: Vec<_> = asked.map(|contract| case(&policies[0], contract, &known)).collect();
        report(&format!("a flow, {size} rules"), &ours, python.as_deref(), &cases);
    }
    for (kind, name) in Entangled::EVERY {
        for size in SIZES {
            let contract = kind.contract();
            let policies: Vec<_> = (0..INSTANCES).map(|_| kind.policy(&mut random, size)).collect();
            let flows = std::slice::from_ref(&contract);
            let ours: Vec<f64> = policies.iter().flat_map(|policy| prove(policy, flows)).collect();
            // What nobody knows is no question for the solver as it is asked here, nor are protocols.
            let asked = matches!(kind, Entangled::Addresses).then_some(&policies);
            let cases = asked.into_iter().flatten().map(|policy| case(policy, &contract, &known));
            report(&format!("{name}, {size} rules"), &ours, python.as_deref(), &cases.collect::<Vec<_>>());
        }
    }
    for size in SIZES {
        let ours: Vec<f64> = (0..INSTANCES).map(|_| decide(&mut random, size, &known)).collect();
        report(&format!("decide, {size} rules"), &ours, None, &[]);
    }
}

/// Seconds of each proof; the policy is made ready before, once for all of them.
fn prove(policy: &NetworkPolicy, contracts: &[Contract]) -> Vec<f64> {
    let compiled = policy.compile();
    let timed = contracts.iter().map(|contract| {
        let began = Instant::now();
        std::hint::black_box(compiled.prove(contract));
        began.elapsed().as_secs_f64()
    });
    timed.collect()
}

/// Seconds of one decision, of many.
fn decide(random: &mut Random, size: u16, known: &Known) -> f64 {
    let compiled = mixed(random, size, known).compile();
    let flows: Vec<_> = (0..1000).map(|_| flow(random)).collect();
    let began = Instant::now();
    for flow in &flows {
        std::hint::black_box(compiled.decide_in_azure(flow));
    }
    began.elapsed().as_secs_f64() / 1000.0
}

fn flow(random: &mut Random) -> Flow {
    Flow {
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        source: Ipv4Addr::new(10, 241, 0, 4).into(),
        source_port: 50_000,
        destination: Destination::Address(Ipv4Addr::from_bits(random.number()).into()),
        port: if random.below(2) == 0 { 443 } else { 80 },
        application: None,
    }
}

fn report(name: &str, ours: &[f64], python: Option<&Path>, cases: &[Value]) {
    let theirs = python.filter(|_| !cases.is_empty()).map(|python| solve(python, cases)).unwrap_or_default();
    let text = |list: &[f64]| list.iter().map(|one| format!("{one:.9}")).collect::<Vec<_>>().join(" ");
    println!("{name}\t{}\t{}", text(ours), text(&theirs));
}

/// The solver is stopped then; `cargo xtask bench` knows it, too.
const LIMIT_SECONDS: u32 = 60;

fn solve(python: &Path, cases: &[Value]) -> Vec<f64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verdicts.py");
    let mut command = Command::new(python);
    let mut child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(json!({ "cases": cases, "limit_seconds": LIMIT_SECONDS }).to_string().as_bytes())
        .unwrap();
    let answer = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    answer["seconds"].as_array().unwrap().iter().filter_map(Value::as_f64).collect()
}

const REAL: &str = "real tags";

/// Prefixes of tags by name.
struct Known(BTreeMap<String, Vec<IpNet>>);

fn known_tags() -> (Known, &'static str) {
    let Some(file) = std::env::var_os("SERVICE_TAGS") else {
        let mut random = Random(7);
        let made =
            TAGS.map(|name| (name.to_owned(), (0..500).map(|_| net(&mut random, 0, 0, 16, 24)).collect()));
        return (Known(made.into_iter().collect()), "made-up tags");
    };
    let packed = Path::new(&file).extension().is_some_and(|extension| extension == "xz");
    let text = if packed {
        Command::new("xz").args(["--decompress", "--stdout"]).arg(&file).output().unwrap().stdout
    } else {
        std::fs::read(&file).unwrap()
    };
    let parsed: Value = serde_json::from_slice(&text).unwrap();
    let tags = parsed["values"].as_array().unwrap().iter().map(|tag| {
        let prefixes = tag["properties"]["addressPrefixes"].as_array().unwrap().iter();
        let old = prefixes
            .filter_map(|text| text.as_str()?.parse().ok())
            .filter(|net: &IpNet| net.addr().is_ipv4());
        (tag["name"].as_str().unwrap().to_owned(), old.collect())
    });
    (Known(tags.collect()), REAL)
}

fn context(known: &Known) -> Context {
    let mut tags = Tags::new("the measurement");
    known.0.iter().for_each(|(name, prefixes)| tags.insert(name, prefixes));
    Context {
        virtual_network: vec!["10.241.0.0/24".parse().unwrap()],
        build_subnet: Some("10.241.0.0/28".parse().unwrap()),
        tags: Arc::new(tags),
        ..Context::default()
    }
}

/// Rules about the subnet, the network and the world, as people write them: four prefixes or a tag at a side.
fn mixed(random: &mut Random, size: u16, known: &Known) -> NetworkPolicy {
    let rules = (0..size).map(|index| {
        let inbound = random.below(4) == 0;
        let near: Vec<Address> = match random.below(3) {
            0 => vec![Address::Any],
            1 => vec![Address::parse("VirtualNetwork").unwrap()],
            _ => (0..4).map(|_| Address::Prefix(net(random, 0x0af1_0000, 24, 26, 32))).collect(),
        };
        let far = if random.below(4) == 0 {
            vec![Address::parse(TAGS[random.below(6) as usize]).unwrap()]
        } else {
            (0..4).map(|_| Address::Prefix(net(random, 0, 0, 12, 24))).collect()
        };
        let port = [443, 80, 22, 60001, 8080][random.below(5) as usize];
        let (source, destination) = if inbound { (far, near) } else { (near, far) };
        rule(index, inbound, random.below(2) == 0, source, destination, PortRange::single(port))
    });
    policy(rules.collect(), known)
}

/// What else rules differ in that all matter to one contract.
#[derive(Clone, Copy)]
enum Entangled {
    /// Nothing but their addresses.
    Addresses,
    /// Protocols and ports.
    Ports,
    /// One in eight also names a tag nobody knows.
    Unsure,
}

impl Entangled {
    const EVERY: [(Self, &str); 3] = [
        (Self::Addresses, "entangled"),
        (Self::Ports, "entangled with ports"),
        (Self::Unsure, "entangled with unknown tags"),
    ];

    fn contract(self) -> Contract {
        let line = match self {
            Self::Ports => "allow outbound * 10.0.0.0/8 -> 20.0.0.0/8:1-1024",
            Self::Addresses | Self::Unsure => "allow outbound tcp 10.0.0.0/8 -> 20.0.0.0/8:443",
        };
        Contract::parse(line).unwrap()
    }

    /// Rules none of which hides another.
    fn policy(self, random: &mut Random, size: u16) -> NetworkPolicy {
        let rules = (0..size).map(|index| {
            let mut some = |base| -> Vec<Address> {
                (0..4).map(|_| Address::Prefix(net(random, base, 8, 12, 24))).collect()
            };
            let (source, destination) = (some(0x0a00_0000), some(0x1400_0000));
            let access = random.below(2) == 0;
            let mut rule = rule(index, false, access, source, destination, PortRange::single(443));
            match self {
                Self::Unsure if random.below(8) == 0 => {
                    rule.destination.push(Address::parse("CorpNetPublic").unwrap());
                }
                Self::Addresses | Self::Unsure => {}
                Self::Ports => {
                    let protocols = [Protocol::Tcp, Protocol::Udp].map(RuleProtocol::Only);
                    rule.protocol = [protocols[0], protocols[1], RuleProtocol::Any][random.below(3) as usize];
                    let ports = ["443", "80", "22", "1-1023", "*"][random.below(5) as usize];
                    rule.destination_ports = vec![PortRange::parse(ports).unwrap()];
                }
            }
            rule
        });
        policy(rules.collect(), &Known(BTreeMap::new()))
    }
}

fn policy(rules: Vec<SecurityRule>, known: &Known) -> NetworkPolicy {
    NetworkPolicy {
        subnet_nsg: Some(NetworkSecurityGroup::new("nsg", rules).unwrap()),
        context: context(known),
        ..NetworkPolicy::default()
    }
}

fn rule(
    index: u16,
    inbound: bool,
    allow: bool,
    source: Vec<Address>,
    destination: Vec<Address>,
    ports: PortRange,
) -> SecurityRule {
    SecurityRule {
        name: format!("rule-{index}"),
        priority: 100 + index,
        direction: if inbound { Direction::Inbound } else { Direction::Outbound },
        access: if allow { Access::Allow } else { Access::Deny },
        protocol: RuleProtocol::Only(Protocol::Tcp),
        source,
        source_ports: vec![PortRange::ALL],
        destination,
        destination_ports: vec![ports],
    }
}

/// A contract and the rules of its direction, for the solver.
fn case(policy: &NetworkPolicy, contract: &Contract, known: &Known) -> Value {
    let nsg = policy.subnet_nsg.as_ref().unwrap();
    let rules = nsg.rules().iter().filter(|rule| rule.direction == contract.direction).map(|rule| {
        let fields = json!({
            "source": spans(&rule.source, known),
            "destination": spans(&rule.destination, known),
            "port": rule.destination_ports.iter().map(|range| (range.first, range.last)).collect::<Vec<_>>(),
        });
        json!({ "allow": rule.access == Access::Allow, "must": fields, "may": fields })
    });
    json!({
        "layers": [rules.collect::<Vec<_>>()],
        "contract": { "allow": contract.access == Access::Allow, "must": {
            "protocol": [(6, 6)],
            "source": spans(std::slice::from_ref(&contract.from.address), known),
            "destination": spans(std::slice::from_ref(&contract.to.address), known),
            "port": [(contract.to.ports.first, contract.to.ports.last)],
        } },
        "exempt": [],
    })
}

fn spans(addresses: &[Address], known: &Known) -> Spans {
    let span = |net: &IpNet| match net {
        IpNet::V4(net) => Some((net.network().to_bits(), net.broadcast().to_bits())),
        IpNet::V6(_) => None,
    };
    let one = |address: &Address| -> Spans {
        match address {
            Address::Prefix(net) => span(net).into_iter().collect(),
            Address::Tag(tag) => match tag.to_string().as_str() {
                "VirtualNetwork" => vec![(0x0af1_0000, 0x0af1_00ff), (0xa83f_8110, 0xa83f_8110)],
                "AzureLoadBalancer" => vec![(0xa83f_8110, 0xa83f_8110)],
                // Close enough for a measurement: public space but for its smaller holes.
                "Internet" => {
                    vec![(0x0100_0000, 0x09ff_ffff), (0x0b00_0000, 0xabff_ffff), (0xad00_0000, 0xdfff_ffff)]
                }
                name => known.0.get(name).into_iter().flatten().filter_map(span).collect(),
            },
            _ => vec![(0, u32::MAX)],
        }
    };
    merged(addresses.iter().flat_map(one).collect())
}

/// The same addresses in the fewest spans: the solver is not to pay for how tags are written.
fn merged(mut spans: Spans) -> Spans {
    spans.sort_unstable();
    let mut fewest = Spans::new();
    for (first, last) in spans {
        match fewest.last_mut() {
            Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
            _ => fewest.push((first, last)),
        }
    }
    fewest
}

/// A prefix of `shortest` to `longest` bits within one of `length` bits.
fn net(random: &mut Random, base: u32, length: u8, shortest: u8, longest: u8) -> IpNet {
    let bits = shortest + u8::try_from(random.below(u32::from(longest - shortest) + 1)).unwrap();
    let free = if length == 0 { u32::MAX } else { u32::MAX >> length };
    Ipv4Net::new((base | random.number() & free).into(), bits).unwrap().trunc().into()
}

/// Marsaglia's xorshift: the same rules in every run.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 >> 32).unwrap()
    }

    fn below(&mut self, end: u32) -> u32 {
        self.number() % end
    }
}
