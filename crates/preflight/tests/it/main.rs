//! Environments in which everything is as it must be, and what is said when one thing is not.

mod mutation;
mod path;
mod peering;
mod policy;
mod quota;
mod repair;
mod templates;
mod world;

use std::collections::HashSet;

use preflight::{Status, Topology, requirements};
use repair::repair;
use serde_json::{Value, json};
use world::World;

use Status::{Fail, Undecided, Warn};

/// With private link alone, the shape itself is warned of.
const SHAPE: (&str, Status) = ("template.topology", Warn);

#[test]
fn nothing_is_wrong_with_a_good_environment() {
    assert_eq!(World::private_link().complaints(), [SHAPE]);
    assert_eq!(World::isolated().complaints(), []);
    for world in [World::private_link(), World::isolated()] {
        world.check(|report, _| {
            let skipped: Vec<_> =
                report.findings.iter().filter(|finding| finding.status() == Status::Skipped).collect();
            let ids: Vec<_> = skipped.iter().map(|finding| finding.requirement.id).collect();
            assert!(ids.is_empty(), "{ids:?}");
            assert_eq!(report.verdict(true), Status::Pass);
        });
    }
}

#[test]
fn every_requirement_has_an_id_of_its_own_and_an_area_of_the_contract() {
    let areas = [
        "subnet",
        "nsg",
        "route",
        "firewall",
        "access",
        "provider",
        "region",
        "policy",
        "template",
        "diagnostics",
    ];
    let mut seen = HashSet::new();
    for requirement in requirements() {
        assert!(seen.insert(requirement.id), "{} twice", requirement.id);
        assert!(areas.contains(&requirement.area()), "{}", requirement.id);
        assert!(
            requirement.id.split('.').count() >= 2
                && !requirement.title.is_empty()
                && !requirement.source.is_empty()
        );
    }
}

/// Breaks a world and expects complaints, beside those of the shape.
fn expect(what: &str, mut world: World, breaking: impl FnOnce(&mut World), expected: &[(&str, Status)]) {
    breaking(&mut world);
    let mut found = world.complaints();
    if world.topology == Topology::PrivateLink {
        found.retain(|complaint| *complaint != SHAPE);
    }
    assert_eq!(found, expected, "{what}");
    repair(what, &world);
}

#[test]
fn each_rule_that_is_taken_away_is_noticed_where_it_matters() {
    for (rule, expected) in [
        ("AllowProbe", &[("nsg.inbound.probe-to-linux-proxy", Fail)][..]),
        ("AllowPrivateLink", &[("nsg.inbound.private-link-to-linux-proxy", Fail)]),
        ("AllowSshIn", &[("nsg.inbound.ssh-to-build-vm", Fail)]),
        ("AllowSshOut", &[("nsg.outbound.ssh-to-build-vm", Fail)]),
        ("AllowHttps", &[("nsg.outbound.https", Fail), ("nsg.outbound.image-endpoints", Fail)]),
        ("AllowHttp", &[("nsg.outbound.http", Warn)]),
        ("AllowDns", &[("nsg.outbound.custom-dns", Warn)]),
        ("AllowDnsUdp", &[("nsg.outbound.custom-dns", Warn)]),
        ("DenyInbound", &[]),
        ("DenyOutbound", &[]),
    ] {
        expect(rule, World::private_link(), |world| world.without_rule(rule), expected);
    }
    for (rule, expected) in [
        ("AllowSshIn", &[("nsg.inbound.ssh-from-container", Fail), ("nsg.outbound.container-ssh", Fail)][..]),
        ("AllowSshOut", &[("nsg.inbound.ssh-from-container", Fail), ("nsg.outbound.container-ssh", Fail)]),
        ("AllowContainerHttps", &[("nsg.outbound.container-https", Fail)]),
        ("AllowSmb", &[("nsg.outbound.container-smb", Fail)]),
        ("AllowHttps", &[("nsg.outbound.image-endpoints", Fail)]),
    ] {
        expect(rule, World::isolated(), |world| world.without_rule(rule), expected);
    }
}

