//! Excess against the naive walk: what is allowed and no contract asks for, counted packet by packet.

use network_policy::{Direction, Excess};
use proptest::prelude::*;

use crate::world::policy::{self, exact_term, of, term};
use crate::world::promise::{Promise, promise};
use crate::world::{Outcome, Term, World};

/// Packets that pass for certain and that perhaps do, and that no promise to allow describes.
fn counted(world: &World, promises: &[Promise], inbound: bool) -> (u128, u128) {
    let any = (0, u16::MAX);
    let everything =
        Promise { allow: true, inbound, protocol: None, from: Term::Any, to: Term::Any, ports: any };
    let (mut certain, mut perhaps) = (0, 0);
    for block in everything.blocks_beside(world, promises) {
        if promises.iter().any(|promise| promise.allow && promise.holds(world, block.first)) {
            continue;
        }
        let outcomes = world.outcomes(block.first);
        match (outcomes.contains(&Outcome::Allowed), outcomes.len()) {
            (true, 1) => certain += block.size,
            (true, _) => perhaps += block.size,
            (false, _) => {}
        }
    }
    (certain, perhaps)
}

fn told(excess: &[Excess], direction: Direction, certain: bool) -> u128 {
    let some = excess.iter().filter(|one| one.direction == direction && one.certain == certain);
    some.map(|one| one.packets).sum()
}

proptest! {
    #![proptest_config(crate::cases(60))]

    #[test]
    fn excess_is_what_passes_and_nobody_asked_for(
        world in policy::groups(&term().boxed()),
        promises in prop::collection::vec(promise(exact_term().boxed()), 0..3),
    ) {
        let contracts: Vec<_> = promises.iter().map(Promise::contract).collect();
        let excess = of(&world).excess(&contracts);
        prop_assert!(excess.is_sorted_by(|one, next| one.packets >= next.packets));
        for (direction, inbound) in [(Direction::Outbound, false), (Direction::Inbound, true)] {
            let found = (told(&excess, direction, true), told(&excess, direction, false));
            prop_assert_eq!(found, counted(&world, &promises, inbound), "{:?}", excess);
        }
    }
}

#[test]
fn a_rule_that_no_contract_needs_is_named() {
    let rule = |to, ports| crate::world::Rule {
        inbound: false,
        allow: true,
        protocol: Some(6),
        source: vec![Term::Any],
        source_ports: (0, u16::MAX),
        destination: vec![to],
        ports,
    };
    let closed = crate::world::Rule { allow: false, protocol: None, ..rule(Term::Any, (0, u16::MAX)) };
    let rules = vec![rule(Term::Known, (443, 443)), rule(Term::Any, (22, 22)), closed];
    let world = World { subnet: Some(rules), ..World::default() };
    let contract = network_policy::Contract::parse("allow outbound tcp * -> 20.60.0.0/17:443").unwrap();
    let excess = of(&world).excess(&[contract]);
    let outbound = excess.iter().filter(|one| one.direction == Direction::Outbound);
    let told: Vec<_> =
        outbound.map(|one| (one.decided_by.clone().unwrap().rule, one.needed, one.packets)).collect();
    // Eleven machines, every source port, a /17 of destinations.
    assert_eq!(
        told,
        [("subnet-120".to_owned(), false, 11 << 48), ("subnet-110".to_owned(), true, 11 << (16 + 15)),]
    );
}
