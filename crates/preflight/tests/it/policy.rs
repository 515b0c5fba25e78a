//! Policy assignments, judged by the rules of their definitions.

use preflight::{Os, Status};
use serde_json::{Value, json};

use crate::world::{SUBSCRIPTION, World, group};

use Status::{Fail, Pass, Undecided, Warn};

const BUILT_IN: &str = "/providers/Microsoft.Authorization/policyDefinitions";
const PUBLIC_NETWORK: &str = "b2982f36-99f2-4db5-8eff-283140c09693";
const SHARED_KEYS: &str = "8c6a50c6-9ffd-4ae7-986f-5fa6111f9a54";
const ALLOWED_TYPES: &str = "a08ec900-254a-4555-9bf5-e42af04b5c5c";
const ALLOWED_LOCATIONS: &str = "e56962a6-4747-49cd-b67b-bf8b01975c4c";
const GROUP_TAG: &str = "96670d01-0a4d-4649-9c89-2d3abc0a5025";
const DDOS: &str = "94de2ad3-e0c1-4caf-ad78-5d47bbc83d3d";
const STAGING: &str = "rg-staging";

fn subscription() -> String {
    format!("/subscriptions/{SUBSCRIPTION}")
}

fn assignment_id() -> String {
    format!("{}/providers/Microsoft.Authorization/policyAssignments/own", subscription())
}

/// A world with one assignment in the subscription.
fn world(definition: &str, parameters: &Value) -> World {
    let mut world = World::isolated();
    world.resources.retain(|own| own["id"].as_str().is_none_or(|id| !id.contains("policyAssignments")));
    world.resources.push(json!({"id": assignment_id(), "properties": {
        "displayName": "Corporate", "policyDefinitionId": definition, "parameters": parameters}}));
    world
}

fn built_in(id: &str, parameters: &Value) -> World {
    world(&format!("{BUILT_IN}/{id}"), parameters)
}

/// One whose definition is in the documents.
fn custom(rule: &Value, effect: &str, mode: &str) -> World {
    let definition = format!("{}{BUILT_IN}/own", subscription());
    let mut world = world(&definition, &json!({}));
    world.resources.push(json!({"id": definition, "properties": {"displayName": "Own", "mode": mode,
        "policyRule": {"if": rule, "then": {"effect": effect}}}}));
    world
}

fn judged(world: &World) -> (Status, String) {
    let mut found = None;
    world.check(|report, _| {
        let one = report.findings.iter().find(|finding| finding.requirement.id == "policy.assignments");
        found = one.map(|finding| (finding.status(), finding.outcome.detail.clone()));
    });
    found.expect("it is asked")
}

#[test]
fn built_in_definitions_are_judged_by_what_they_ask() {
    let effect = |effect: &str| json!({"effect": {"value": effect}});
    let mut all_types: Vec<_> = [
        "Storage/storageAccounts",
        "ContainerInstance/containerGroups",
        "Compute/virtualMachines",
        "Network/networkInterfaces",
        "Compute/disks",
        "Compute/snapshots",
        "VirtualMachineImages/imageTemplates",
        "Compute/galleries/images/versions",
    ]
    .iter()
    .map(|kind| format!("microsoft.{kind}"))
    .collect();
    let types = |all: &[String]| json!({"listOfResourceTypesAllowed": {"value": all}});
    let places = |place: &str| json!({"listOfAllowedLocations": {"value": [place]}});
    for (what, id, parameters, expected) in [
        ("denied", PUBLIC_NETWORK, effect("Deny"), Fail),
        ("audited", PUBLIC_NETWORK, effect("Audit"), Pass),
        ("by default audited", PUBLIC_NETWORK, json!({}), Pass),
        ("disabled", SHARED_KEYS, effect("Disabled"), Pass),
        ("shared keys", SHARED_KEYS, effect("deny"), Fail),
        ("all types", ALLOWED_TYPES, types(&all_types), Pass),
        ("no types told", ALLOWED_TYPES, json!({}), Undecided),
        ("this region", ALLOWED_LOCATIONS, places("East US 2"), Pass),
        ("another region", ALLOWED_LOCATIONS, places("westeurope"), Fail),
        ("no network is made", DDOS, json!({}), Pass),
        ("not known", "00000000-0000-0000-0000-000000000000", effect("Deny"), Undecided),
        ("not known, and harmless", "00000000-0000-0000-0000-000000000000", effect("Audit"), Pass),
    ] {
        assert_eq!(judged(&built_in(id, &parameters)).0, expected, "{what}");
    }
    all_types.retain(|kind| !kind.contains("containergroups") && !kind.contains("containerGroups"));
    let (status, detail) = judged(&built_in(ALLOWED_TYPES, &types(&all_types)));
    assert_eq!(
        (status, detail.as_str()),
        (Fail, "'Corporate' (Allowed resource types): refuses the container group")
    );
}