#[test]
fn each_property_of_a_subnet_that_is_altered_is_noticed() {
    let set = |field: &'static str, value: Value| move |world: &mut World| world.subnet(0)[field] = value;
    expect(
        "policies enabled",
        World::private_link(),
        set("privateLinkServiceNetworkPolicies", json!("Enabled")),
        &[("subnet.private-link-policies", Fail)],
    );
    expect(
        "policies absent mean enabled",
        World::private_link(),
        set("privateLinkServiceNetworkPolicies", Value::Null),
        &[("subnet.private-link-policies", Fail)],
    );
    expect(
        "policies by an expression",
        World::private_link(),
        set("privateLinkServiceNetworkPolicies", json!("[parameters('policies')]")),
        &[("subnet.private-link-policies", Undecided)],
    );
    let taken: Vec<_> = (0..8).map(|index| json!({"id": format!("/subscriptions/s/x/{index}")})).collect();
    expect(
        "three of eleven left",
        World::private_link(),
        set("ipConfigurations", json!(taken)),
        &[("subnet.free-addresses", Fail)],
    );
    expect("seven taken", World::private_link(), set("ipConfigurations", json!(taken[..7])), &[]);
    expect(
        "delegated",
        World::private_link(),
        set(
            "delegations",
            json!([{"name": "x", "properties": {"serviceName": "Microsoft.Web/serverFarms"}}]),
        ),
        &[("subnet.delegation", Fail)],
    );
    expect(
        "container subnet not delegated",
        World::isolated(),
        |world| world.subnet(1)["delegations"] = json!([]),
        &[("subnet.container-delegation", Fail)],
    );
    expect(
        "something else in the container subnet",
        World::isolated(),
        |world| {
            world.subnet(1)["ipConfigurations"] = json!([{"id": "/subscriptions/s/networkInterfaces/nic"}]);
        },
        &[("subnet.container-only", Fail)],
    );
}

#[test]
fn free_addresses_are_counted_by_whoever_counts_them_best() {
    let usage = |taken: i64, limit: i64| {
        json!({"currentValue": taken, "limit": limit, "unit": "Count",
            "id": world::network("virtualNetworks", "vnet/subnets/snet-build"),
            "name": {"localizedValue": "Subnet size and usage", "value": "SubnetSpace"}})
    };
    let taken = |count: usize| {
        json!(
            (0..count).map(|index| json!({"id": format!("/subscriptions/s/x/{index}")})).collect::<Vec<_>>()
        )
    };
    let id = "subnet.free-addresses";
    // Eleven can be used; the private link takes four.
    for (used, limit, expected) in
        [(7, 11, &[][..]), (8, 11, &[(id, Fail)]), (0, 3, &[(id, Fail)]), (0, -1, &[(id, Undecided)])]
    {
        let told = |world: &mut World| {
            world.subnet(0)["ipConfigurations"] = taken(2);
            world.resources.push(usage(used, limit));
        };
        expect(&format!("{used} of {limit}"), World::private_link(), told, expected);
    }
    // Two subnets take one address, or two where validators run.
    for (count, validates, expected) in [(10, false, &[][..]), (10, true, &[(id, Fail)]), (9, true, &[])] {
        let told = |world: &mut World| {
            world.subnet(0)["ipConfigurations"] = taken(count);
            if validates {
                world.template["properties"]["validate"] =
                    json!({"inVMValidations": [{"type": "Shell", "name": "all", "inline": ["true"]}]});
            }
        };
        expect(&format!("{count}, {validates}"), World::isolated(), told, expected);
    }
    let twice = |world: &mut World| {
        let mut all = taken(7);
        all.as_array_mut().expect("a list").push(json!({"id": "/SUBSCRIPTIONS/s/x/0"}));
        world.subnet(0)["ipConfigurations"] = all;
    };
    expect("one that is told twice", World::private_link(), twice, &[]);
    let linked = |world: &mut World| world.subnet(0)["serviceAssociationLinks"] = json!([{"name": "link"}]);
    expect("what services hide", World::private_link(), linked, &[(id, Undecided)]);
    let counted = |world: &mut World| {
        linked(world);
        world.resources.push(usage(2, 11));
    };
    expect("what usages count", World::private_link(), counted, &[]);
}

