//! Documents of access, and what they let whom do.

use access::{Access, Action, Answer, Scope, Told};
use arm::Environment;
use document::SourceText;

const JOIN: Action<'static> = Action::Control("Microsoft.Network/virtualNetworks/subnets/join/action");
const READ_BLOB: Action<'static> =
    Action::Data("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read");
const IMAGE: Action<'static> = Action::Control("Microsoft.Compute/images/write");
const NETWORK: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet";
const BUILDER: &str = "11111111-1111-1111-1111-111111111111";
const NETWORK_CONTRIBUTOR: &str = "4d97b98b-1d4f-4787-a291-c67834d212e7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

fn access(resources: &[String]) -> Access {
    let text = format!("[{}]", resources.join(", "));
    let mut environment = Environment::read(SourceText::new("access.json", text));
    let inventory =
        environment.open(|path| Err(format!("nothing names {path}"))).expect("one document needs no other");
    let findings: Vec<_> = inventory.findings().iter().map(|finding| &finding.message).collect();
    assert!(findings.is_empty(), "{findings:?}");
    Access::read(&inventory)
}

/// An assignment in the form of `az role assignment list`.
fn assignment(role: &str, scope: &str, more: &str) -> String {
    assignment_to(BUILDER, role, scope, more)
}

fn assignment_to(principal: &str, role: &str, scope: &str, more: &str) -> String {
    format!(
        r#"{{"id": "{scope}/providers/Microsoft.Authorization/roleAssignments/a{role}", "name": "a{role}",
            "type": "Microsoft.Authorization/roleAssignments", "principalId": "{principal}", "scope": "{scope}",
            "roleDefinitionId": "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/{role}"{more}}}"#
    )
}

/// A role definition as a resource, with `properties`.
fn role(name: &str, permission: &str) -> String {
    format!(
        r#"{{"id": "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/{name}", "name": "{name}",
            "type": "Microsoft.Authorization/roleDefinitions", "properties": {{"roleName": "{name} role",
            "permissions": [{permission}], "assignableScopes": ["/subscriptions/s"]}}}}"#
    )
}

fn known(id: &str) -> Told<String> {
    Told::Known(id.to_owned())
}

fn may<'a>(access: &'a Access, action: Action<'_>) -> Answer<'a> {
    access.may(&known(BUILDER), action, &Scope::new(NETWORK))
}

#[test]
fn an_inherited_assignment_grants_and_is_named() {
    let own = access(&[assignment(NETWORK_CONTRIBUTOR, "/subscriptions/S/resourcegroups/RG", "")]);
    let Answer::Granted { by, role } = may(&own, JOIN) else { panic!("{:?}", may(&own, JOIN)) };
    assert_eq!(role.name, "Network Contributor");
    assert!(by.label.contains(NETWORK_CONTRIBUTOR));
    assert_eq!(may(&own, IMAGE), Answer::Missing);
    assert_eq!(own.may(&known("2"), JOIN, &Scope::new(NETWORK)), Answer::Missing);
    assert_eq!(own.may(&known(BUILDER), JOIN, &Scope::new("/subscriptions/s")), Answer::Missing);
}

