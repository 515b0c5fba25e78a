//! Repairs as resources: deployed over what was broken, all is well again.

use preflight::{Status, WholeRepair};
use serde_json::{Value, json};

use crate::world::{self, World};

/// Deploys all repairs over a world: whatever they are for is met, and everything else as it was.
pub fn repair(what: &str, world: &World) -> Vec<&'static str> {
    let mut repaired = Vec::new();
    world.check(|before, subject| {
        let whole = WholeRepair::of(before, subject, |_| Ok(()));
        let unwritten: Vec<_> = before
            .findings
            .iter()
            .filter(|finding| {
                preflight::is_repairable(finding) && !whole.repaired.contains(&finding.requirement.id)
            })
            .map(|finding| finding.requirement.id)
            .collect();
        assert!(unwritten.is_empty(), "{what}: {unwritten:?} {:?}", whole.left_out);
        world.check_with(&whole.template, |after, _| {
            for (before, after) in before.findings.iter().zip(&after.findings) {
                let id = before.requirement.id;
                let wanted = if whole.repaired.contains(&id) { Status::Pass } else { before.status() };
                let told = || format!("{what}: {id}: {}\n{:#}", after.outcome.detail, whole.template);
                // A flow that is let through may be all that another requirement lacked.
                assert!(after.status() == wanted || after.status() == Status::Pass, "{}", told());
            }
        });
        repaired = whole.repaired;
    });
    repaired
}

/// The only resource of a type that the repairs of a world hold, wherever it is deployed to.
fn repaired(world: &World, kind: &str) -> Value {
    let mut found = Vec::new();
    world.check(|report, subject| {
        let whole = WholeRepair::of(report, subject, |_| Ok(()));
        let deployments = whole.template["resources"].as_array().expect("deployments").iter();
        let inner =
            |one: &Value| one["properties"]["template"]["resources"].as_array().expect("resources").clone();
        found = deployments.flat_map(inner).filter(|one| one["type"] == kind).collect();
    });
    assert_eq!(found.len(), 1, "{kind}: {found:#?}");
    found.remove(0)
}

#[test]
fn a_subnet_without_a_way_out_gets_the_gateway_of_its_neighbours() {
    let mut world = World::isolated();
    world.subnet(1)["natGateway"] = Value::Null;
    world.subnet(1)["defaultOutboundAccess"] = json!(false);
    let repairs = repair("a way out", &world);
    assert_eq!(repairs, ["route.container-egress", "route.container-nat-gateway"]);
    let written = repaired(&world, "Microsoft.Network/virtualNetworks/subnets");
    assert_eq!(written["properties"]["natGateway"]["id"], world::network("natGateways", "nat"));
    let delegation = &written["properties"]["delegations"][0]["properties"];
    assert_eq!(delegation["serviceName"], "Microsoft.ContainerInstance/containerGroups");
}

#[test]
fn a_subnet_is_written_with_everything_that_it_had() {
    let mut world = World::private_link();
    let endpoint =
        json!({"service": "Microsoft.Storage", "locations": ["eastus2"], "provisioningState": "Succeeded"});
    let all = [
        ("privateLinkServiceNetworkPolicies", json!("Enabled")),
        ("privateEndpointNetworkPolicies", json!("Enabled")),
        ("natGateway", json!({"id": world::network("natGateways", "nat"), "location": "eastus2"})),
        ("serviceEndpoints", json!([endpoint])),
        ("defaultOutboundAccess", json!(false)),
        ("delegations", json!([{"name": "web", "properties": {"serviceName": "Microsoft.Web/serverFarms"}}])),
        ("ipConfigurations", json!([{"id": "/subscriptions/s/x/1"}])),
    ];
    for (name, value) in all {
        world.subnet(0)[name] = value;
    }
    assert_eq!(repair("both", &world), ["subnet.private-link-policies", "subnet.delegation"]);
    let written = repaired(&world, "Microsoft.Network/virtualNetworks/subnets");
    let expected = json!({
        "addressPrefix": "10.241.0.0/28",
        "networkSecurityGroup": {"id": world::network("networkSecurityGroups", "nsg-build")},
        "privateLinkServiceNetworkPolicies": "Disabled",
        "routeTable": {"id": world::network("routeTables", "rt")},
        "privateEndpointNetworkPolicies": "Enabled",
        "natGateway": {"id": world::network("natGateways", "nat")},
        "serviceEndpoints": [{"service": "Microsoft.Storage", "locations": ["eastus2"]}],
        "defaultOutboundAccess": false,
    });
    assert_eq!(written["properties"], expected);
    assert_eq!(written["name"], "vnet/snet-build");
}