#[test]
fn routes_and_gateways_that_are_altered_are_noticed() {
    let hop = |field: &'static str, value: Value| {
        move |world: &mut World| world.resource("/rt")["properties"]["routes"][0]["properties"][field] = value
    };
    expect(
        "blackhole",
        World::private_link(),
        |world| {
            hop("nextHopType", json!("None"))(world);
            hop("nextHopIpAddress", Value::Null)(world);
        },
        &[
            ("route.build-egress", Fail),
            ("firewall.storage", Fail),
            ("firewall.management", Fail),
            ("firewall.image-endpoints", Fail),
        ],
    );
    expect(
        "no NAT gateway in a private subnet",
        World::isolated(),
        |world| {
            world.subnet(1)["natGateway"] = Value::Null;
            world.subnet(1)["defaultOutboundAccess"] = json!(false);
        },
        &[
            ("route.container-egress", Fail),
            ("route.container-nat-gateway", Warn),
            ("firewall.container-endpoints", Fail),
        ],
    );
}

#[test]
fn each_name_that_the_firewall_lacks_is_noticed() {
    for (index, id) in
        ["firewall.storage", "firewall.management", "firewall.image-endpoints"].into_iter().enumerate()
    {
        let without = |world: &mut World| {
            let collection = &mut world.resource("/aib")["properties"]["ruleCollections"][0]["rules"];
            collection.as_array_mut().expect("rules").remove(index);
        };
        expect(id, World::private_link(), without, &[(id, Fail)]);
    }
    expect(
        "one account is not any account",
        World::private_link(),
        |world| {
            let rules = &mut world.resource("/aib")["properties"]["ruleCollections"][0]["rules"];
            rules[0]["targetFqdns"] = json!(["stgaib.blob.core.windows.net"]);
        },
        &[("firewall.storage", Fail)],
    );
}

#[test]
fn the_archive_of_an_ubuntu_base_must_be_reached() {
    let ubuntu = |world: &mut World| {
        world.template["properties"]["source"] = json!({"type": "PlatformImage", "publisher": "Canonical",
            "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"});
    };
    expect("refused", World::private_link(), ubuntu, &[("firewall.package-archive", Warn)]);
    let allowed = |world: &mut World| {
        ubuntu(world);
        let rules = &mut world.resource("/aib")["properties"]["ruleCollections"][0]["rules"];
        let mut archive = rules[0].clone();
        archive["protocols"] = json!([{"protocolType": "Http", "port": 80}]);
        archive["targetFqdns"] =
            json!(["azure.archive.ubuntu.com", "archive.ubuntu.com", "security.ubuntu.com"]);
        rules.as_array_mut().expect("rules").push(archive);
    };
    expect("allowed", World::private_link(), allowed, &[]);
}

#[test]
fn each_role_that_is_missing_is_noticed() {
    for (assignment, expected) in [
        ("/network", &[("access.identity.network", Fail)][..]),
        ("/gallery", &[("access.identity.gallery", Fail)]),
        (
            "/deployer",
            &[
                ("access.deployer.template", Fail),
                ("access.deployer.identity", Fail),
                ("access.deployer.roles", Warn),
            ],
        ),
    ] {
        let without = |world: &mut World| {
            let end = format!("roleAssignments{assignment}");
            world.resources.retain(|own| own["id"].as_str().is_none_or(|id| !id.ends_with(&end)));
        };
        expect(assignment, World::private_link(), without, expected);
    }
    expect(
        "both subnets are joined",
        World::isolated(),
        |world| {
            let subnet = world::network("virtualNetworks", "vnet/subnets/snet-build");
            world.resource("roleAssignments/network")["scope"] = json!(subnet);
        },
        &[("access.identity.container-network", Fail)],
    );
    expect(
        "an identity whose object id is not told",
        World::private_link(),
        |world| world.resource("/id-builder")["properties"] = json!({}),
        &[("access.identity.network", Undecided), ("access.identity.gallery", Undecided)],
    );
}

