//! Proofs against the naive walk, and against themselves on policies that must mean the same.

use network_policy::{
    Certificate, CertifiedBox, CheckError, Destination, Direction, Flow, NetworkPolicy, Proof, ProofVerdict,
    Verdict,
};
use proptest::prelude::*;

use crate::world::policy::{self, exact_term, of, term};
use crate::world::promise::{Promise, promise};
use crate::world::{Rule, Term, World};

fn expected(world: &World, promise: &Promise) -> (ProofVerdict, u128, u128) {
    let (mut broken, mut open, mut total) = (0, 0, 0);
    for block in promise.blocks(world) {
        total += block.size;
        match promise.broken(world, &block) {
            Some(true) => broken += block.size,
            None => open += block.size,
            Some(false) => {}
        }
    }
    match (broken, open) {
        (0, 0) => (ProofVerdict::Proved, 0, total),
        (0, _) => (ProofVerdict::Depends, open, total),
        (_, _) => (ProofVerdict::Refuted, broken, total),
    }
}

fn packet_flow(packet: &network_policy::Packet) -> Flow {
    Flow {
        direction: packet.direction,
        protocol: packet.protocol,
        source: packet.from,
        source_port: packet.from_port,
        destination: Destination::Address(packet.to),
        port: packet.to_port,
        application: None,
    }
}

/// The packet that is shown breaks the contract when it is asked about by itself, too.
fn packet_is_true(policy: &NetworkPolicy, promise: &Promise, proof: &Proof) -> Result<(), TestCaseError> {
    let Some(packet) = &proof.packet else {
        prop_assert!(proof.verdict != ProofVerdict::Refuted, "refuted without a packet");
        return Ok(());
    };
    if packet.name.is_some() {
        return Ok(());
    }
    let decision = policy.compile().decide_in_azure(&packet_flow(packet));
    let wrong = if promise.allow { Verdict::Denied } else { Verdict::Allowed };
    match proof.verdict {
        ProofVerdict::Refuted => prop_assert_eq!(decision.verdict, wrong, "{} {:?}", packet, decision),
        ProofVerdict::Depends => prop_assert_eq!(decision.verdict, Verdict::Undecided, "{}", packet),
        ProofVerdict::Proved => prop_assert!(false, "proved, but for {}", packet),
    }
    if let (ProofVerdict::Refuted, true, Some(by)) = (proof.verdict, promise.allow, &proof.decided_by) {
        prop_assert_eq!((&by.rule, by.layer), (&decision.rule, decision.layer), "{}", packet);
    }
    Ok(())
}

fn volume(part: &CertifiedBox) -> u128 {
    let address = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(address) => u128::from(address.to_bits()),
        std::net::IpAddr::V6(address) => address.to_bits(),
    };
    let addresses = |list: &[(std::net::IpAddr, std::net::IpAddr)]| -> u128 {
        list.iter().map(|(first, last)| address(*last) - address(*first) + 1).sum()
    };
    let ports = |list: &[network_policy::PortRange]| -> u128 {
        list.iter().map(|range| u128::from(range.last - range.first) + 1).sum()
    };
    let protocols: u128 = part.protocols.iter().map(|(first, last)| u128::from(last - first) + 1).sum();
    protocols
        * addresses(&part.source)
        * addresses(&part.destination)
        * ports(&part.source_ports)
        * ports(&part.destination_ports)
}

/// Boxes add up to the contract, and what breaks it to what is said to be lost.
fn certificate_adds_up(
    certificate: &Certificate,
    promise: &Promise,
    proof: &Proof,
    total: u128,
) -> Result<(), TestCaseError> {
    let sum = |verdict| -> u128 {
        certificate.boxes.iter().filter(|part| part.verdict == verdict && !part.exempt).map(volume).sum()
    };
    let all: u128 = certificate.boxes.iter().map(volume).sum();
    prop_assert_eq!(all, total);
    if let (ProofVerdict::Refuted, Some(lost)) = (proof.verdict, &proof.lost) {
        let wrong = if promise.allow { Verdict::Denied } else { Verdict::Allowed };
        prop_assert_eq!(sum(wrong), lost.packets);
    }
    Ok(())
}

fn agree(world: &World, promise: &Promise) -> Result<(), TestCaseError> {
    let (policy, contract) = (of(world), promise.contract());
    let (verdict, lost, total) = expected(world, promise);
    let proof = policy.prove(&contract);
    prop_assert_eq!(proof.verdict, verdict, "{}\n{:#?}", contract, proof);
    packet_is_true(&policy, promise, &proof)?;
    prop_assert_eq!(proof.open.is_empty(), verdict != ProofVerdict::Depends);
    let certificate = proof.certificate.clone().unwrap_or_else(|| policy.compile().certify(&contract));
    let checked = certificate.check(&policy, &contract);
    match verdict {
        ProofVerdict::Proved => prop_assert_eq!(checked, Ok(()), "{}", contract),
        // Everything but the promise itself is true.
        ProofVerdict::Refuted | ProofVerdict::Depends => {
            prop_assert!(matches!(checked, Err(CheckError::Broken(_))), "{}: {:?}", contract, checked);
        }
    }
    // Refusals have to hold for every name that a firewall is asked for: those are packets of their own.
    let names = world.firewall.is_some() && !promise.allow && !promise.inbound;
    if !names {
        let told = proof.lost.as_ref().map_or((0, total), |lost| (lost.packets, lost.total));
        prop_assert_eq!(told, (lost, total), "{}\n{:#?}", contract, proof);
        certificate_adds_up(&certificate, promise, &proof, total)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::cases(700))]

    #[test]
    fn groups_prove_what_every_packet_does(
        world in policy::groups(&term().boxed()),
        promise in promise(exact_term().boxed()),
    ) {
        agree(&world, &promise)?;
    }

    #[test]
    fn all_layers_prove_what_every_packet_does(
        world in policy::world(&term().boxed()),
        promise in promise(exact_term().boxed()),
    ) {
        let internet = [promise.from, promise.to].contains(&Term::Internet);
        // Routes make the tag a matter of bounds.
        prop_assume!(!internet || world.routes.is_none());
        agree(&world, &promise)?;
    }
}