#[test]
fn a_subnet_that_would_lose_a_setting_is_not_written() {
    let unwritten = |field: &str, value: Value| {
        let mut world = World::private_link();
        world.subnet(0)["privateLinkServiceNetworkPolicies"] = json!("Enabled");
        world.subnet(0)[field] = value;
        let mut because = String::new();
        world.check(|report, subject| {
            let whole = WholeRepair::of(report, subject, |_| Ok(()));
            let id = "subnet.private-link-policies";
            assert!(!whole.repaired.contains(&id));
            let left = whole.left_out.iter().find(|left| left.id == id).expect("it is left out");
            assert!(left.az.as_ref().expect("a command").starts_with("az network vnet subnet update"));
            because.clone_from(&left.because);
        });
        because
    };
    for (field, value) in [
        ("serviceEndpointPolicies", json!("[parameters('policies')]")),
        ("natGateway", json!({"id": "[parameters('gateway')]"})),
        ("serviceEndpoints", json!(["[parameters('endpoint')]"])),
        ("somethingNew", json!(true)),
        ("applicationGatewayIPConfigurations", json!([{"id": "x"}])),
    ] {
        let because = unwritten(field, value);
        assert!(because.contains(&format!("`{field}`")) && because.contains("could be lost"), "{because}");
    }
    // A group that says itself where it is attached is not lost, either.
    let mut world = World::private_link();
    world.subnet(0)["privateLinkServiceNetworkPolicies"] = json!("Enabled");
    world.subnet(0)["natGateway"] = Value::Null;
    let subnets = json!([{"id": world::network("virtualNetworks", "vnet/subnets/snet-build")}]);
    world
        .resources
        .push(json!({"id": world::network("natGateways", "nat"), "properties": {"subnets": subnets}}));
    let written = repaired(&world, "Microsoft.Network/virtualNetworks/subnets");
    assert_eq!(written["properties"]["natGateway"]["id"], world::network("natGateways", "nat"));
}

#[test]
fn an_identity_that_is_yet_to_be_made_gets_its_role_by_reference() {
    let mut world = World::private_link();
    world
        .resources
        .retain(|own| own["id"].as_str().is_none_or(|id| !id.ends_with("roleAssignments/network")));
    world.resource("/id-builder")["properties"] = json!({});
    // What another assignment may be for leaves it open; without one, nobody has the role.
    let others =
        |own: &Value| own["type"] != "Microsoft.Authorization/roleAssignments" || own["name"] == "deployer";
    world.resources.retain(others);
    let deployer = world.resource("roleAssignments/deployer");
    deployer["roleDefinitionId"] = json!("/x/acdd72a7-3385-48ef-bd42-f606fba81ae7");
    assert!(repair("by reference", &world).contains(&"access.identity.network"));
}

#[test]
fn a_role_of_its_own_is_assignable_where_it_is_needed_alone() {
    let mut world = World::isolated();
    world
        .resources
        .retain(|own| own["id"].as_str().is_none_or(|id| !id.ends_with("roleAssignments/network")));
    let repairs = repair("both subnets", &world);
    assert_eq!(repairs, ["access.identity.network", "access.identity.container-network"]);
    let role = repaired(&world, "Microsoft.Authorization/roleDefinitions");
    assert_eq!(role["properties"]["assignableScopes"], json!([world::group("rg-net")]));
    let actions =
        ["Microsoft.Network/virtualNetworks/read", "Microsoft.Network/virtualNetworks/subnets/join/action"];
    assert_eq!(role["properties"]["permissions"][0]["actions"], json!(actions));
    let assignment = repaired(&world, "Microsoft.Authorization/roleAssignments");
    assert_eq!(assignment["scope"], "Microsoft.Network/virtualNetworks/vnet");
    assert_eq!(assignment["properties"]["principalType"], "ServicePrincipal");
}

#[test]
fn who_lacks_a_role_gets_the_command_that_assigns_it() {
    let mut world = World::private_link();
    world.resources.retain(|own| own["type"] != "Microsoft.Authorization/roleAssignments");
    world.resources.push(world::assignment(
        "nobody",
        "9",
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "/subscriptions/s",
    ));
    world.check(|report, _| {
        let az = |id: &str| {
            let found = report.findings.iter().find(|finding| finding.requirement.id == id).expect("asked");
            found.outcome.repair.as_ref().and_then(|repair| repair.az.clone()).expect("a command")
        };
        assert!(az("access.identity.network").contains("--assignee-principal-type ServicePrincipal"));
        // Whoever deploys may be a person.
        assert!(!az("access.deployer.template").contains("ServicePrincipal"));
    });
}