#[test]
fn providers_regions_policies_and_logs_are_noticed() {
    expect(
        "a provider",
        World::isolated(),
        |world| {
            let provider =
                world.resources.iter_mut().find(|own| own["namespace"] == "Microsoft.ContainerInstance");
            provider.expect("the provider")["registrationState"] = json!("NotRegistered");
        },
        &[("provider.registered", Fail)],
    );
    expect(
        "the network elsewhere",
        World::isolated(),
        |world| world.resource("/vnet")["location"] = json!("westeurope"),
        &[("region.virtual-network", Fail)],
    );
    expect(
        "an unlisted region",
        World::isolated(),
        |world| world.move_to("japanwest"),
        &[("region.supported", Fail)],
    );
    expect(
        "no flow log",
        World::isolated(),
        |world| world.resource("/log")["properties"]["enabled"] = json!(false),
        &[("diagnostics.flow-logs", Warn)],
    );
    for untold in [json!(null), json!("[parameters('logs')]")] {
        expect(
            "a flow log that does not tell whether it is on",
            World::isolated(),
            |world| world.resource("/log")["properties"]["enabled"] = untold,
            &[("diagnostics.flow-logs", Undecided)],
        );
    }
}

/// A world of another cloud.
fn in_region(region: &str) -> World {
    let mut world = World::private_link();
    world.move_to(region);
    world
}

#[test]
fn each_cloud_has_names_regions_and_features_of_its_own() {
    let feature = |name: &str, state: &str| {
        let id = format!(
            "/subscriptions/{}/providers/Microsoft.Features/providers/Microsoft.VirtualMachineImages/features/{name}",
            world::SUBSCRIPTION
        );
        json!({"id": id, "name": format!("Microsoft.VirtualMachineImages/{name}"), "properties": {"state": state},
            "type": "Microsoft.Features/providers/features"})
    };
    let names = |world: &mut World, storage: &str, management: &str| {
        let rules = &mut world.resource("/aib")["properties"]["ruleCollections"][0]["rules"];
        rules[0]["targetFqdns"] = json!([storage]);
        rules[1]["targetFqdns"] = json!([management]);
    };
    let government =
        |world: &mut World| names(world, "*.blob.core.usgovcloudapi.net", "management.usgovcloudapi.net");
    let foreign = [("firewall.storage", Fail), ("firewall.management", Fail)];
    let preview = ("region.preview", Warn);
    expect(
        "the public cloud's names",
        in_region("usgovvirginia"),
        |_| {},
        &[foreign[0], foreign[1], preview],
    );
    expect("nobody tells of the feature", in_region("US Gov Virginia"), government, &[preview]);
    for (state, expected) in [("Registered", &[][..]), ("NotRegistered", &[("region.preview", Fail)])] {
        let told = |world: &mut World| {
            government(world);
            world.resources.push(feature("FairfaxPublicPreview", state));
        };
        expect(state, in_region("usgovvirginia"), told, expected);
    }
    let china = |world: &mut World| {
        names(world, "*.blob.core.chinacloudapi.cn", "management.chinacloudapi.cn");
        world.resources.push(feature("MooncakePublicPreview", "NotRegistered"));
    };
    expect("one page says so", in_region("chinanorth3"), china, &[preview]);
    expect("not in Texas", in_region("usgovtexas"), government, &[("region.supported", Fail)]);
    in_region("usgovtexas").check(|report, _| {
        let one = report.findings.iter().find(|finding| finding.requirement.id == "region.supported");
        let outcome = &one.expect("asked").outcome;
        assert!(
            outcome.detail.ends_with("regions of Azure Government: usgovarizona, usgovvirginia"),
            "{}",
            outcome.detail
        );
        let az = outcome.repair.as_ref().and_then(|repair| repair.az.clone()).expect("a command");
        assert!(az.starts_with("az cloud set --name AzureUSGovernment\n"), "{az}");
    });
    // What Azure says of the subscription decides, whatever the pages say.
    for (regions, expected) in
        [(json!(["Japan West"]), &[][..]), (json!(["East US"]), &[("region.supported", Fail)])]
    {
        let told = |world: &mut World| {
            let own =
                world.resources.iter_mut().find(|own| own["namespace"] == "Microsoft.VirtualMachineImages");
            own.expect("the provider")["resourceTypes"] =
                json!([{"resourceType": "imageTemplates", "locations": regions}]);
        };
        expect("as offered", in_region("japanwest"), told, expected);
    }
}

