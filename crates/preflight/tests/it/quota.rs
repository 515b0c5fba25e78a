//! Sizes that cannot be had, and quotas without room.

use preflight::Status::{self, Fail, Undecided};
use serde_json::{Value, json};

use crate::expect;
use crate::world::World;

#[test]
fn a_size_that_cannot_be_had_and_a_quota_without_room_are_noticed() {
    let set = |end: &'static str, field: &'static str, value: Value| {
        move |world: &mut World| world.resource(end)[field] = value
    };
    let (isolated, private_link) = (World::isolated, World::private_link);
    let restricted = || json!("NotAvailableForSubscription");
    let size = set("sizes/Standard_D2ds_v4", "restriction", restricted());
    expect("the build's size", isolated(), size, &[("region.vm-size", Fail)]);
    let proxy = set("sizes/Standard_A1_v2", "restriction", restricted());
    expect("the proxy's size", private_link(), proxy, &[("region.vm-size", Fail)]);
    let none = set("sizes/Standard_A1_v2", "restriction", restricted());
    expect("an isolated build has no proxy", isolated(), none, &[]);
    for (limit, expected) in [(4, &[][..]), (3, &[("region.vm-quota", Fail)])] {
        expect("the family", isolated(), set("usages/standardDDSv4Family", "limit", json!(limit)), expected);
    }
    for (limit, expected) in [(5, &[][..]), (4, &[("region.vm-quota", Fail)])] {
        expect(
            "all cores, the proxy's too",
            private_link(),
            set("usages/cores", "limit", json!(limit)),
            expected,
        );
    }
    for (limit, expected) in [(6, &[][..]), (5, &[("region.container-quota", Fail)])] {
        expect("containers", isolated(), set("usages/StandardCores", "limit", json!(limit)), expected);
    }
    let open = set("usages/StandardCores", "limit", json!(null));
    expect("a quota that is not told", isolated(), open, &[("region.container-quota", Undecided)]);
    let mut other = isolated();
    other.template["properties"]["vmProfile"]["vmSize"] = json!("Standard_D4s_v5");
    other.check(|report, _| {
        let skipped = report.findings.iter().filter(|finding| finding.status() == Status::Skipped);
        let ids: Vec<_> = skipped.map(|finding| finding.requirement.id).collect();
        assert_eq!(ids, ["region.vm-size", "region.vm-quota"], "nobody tells of another size");
    });
}
