//! Shapes that Azure writes, and what is wrong with those it would not take.

use arm::Environment;
use document::{Position, SourceText};

use super::*;
use crate::address::Address;
use crate::defaults::Endpoint;
use crate::flow::{Application, Destination, Direction, Flow, Layer, Protocol, Verdict};
use crate::route::{NextHop, Outbound};

mod environment;
mod firewall;
mod hostile;
mod service_tags;
mod shapes;
mod terraform;

/// A reading with what it was read from.
struct World {
    inventory: Inventory,
    read: Result<Reading, Vec<Diagnostic>>,
}

impl World {
    /// Reads `main`, and the files that it names.
    fn of(main: (&str, &str), files: &[(&str, &str)]) -> Self {
        let mut environment = Environment::read(SourceText::new(main.0, main.1));
        let inventory = environment.open(|path| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(name, text)| SourceText::new(*name, *text)).ok_or_else(|| path.to_owned())
        });
        let inventory = inventory.unwrap();
        let read = read(&environment, &inventory);
        Self { inventory, read }
    }

    #[track_caller]
    fn policy(self) -> NetworkPolicy {
        match &self.read {
            Ok(reading) => reading.policy.clone(),
            Err(found) => panic!("{:#?}", self.told(found)),
        }
    }

    /// `line:column path message` of errors, or warnings, with the file where it is not `network.json`.
    fn told(&self, found: &[Diagnostic]) -> Vec<String> {
        let told = found.iter().map(|found| {
            let (text, found) = self.inventory.sources().localize(found).unwrap();
            let Position { line, column } = text.position(found.span.start);
            let file =
                if text.name() == "network.json" { String::new() } else { format!("{}:", text.name()) };
            format!("{file}{line}:{column} {} {}", found.path, found.message)
        });
        told.collect()
    }

    #[track_caller]
    fn warnings(&self) -> Vec<String> {
        match &self.read {
            Ok(reading) => self.told(&reading.warnings),
            Err(found) => panic!("{:#?}", self.told(found)),
        }
    }
}

/// The policy of one document.
#[track_caller]
fn described(text: &str) -> NetworkPolicy {
    World::of(("network.json", text), &[]).policy()
}

/// Every error of one document.
#[track_caller]
fn complaints(text: &str) -> Vec<String> {
    let world = World::of(("network.json", text), &[]);
    let found = world.read.as_ref().map(|_| ()).expect_err(text);
    let errors: Vec<_> = found.iter().filter(|found| found.is_error()).cloned().collect();
    world.told(&errors)
}

fn tls(name: &str) -> Flow {
    Flow {
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        source: "10.241.0.4".parse().unwrap(),
        source_port: 50_000,
        destination: Destination::Name(name.to_owned()),
        port: 443,
        application: Some(Application::Https),
    }
}

#[track_caller]
fn decided(policy: &NetworkPolicy, flow: &Flow) -> (Verdict, Layer, String) {
    let decision = policy.decide(flow);
    (decision.verdict, decision.layer, decision.rule)
}

#[test]
fn what_is_written_reads_back() {
    let allow = ["deb.example.org:80", "*.example.org:443", "git.example.org:22"]
        .map(|text| Endpoint::parse(text).unwrap());
    let policy = NetworkPolicy::default_for(&allow);
    let nsg = policy.subnet_nsg.as_ref().unwrap();
    let firewall = policy.firewall.as_ref().unwrap();
    assert_eq!(described(&nsg.to_arm_json()).subnet_nsg.as_ref(), Some(nsg));
    assert_eq!(described(&firewall.policy.to_arm_json()).firewall.as_ref(), Some(firewall));
    let full = described(firewall::FIREWALL);
    assert_eq!(full.canonical(), described(firewall::FIREWALL).canonical());
}

#[test]
fn the_canonical_text_tells_policies_apart_and_nothing_else() {
    let of = |texts: &[&str]| {
        let allow: Vec<_> = texts.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
        NetworkPolicy::default_for(&allow).canonical()
    };
    assert_eq!(
        of(&["a.example.org:443", "b.example.org:443"]),
        of(&["b.example.org:443", "a.example.org:443", "A.example.org:443"])
    );
    assert_ne!(of(&["a.example.org:443"]), of(&["a.example.org:80"]));
    assert_ne!(of(&["a.example.org:443"]), of(&["*a.example.org:443"]));
    assert!(!of(&[]).contains('\n'));
}