#[test]
fn the_guidance_is_taken_literally_when_asked() {
    let complaints = |world: &World| {
        let mut found = Vec::new();
        world.ask(preflight::check_as_published, |report, _| {
            let open = report.findings.iter().filter(|finding| finding.status() != Status::Pass);
            found.extend(open.map(|finding| finding.requirement.id));
        });
        found
    };
    assert_eq!(complaints(&World::private_link()), [""; 0]);
    // What the tables leave out is not asked, what they have is.
    let mut world = World::private_link();
    world.without_rule("AllowSshIn");
    assert_eq!(complaints(&world), [""; 0]);
    world.without_rule("AllowProbe");
    world.rule("AllowHttps")["properties"]["destinationAddressPrefix"] = json!("Storage");
    world.subnet(0)["addressPrefix"] = json!("10.241.0.0/29");
    let expected = ["subnet.published.prefix", "nsg.published.inbound-60001", "nsg.published.outbound-443"];
    assert!(complaints(&world).starts_with(&expected), "{:?}", complaints(&world));
}

#[test]
fn a_template_that_does_not_fit_the_environment_is_noticed() {
    expect(
        "another subnet",
        World::private_link(),
        |world| {
            let other = world::network("virtualNetworks", "vnet/subnets/snet-other");
            world.template["properties"]["vmProfile"]["vnetConfig"]["subnetId"] = json!(other);
        },
        &[("template.subnet", Fail)],
    );
    expect(
        "another generation",
        World::isolated(),
        |world| world.resource("/jumpbox")["properties"]["hyperVGeneration"] = json!("V1"),
        &[("template.gallery-image", Fail)],
    );
    expect(
        "a security type that cannot be made",
        World::isolated(),
        |world| {
            world.resource("/jumpbox")["properties"]["features"] =
                json!([{"name": "SecurityType", "value": "TrustedLaunch"}]);
        },
        &[("template.gallery-image", Fail)],
    );
}

#[test]
fn a_failure_shows_the_packet_the_rule_and_what_would_let_it_through() {
    let mut world = World::private_link();
    world.rule("AllowSshIn")["properties"]["destinationPortRange"] = json!("2222");
    world.check(|report, subject| {
        let found =
            report.findings.iter().find(|finding| finding.requirement.id == "nsg.inbound.ssh-to-build-vm");
        let outcome = &found.expect("asked").outcome;
        let packet = outcome.evidence.packet.as_ref().expect("a packet");
        assert_eq!(packet.to_port, 22);
        let by = outcome.evidence.decided_by.as_ref().expect("a rule");
        assert_eq!((by.rule.as_str(), by.priority), ("DenyInbound", Some(4000)));
        let repair = outcome.repair.as_ref().expect("a repair");
        assert_eq!(preflight::resources(&repair.changes, subject).len(), 1);
        assert_eq!(repair.to_az(subject).expect("commands").lines().count(), 1);
        assert!(outcome.span.is_some());
    });
}
