//! The path of a build, and what a report says of each hop.

use preflight::{Check, Hop, HopState, Node, Party, Place, Requirement, Status, Topology};
use serde_json::json;

use HopState::{Allowed, NotAsked, Open, Refused, Warned};

use crate::world::World;

fn catalogue() -> impl Iterator<Item = &'static Requirement> {
    preflight::requirements().chain(preflight::published())
}

#[test]
fn every_requirement_of_packets_is_about_a_hop_of_its_shapes() {
    for requirement in catalogue() {
        let id = requirement.id;
        for topology in requirement.topologies {
            let drawn = requirement.hop.is_none_or(|hop| topology.hops().contains(&hop));
            assert!(drawn, "{id} is about a hop that a {topology} network does not have");
        }
        match &requirement.check {
            Check::Flow(flow) => {
                let hop = requirement.hop.unwrap_or_else(|| panic!("{id} is about no hop"));
                let outward = flow.to == Party::Tag("Internet");
                assert_eq!(matches!(hop.to, Node::WayOut(_)), outward, "{id}");
                let of_container = flow.from == Party::Subnet(Place::Container);
                assert_eq!(hop.from == Node::Container, of_container, "{id}");
            }
            Check::Reach(place, _) => {
                assert_eq!(requirement.hop.map(|hop| hop.from), Some(Node::WayOut(*place)), "{id}");
            }
            Check::Steps(_) => assert!(requirement.hop.is_some(), "{id}"),
            Check::Ask(_) => {}
        }
    }
}

#[test]
fn a_path_is_connected() {
    for topology in [Topology::Managed, Topology::PrivateLink, Topology::Isolated] {
        let hops = topology.hops();
        for (index, hop) in hops.iter().enumerate() {
            let reached =
                hop.from == Node::Container || hops[..index].iter().any(|before| before.to == hop.from);
            assert!(reached, "{topology}: nothing leads to {:?}", hop.from);
        }
        assert_eq!(hops.last().map(|hop| hop.to), Some(Node::Internet));
    }
}

fn states(world: &World) -> Vec<HopState> {
    let mut states = Vec::new();
    world
        .check(|report, subject| states = report.path(subject).iter().map(|stretch| stretch.state).collect());
    states
}

#[test]
fn a_hop_is_as_good_as_the_worst_that_was_found() {
    let mut world = World::private_link();
    assert_eq!(states(&world), [Allowed, NotAsked, Allowed, Allowed, Allowed, Allowed]);
    world.without_rule("AllowHttp");
    assert_eq!(states(&world)[4], Warned, "port 80 is only advised");
    world.without_rule("AllowSshOut");
    assert_eq!(states(&world)[3], Refused, "the other direction is allowed");
    world.rule("AllowProbe")["properties"]["sourceAddressPrefix"] = json!("[parameters('probe')]");
    assert_eq!(states(&world)[2], Open, "the other flow is allowed");

    let mut world = World::isolated();
    world.without_rule("AllowSmb");
    world.check(|report, subject| {
        let path = report.path(subject);
        let out = path.iter().find(|stretch| stretch.hop == Hop::OUT_OF_CONTAINER).expect("it is drawn");
        assert_eq!(out.ports, [(443, Allowed), (445, Refused)]);
        assert_eq!(out.state, Refused);
        let ids: Vec<_> = out.findings.iter().map(|finding| finding.requirement.id).collect();
        assert_eq!(ids, ["nsg.outbound.container-https", "nsg.outbound.container-smb"]);
        let fetched = path.iter().find(|stretch| stretch.hop == Hop::OUT_OF_BUILD).expect("it is drawn");
        assert_eq!(fetched.ports, [(80, Allowed), (443, Allowed)], "443 is what the image's steps need");
    });
}

#[test]
fn a_port_is_not_blamed_for_another_one() {
    let mut world = World::isolated();
    world.endpoints.push("example.org:8443");
    world.check(|report, subject| {
        let out = report.path(subject).into_iter().find(|stretch| stretch.hop == Hop::OUT_OF_BUILD);
        // 443 is fetched from, too, and allowed: it is not known from a finding about both.
        assert_eq!(out.expect("it is drawn").ports, [(80, Allowed), (8443, Refused)]);
    });
}

#[test]
fn what_no_document_tells_is_not_allowed() {
    let path = HopState::from(Status::Pass).max(Status::Skipped.into());
    assert_eq!(path, HopState::NotChecked);
}