#[test]
fn a_tag_that_groups_must_have_is_set_by_the_template() {
    let asks = || built_in(GROUP_TAG, &json!({"tagName": {"value": "CostCentre"}}));
    let (status, detail) = judged(&asks());
    assert_eq!((status, detail.contains("refuses the staging resource group")), (Fail, true), "{detail}");
    let remedy = |world: &World| {
        let mut found = None;
        world.check(|report, _| {
            let one = report.findings.iter().find(|finding| finding.requirement.id == "policy.assignments");
            found =
                one.and_then(|finding| finding.outcome.repair.as_ref()).map(|repair| repair.summary.clone());
        });
        found.expect("a remedy")
    };
    assert!(remedy(&asks()).contains("managedResourceTags"));
    let storage = built_in(PUBLIC_NETWORK, &json!({"effect": {"value": "Deny"}}));
    assert!(!remedy(&storage).contains("managedResourceTags"));
    let mut tagged = asks();
    tagged.template["properties"]["managedResourceTags"] = json!({"costcentre": "17"});
    assert_eq!(judged(&tagged).0, Pass);
    // A group that is there already is not made.
    let mut brought = asks();
    brought.template["properties"]["stagingResourceGroup"] = json!(group(STAGING));
    assert_eq!(judged(&brought).0, Pass);
}

#[test]
fn assignments_reach_what_is_inside_of_their_scope_and_not_exempt() {
    let deny = || built_in(PUBLIC_NETWORK, &json!({"effect": {"value": "Deny"}}));
    let with = |alter: &dyn Fn(&mut World)| {
        let mut world = deny();
        world.template["properties"]["stagingResourceGroup"] = json!(group(STAGING));
        alter(&mut world);
        judged(&world).0
    };
    let set = |field: &'static str, value: Value| {
        move |world: &mut World| world.resource("policyAssignments/own")["properties"][field] = value.clone()
    };
    let exempt = |scope: String| {
        move |world: &mut World| {
            let id = format!("{scope}/providers/Microsoft.Authorization/policyExemptions/one");
            let properties = json!({"policyAssignmentId": assignment_id(), "exemptionCategory": "Waiver"});
            world.resources.push(json!({"id": id, "properties": properties}));
        }
    };
    assert_eq!(with(&|_| {}), Fail);
    assert_eq!(with(&set("enforcementMode", json!("DoNotEnforce"))), Pass);
    assert_eq!(with(&set("overrides", json!([{"kind": "policyEffect", "value": "Audit"}]))), Undecided);
    assert_eq!(with(&set("notScopes", json!([group(STAGING)]))), Pass);
    assert_eq!(with(&set("notScopes", json!([group("rg-other")]))), Fail);
    assert_eq!(with(&set("scope", json!(group("rg-other")))), Pass);
    assert_eq!(with(&set("scope", json!(group(STAGING)))), Fail);
    assert_eq!(with(&exempt(group(STAGING))), Pass);
    assert_eq!(with(&exempt(group("rg-other"))), Fail);
    // A group that the service is yet to make is in no exemption but the subscription's.
    let mut made = deny();
    exempt(group(STAGING))(&mut made);
    assert_eq!(judged(&made).0, Fail);
    exempt(subscription())(&mut made);
    assert_eq!(judged(&made).0, Pass);
}