#[test]
fn what_a_role_takes_out_another_one_may_still_grant() {
    let take_out = role("most", r#"{"actions": ["*"], "notActions": ["*/subnets/join/action"]}"#);
    let alone = access(&[take_out.clone(), assignment("most", NETWORK, "")]);
    assert_eq!(may(&alone, JOIN), Answer::Missing);
    assert!(matches!(may(&alone, IMAGE), Answer::Granted { .. }));
    let both =
        access(&[take_out, assignment("most", NETWORK, ""), assignment(NETWORK_CONTRIBUTOR, NETWORK, "")]);
    assert!(matches!(may(&both, JOIN), Answer::Granted { role, .. } if role.id == NETWORK_CONTRIBUTOR));
}

#[test]
fn an_identity_that_is_yet_to_be_made_is_itself() {
    let identity =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id";
    let identity = arm::ResourceId::parse(identity).expect("an id");
    let own = access(&[assignment_to(&"x".repeat(36), CONTRIBUTOR, NETWORK, "")]);
    let yet = Told::Unknown(arm::added_at_run_time(&identity, "principalId"));
    let Answer::Undecided { because } = own.may(&yet, JOIN, &Scope::new(NETWORK)) else { panic!("decided") };
    assert!(because[0].contains("principalId"), "{because:?}");
}

#[test]
fn operations_on_data_are_their_own() {
    let own = access(&[assignment(CONTRIBUTOR, NETWORK, "")]);
    assert_eq!(may(&own, READ_BLOB), Answer::Missing);
    let reader = access(&[assignment("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", NETWORK, "")]);
    assert!(matches!(may(&reader, READ_BLOB), Answer::Granted { .. }));
}

#[test]
fn what_is_open_never_grants_and_says_what_would_decide_it() {
    let group = r#", "principalType": "Group""#;
    let condition = r#", "condition": "@Resource[...]""#;
    let management = "/providers/Microsoft.Management/managementGroups/corp";
    for (resource, expected) in [
        (assignment_to("9", CONTRIBUTOR, NETWORK, group), "member of the group 9"),
        (assignment(CONTRIBUTOR, NETWORK, condition), "condition"),
        (assignment(CONTRIBUTOR, management, ""), "is inside"),
        (assignment("5555", NETWORK, ""), "no document defines the role 5555"),
        (
            assignment_to("[reference('id').principalId]", CONTRIBUTOR, NETWORK, ""),
            "its principal is the expression",
        ),
    ] {
        let own = access(&[resource]);
        let Answer::Undecided { because } = may(&own, JOIN) else { panic!("{:?}", may(&own, JOIN)) };
        assert!(because[0].contains(expected), "{because:?}");
    }
    // Whatever is open about it, a role without the operation does not matter.
    let reader = access(&[assignment_to("9", "acdd72a7-3385-48ef-bd42-f606fba81ae7", NETWORK, group)]);
    assert_eq!(may(&reader, JOIN), Answer::Missing);
}

fn denial(permission: &str, more: &str) -> String {
    format!(
        r#"{{"id": "/subscriptions/s/providers/Microsoft.Authorization/denyAssignments/d", "name": "d",
            "type": "Microsoft.Authorization/denyAssignments", "properties": {{"permissions": [{permission}],
            "scope": "/subscriptions/s/resourceGroups/rg"{more}}}}}"#
    )
}

#[test]
fn a_deny_assignment_wins_except_for_whom_it_leaves_out() {
    let everyone =
        r#", "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}]"#;
    let all = r#"{"actions": ["Microsoft.Network/*"]}"#;
    let granted = assignment(CONTRIBUTOR, NETWORK, "");
    let denied = access(&[granted.clone(), denial(all, everyone)]);
    assert!(matches!(may(&denied, JOIN), Answer::Denied { by } if by.label.ends_with(" d")));
    assert!(matches!(may(&denied, IMAGE), Answer::Granted { .. }));
    for left_out in [
        format!(r#"{everyone}, "excludePrincipals": [{{"id": "{BUILDER}", "type": "ServicePrincipal"}}]"#),
        format!(r#"{everyone}, "doNotApplyToChildScopes": true"#),
    ] {
        let own = access(&[granted.clone(), denial(all, &left_out)]);
        assert!(matches!(may(&own, JOIN), Answer::Granted { .. }), "{left_out}");
    }
    let group = r#", "principals": [{"id": "9", "type": "Group"}]"#;
    let open = access(&[granted, denial(all, group)]);
    assert!(matches!(may(&open, JOIN), Answer::Undecided { because } if because[0].contains("the group 9")));
}

#[test]
fn an_identity_is_assigned_by_either_name_of_the_operation() {
    const ASSIGN: Action<'static> =
        Action::Control("Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action");
    for spelt in ["userAssignedIdentities/*/assign/action", "userAssignedIdentities/assign/action"] {
        let own = access(&[role("own", &format!(r#"{{"actions": ["Microsoft.ManagedIdentity/{spelt}"]}}"#))]);
        assert_eq!(own.role("own").expect("the role").grants(ASSIGN), Told::Known(true), "{spelt}");
    }
}

#[test]
fn the_least_role_of_ones_own_grants_all_and_can_be_assigned_there() {
    let read = Action::Control("Microsoft.Network/virtualNetworks/read");
    let join = "Microsoft.Network/virtualNetworks/subnets/join/action";
    let own = access(&[
        role("narrow", &format!(r#"{{"actions": ["Microsoft.Network/virtualNetworks/read", "{join}"]}}"#)),
        role("narrower", r#"{"actions": ["Microsoft.Network/virtualNetworks/read"]}"#),
        role("broad", r#"{"actions": ["Microsoft.Network/*"]}"#),
    ]);
    let least = |actions: &[Action<'_>], scope: &str| {
        own.own_role(actions, &Scope::new(scope)).map(|role| role.name.clone())
    };
    assert_eq!(least(&[read, JOIN], NETWORK).as_deref(), Some("narrow role"));
    assert_eq!(least(&[read], NETWORK).as_deref(), Some("narrower role"));
    assert_eq!(least(&[read, JOIN], "/subscriptions/other"), None);
    assert_eq!(least(&[READ_BLOB], NETWORK), None, "a role of Azure is nobody's own");
    assert_eq!(least(&[Action::Control("Microsoft.Network/loadBalancers/write")], NETWORK), None);
}