/// Every group of a world, changed.
fn changed(world: &World, change: impl Fn(&mut Vec<Rule>)) -> World {
    let mut world = world.clone();
    for rules in [&mut world.nic, &mut world.subnet, &mut world.far].into_iter().flatten() {
        change(rules);
    }
    world
}

fn same(policy: &NetworkPolicy, other: &NetworkPolicy, promise: &Promise) -> Result<(), TestCaseError> {
    let contract = promise.contract();
    let (one, two) = (policy.prove(&contract), other.prove(&contract));
    prop_assert_eq!(one.verdict, two.verdict, "{}", contract);
    prop_assert_eq!(one.lost.map(|lost| lost.packets), two.lost.map(|lost| lost.packets), "{}", contract);
    Ok(())
}

/// A rule twice, each about one half of every prefix.
fn halves(rules: &mut Vec<Rule>) {
    let half = |term: &Term| match *term {
        Term::Prefix(base, length) if length < 32 => {
            vec![Term::Prefix(base, length + 1), Term::Prefix(base | 1 << (31 - length), length + 1)]
        }
        other => vec![other],
    };
    for rule in rules {
        rule.source = rule.source.iter().flat_map(half).collect();
        rule.destination = rule.destination.iter().flat_map(half).collect();
    }
}

proptest! {
    #![proptest_config(crate::cases(700))]

    #[test]
    fn an_allow_at_the_top_breaks_no_promise_to_allow(
        world in policy::world(&term().boxed()),
        promise in promise(term().boxed()),
        rule in policy::rule_of(&term().boxed()),
    ) {
        let promise = Promise { allow: true, ..promise };
        let wider = changed(&world, |rules| rules.insert(0, Rule { allow: true, ..rule.clone() }));
        let contract = promise.contract();
        if of(&world).prove(&contract).verdict == ProofVerdict::Proved {
            prop_assert_eq!(of(&wider).prove(&contract).verdict, ProofVerdict::Proved, "{}", contract);
        }
    }

    #[test]
    fn halved_prefixes_mean_the_same(
        world in policy::world(&term().boxed()),
        promise in promise(term().boxed()),
    ) {
        same(&of(&world), &of(&changed(&world, halves)), &promise)?;
    }

    #[test]
    fn the_order_of_rules_that_agree_does_not_matter(
        world in policy::world(&term().boxed()),
        promise in promise(term().boxed()),
    ) {
        let swapped = changed(&world, |rules| {
            for index in 1..rules.len() {
                if rules[index - 1].allow == rules[index].allow {
                    rules.swap(index - 1, index);
                }
            }
        });
        same(&of(&world), &of(&swapped), &promise)?;
    }

    #[test]
    fn whatever_is_learnt_of_a_tag_stays_within_what_was_said(
        world in policy::world(&term().boxed()),
        promise in promise(term().boxed()),
        known in prop::collection::vec((prop::sample::select(&crate::world::ADDRESSES[..]), 8u8..=32), 1..3),
        whole in any::<bool>(),
    ) {
        let policy = of(&world);
        let contract = promise.contract();
        let mut tags = network_policy::Tags::new("a later file");
        let net = |prefix| policy::net(prefix);
        tags.insert("Known", &[net((0x143c_0000, 16))]);
        let drift = [net((0x143c_0000, 16)), net((0x1496_0000, 17))];
        tags.insert("Drift", if whole { &drift } else { &drift[..1] });
        tags.insert("CorpNetPublic", &known.into_iter().map(net).collect::<Vec<_>>());
        let mut learnt = policy.clone();
        learnt.context.tags = tags.into();
        let (before, after) = (policy.prove(&contract).verdict, learnt.prove(&contract).verdict);
        match before {
            ProofVerdict::Proved => prop_assert_ne!(after, ProofVerdict::Refuted, "{}", contract),
            // A promise about a tag may turn out to be about nothing of this network.
            ProofVerdict::Refuted if [promise.from, promise.to].contains(&Term::Unknown) => {}
            ProofVerdict::Refuted => prop_assert_eq!(after, ProofVerdict::Refuted, "{}", contract),
            ProofVerdict::Depends => {}
        }
    }
}

#[test]
fn directions_of_packets_are_those_of_contracts() {
    let policy = of(&World { subnet: Some(Vec::new()), ..World::default() });
    let contract = network_policy::Contract::parse("allow inbound tcp Internet -> *:22").unwrap();
    let packet = policy.prove(&contract).packet.unwrap();
    assert_eq!(packet.direction, Direction::Inbound);
}
