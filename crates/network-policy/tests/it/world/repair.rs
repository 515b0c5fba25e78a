//! Repairs: what they promise holds afterwards, and nothing else changes.

use network_policy::{Contract, NetworkPolicy, ProofVerdict, Repair, Verdict};
use proptest::prelude::*;

use crate::world::decide::packet;
use crate::world::policy::{self, exact_term, flow, of, term};
use crate::world::promise::{Promise, promise};
use crate::world::{Packet, Term, World};

fn promises() -> impl Strategy<Value = Vec<Promise>> {
    let small = |term: BoxedStrategy<Term>| {
        // What is refuted more often than not.
        (promise(term), any::<bool>()).prop_map(|(promise, tcp)| Promise {
            protocol: if tcp { Some(6) } else { promise.protocol },
            ports: if tcp && promise.ports == (0, u16::MAX) { (443, 443) } else { promise.ports },
            ..promise
        })
    };
    prop::collection::vec(small(exact_term().boxed()), 1..4)
}

/// What `contracts` say of one packet: whether it may become allowed, and whether it may become denied.
fn may_change(world: &World, promises: &[Promise], changed: &[Contract], packet: Packet) -> (bool, bool) {
    let about = |allow| {
        let mut some =
            promises.iter().filter(|promise| promise.allow == allow && promise.holds(world, packet));
        some.any(|promise| changed.contains(&promise.contract()))
    };
    (about(true), about(false))
}

fn nothing_else_changes(
    world: &World,
    promises: &[Promise],
    before: &NetworkPolicy,
    repair: &Repair,
    packets: impl Iterator<Item = Packet>,
) -> Result<(), TestCaseError> {
    let open: Vec<_> = repair.open.iter().map(|(contract, _)| contract.clone()).collect();
    let (old, new) = (before.compile(), repair.policy.compile());
    for packet in packets {
        let flow = flow(packet);
        let (was, is) = (old.decide_in_azure(&flow).verdict, new.decide_in_azure(&flow).verdict);
        match may_change(world, promises, &repair.repaired, packet) {
            // What Azure exempts from rules is not what a contract to deny is about.
            (true, true) => prop_assert!(exempt(&new, packet), "both are repaired: {:?}", packet),
            (true, false) => prop_assert_eq!(is, Verdict::Allowed, "{:?}", packet),
            (false, true) if old.path(&flow).is_empty() => {}
            (false, true) => prop_assert!(is == Verdict::Denied || exempt(&new, packet), "{:?}", packet),
            (false, false) if may_change(world, promises, &open, packet) != (false, false) => {}
            (false, false) => prop_assert_eq!(is, was, "{:?}", packet),
        }
    }
    Ok(())
}

fn exempt(policy: &network_policy::CompiledPolicy, packet: Packet) -> bool {
    policy.path(&flow(packet)).iter().any(|layer| layer.decided_by.layer == network_policy::Layer::Platform)
}

fn check(world: &World, promises: &[Promise], packets: Vec<Packet>) -> Result<(), TestCaseError> {
    let policy = of(world);
    let contracts: Vec<_> = promises.iter().map(Promise::contract).collect();
    let repair = policy.repair(&contracts);
    let after = repair.policy.compile();
    for contract in &contracts {
        let (was, is) = (policy.prove(contract).verdict, after.prove(contract).verdict);
        let repaired = repair.repaired.contains(contract);
        let open = repair.open.iter().any(|(open, _)| open == contract);
        let beyond = repair.beyond.iter().any(|beyond| beyond.contract == *contract);
        match was {
            ProofVerdict::Proved => prop_assert_eq!(is, ProofVerdict::Proved, "{}", contract),
            ProofVerdict::Depends => prop_assert_ne!(is, ProofVerdict::Refuted, "{}", contract),
            ProofVerdict::Refuted => {
                prop_assert_eq!(u8::from(repaired) + u8::from(open) + u8::from(beyond), 1, "{}", contract);
                prop_assert_eq!(is == ProofVerdict::Proved, repaired, "{}", contract);
                prop_assert!(!open || is == ProofVerdict::Depends, "{}\n{:#?}", contract, repair.rules);
            }
        }
    }
    let groups = [&world.nic, &world.subnet, &world.far].into_iter().flatten().count();
    prop_assert!(repair.rules.len() <= 2 * groups * contracts.len());
    prop_assert_eq!(repair.rules.is_empty(), repair.repaired.is_empty() && repair.open.is_empty());
    prop_assert!(repair.beyond.iter().all(|beyond| !beyond.obstacles.is_empty()));
    let blocks = promises.iter().flat_map(|promise| promise.blocks(world)).map(|block| block.first);
    // Groups of the subnet see its machines only, so that contracts may mean other addresses there or not.
    let machines = blocks.filter(|packet| {
        let own = if packet.inbound { packet.destination } else { packet.source };
        (0x0a01_0004..0x0a01_000f).contains(&own)
    });
    nothing_else_changes(world, promises, &policy, &repair, machines.step_by(7).chain(packets))
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn groups_are_repaired_and_nothing_else_changes(
        world in policy::groups(&term().boxed()),
        promises in promises(),
        packets in prop::collection::vec(packet(), 50),
    ) {
        check(&world, &promises, packets)?;
    }

    #[test]
    fn what_groups_can_repair_among_other_layers_is_repaired(
        world in policy::world(&term().boxed()),
        promises in promises(),
        packets in prop::collection::vec(packet(), 50),
    ) {
        let internet = promises.iter().any(|promise| [promise.from, promise.to].contains(&Term::Internet));
        prop_assume!(!internet || world.routes.is_none());
        check(&world, &promises, packets)?;
    }
}