#[test]
fn definitions_of_ones_own_are_judged_by_their_rules() {
    let storage = json!({"field": "type", "equals": "Microsoft.Storage/storageAccounts"});
    let alias = |name: &str, operator: &str, value: Value| {
        let condition =
            json!({"field": format!("Microsoft.Storage/storageAccounts/{name}"), operator: value});
        json!({"allOf": [storage, condition]})
    };
    for (what, rule, effect, expected) in [
        ("a firewall", alias("networkAcls.defaultAction", "notEquals", json!("Deny")), "deny", Fail),
        (
            "a firewall, audited",
            alias("networkAcls.defaultAction", "notEquals", json!("Deny")),
            "audit",
            Pass,
        ),
        ("what nobody tells", alias("minimumTlsVersion", "less", json!("1.2")), "deny", Undecided),
        (
            "what differs between what it may be",
            alias("publicNetworkAccess", "exists", json!(true)),
            "deny",
            Undecided,
        ),
        ("what is not made", json!({"field": "type", "like": "Microsoft.Sql/*"}), "deny", Pass),
        (
            "either",
            json!({"anyOf": [{"field": "type", "in": ["a", "microsoft.compute/disks"]}, {"count": {}}]}),
            "deny",
            Fail,
        ),
        ("not", json!({"not": {"field": "location", "equals": "East US 2"}}), "deny", Pass),
        ("altered", storage.clone(), "modify", Warn),
        ("company", storage.clone(), "deployIfNotExists", Warn),
        ("an effect that is not known", storage.clone(), "[parameters('effect')]", Undecided),
        ("an expression", json!({"value": "[resourceGroup().name]", "like": "IT_*"}), "deny", Undecided),
    ] {
        let (status, detail) = judged(&custom(&rule, effect, "All"));
        assert_eq!(status, expected, "{what}: {detail}");
    }
    let every = json!({"field": "tags['x']", "exists": "false"});
    assert!(judged(&custom(&every, "deny", "All")).1.contains("the staging resource group, "));
    assert!(!judged(&custom(&every, "deny", "Indexed")).1.contains("the staging resource group"));
    assert_eq!(judged(&custom(&every, "deny", "Microsoft.Kubernetes.Data")).0, Pass);
}

#[test]
fn a_set_hands_its_parameters_to_its_members() {
    let set = "/providers/Microsoft.Authorization/policySetDefinitions/own";
    let of = |effect: &str| {
        let mut world = world(set, &json!({"storage": {"value": effect}}));
        world.resources.push(json!({"id": set, "properties": {"displayName": "Baseline",
            "parameters": {"storage": {"defaultValue": "Audit"}},
            "policyDefinitions": [
                {"policyDefinitionId": format!("{BUILT_IN}/{PUBLIC_NETWORK}"), "policyDefinitionReferenceId": "public",
                    "parameters": {"effect": {"value": "[parameters('storage')]"}}},
                {"policyDefinitionId": format!("{BUILT_IN}/{SHARED_KEYS}"), "policyDefinitionReferenceId": "keys"}]}}));
        world
    };
    assert_eq!(judged(&of("Audit")).0, Pass);
    let mut denying = of("Deny");
    let (status, detail) = judged(&denying);
    let expected = "'Corporate' (Baseline): 'Storage accounts should disable public network access': refuses the staging storage account";
    assert_eq!((status, detail.as_str()), (Fail, expected));
    let id = format!("{}/providers/Microsoft.Authorization/policyExemptions/one", subscription());
    let only = |member: &str| json!({"policyAssignmentId": assignment_id(), "policyDefinitionReferenceIds": [member]});
    denying.resources.push(json!({"id": id, "properties": only("keys")}));
    assert_eq!(judged(&denying).0, Fail);
    denying.resource("policyExemptions/one")["properties"] = only("public");
    assert_eq!(judged(&denying).0, Pass);
}

#[test]
fn a_windows_build_has_a_key_vault_and_a_private_link_one_a_network() {
    let vault = || built_in("405c5871-3e91-4644-8a63-58e19d68ff5b", &json!({"effect": {"value": "Deny"}}));
    assert_eq!(judged(&vault()).0, Pass);
    let mut windows = vault();
    windows.template["properties"]["source"] = json!({"type": "PlatformImage", "publisher": "MicrosoftWindowsServer",
        "offer": "WindowsServer", "sku": "2022-datacenter-g2", "version": "latest"});
    windows.template["properties"]["customize"] =
        json!([{"type": "PowerShell", "name": "nothing", "inline": ["exit 0"]}]);
    windows.check(|_, subject| assert_eq!(subject.os, Os::Windows));
    assert_eq!(judged(&windows).0, Fail);
    let mut linked = World::private_link();
    linked.resource("/tags")["id"] = json!(assignment_id());
    linked.resource("policyAssignments/own")["properties"] =
        json!({"policyDefinitionId": format!("{BUILT_IN}/{DDOS}")});
    let (status, detail) = judged(&linked);
    assert_eq!(status, Warn, "{detail}");
    assert!(
        detail.contains(
            "sets `enableDdosProtection`, `ddosProtectionPlan.id` of the temporary virtual network"
        ),
        "{detail}"
    );
}
