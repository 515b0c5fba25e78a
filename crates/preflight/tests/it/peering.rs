//! The peerings between a subnet's network and that of the firewall which its routes lead to.

use preflight::Status::{self, Fail, Undecided};
use serde_json::{Value, json};

use crate::expect;
use crate::world::World;

#[test]
fn a_firewall_is_reached_through_peerings_alone() {
    const ID: &str = "route.next-hop-reachable";
    let set = |peering: &'static str, field: &'static str, value: Value| {
        move |world: &mut World| world.resource(peering)["properties"][field] = value
    };
    let without = |end: &'static str| {
        move |world: &mut World| {
            world.resources.retain(|own| own["id"].as_str().is_none_or(|id| !id.ends_with(end)));
        }
    };
    let check = |what: &str, breaking: &dyn Fn(&mut World), expected: Status| {
        expect(what, World::private_link(), breaking, &[(ID, expected)]);
    };
    check("none here", &without("/to-hub"), Fail);
    check("none there", &without("/to-vnet"), Fail);
    check("no hub", &without("/hub"), Undecided);
    for side in ["/to-hub", "/to-vnet"] {
        let one = |field, value: Value| move |world: &mut World| set(side, field, value.clone())(world);
        check("not connected", &one("peeringState", json!("Disconnected")), Fail);
        check("no access", &one("allowVirtualNetworkAccess", json!(false)), Fail);
        check("access not told", &one("allowVirtualNetworkAccess", json!(null)), Undecided);
    }
    let forwarded = set("/to-hub", "allowForwardedTraffic", json!(false));
    expect("what is forwarded", World::private_link(), forwarded, &[(ID, Undecided)]);
    let elsewhere = |world: &mut World| {
        world.resource("/hub")["properties"]["addressSpace"]["addressPrefixes"] = json!(["10.201.0.0/24"]);
    };
    check("another hub", &elsewhere, Undecided);
}
