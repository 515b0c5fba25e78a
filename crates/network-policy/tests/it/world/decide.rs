//! Decisions against the naive walk: a decision has to be what every way of choosing agrees on.

use network_policy::Verdict;
use proptest::prelude::*;

use crate::world::policy::{self, flow, of, term};
use crate::world::{ADDRESSES, Outcome, PROTOCOLS, Packet, World};

pub fn packet() -> impl Strategy<Value = Packet> {
    let ports = || prop::sample::select(vec![0u16, 22, 53, 80, 81, 443, 444, 1023, 1024, 50_000, u16::MAX]);
    let own = prop::sample::select(vec![0x0a01_0004u32, 0x0a01_0005, 0x0a01_0006]);
    let peer = prop::sample::select(&ADDRESSES[..]);
    let protocol = prop_oneof![Just(6u8), Just(17u8), prop::sample::select(&PROTOCOLS[..])];
    (any::<bool>(), protocol, own, peer, ports(), ports()).prop_map(
        |(inbound, protocol, own, peer, source_port, port)| {
            let (source, destination) = if inbound { (peer, own) } else { (own, peer) };
            let ported = protocol == 6 || protocol == 17;
            let port_of = |port| if ported { port } else { 0 };
            Packet {
                inbound,
                protocol,
                source,
                source_port: port_of(source_port),
                destination,
                port: port_of(port),
            }
        },
    )
}

fn expected(world: &World, packet: Packet) -> Verdict {
    let outcomes = world.outcomes(packet);
    match (outcomes.contains(&Outcome::Denied), outcomes.len()) {
        (true, 1) => Verdict::Denied,
        (true, _) => Verdict::Undecided,
        _ => Verdict::Allowed,
    }
}

fn agree(world: &World, packets: &[Packet]) -> Result<(), TestCaseError> {
    let compiled = of(world).compile();
    for &packet in packets {
        let flow = flow(packet);
        let decision = compiled.decide_in_azure(&flow);
        prop_assert_eq!(decision.verdict, expected(world, packet), "{:?} {:?}", packet, decision);
        let path = compiled.path(&flow);
        let denied = path.iter().any(|layer| layer.verdict == Verdict::Denied);
        prop_assert!(denied || decision.verdict != Verdict::Denied, "{:?} {:?}", packet, path);
        let open = path.iter().any(|layer| layer.verdict == Verdict::Undecided);
        prop_assert!(open || denied || decision.verdict == Verdict::Allowed, "{:?} {:?}", packet, path);
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::cases(3000))]

    #[test]
    fn groups_decide_what_every_choice_agrees_on(
        world in policy::groups(&term().boxed()),
        packets in prop::collection::vec(packet(), 8),
    ) {
        agree(&world, &packets)?;
    }

    #[test]
    fn all_layers_decide_what_every_choice_agrees_on(
        world in policy::world(&term().boxed()),
        packets in prop::collection::vec(packet(), 8),
    ) {
        agree(&world, &packets)?;
    }
}
