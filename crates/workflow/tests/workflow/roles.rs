//! Roles: exactly what a build needs, where it needs it.

use preflight::GrantPlace;
use workflow::RoleChoice;

use crate::world::World;

#[test]
fn an_identity_gets_what_its_template_needs_and_nothing_else() {
    let world = World::new();
    for (isolated, target) in [(true, "Microsoft.Compute/galleries/"), (false, "Microsoft.Compute/images/")] {
        let mut design = world.design(isolated);
        let roles = design.roles();
        assert_eq!(roles.len(), 2, "one for the network, one for the target: {roles:?}");
        for role in &roles {
            let RoleChoice::Own(own) = &role.role else { panic!("{role:?}") };
            let permission = &own.properties.permissions[0];
            let kind = if role.purpose == "network" { "Microsoft.Network/virtualNetworks/" } else { target };
            assert!(
                permission.actions.iter().all(|action| action.starts_with(kind) && !action.contains('*')),
                "{own:?}"
            );
            assert!(permission.data_actions.is_empty(), "{own:?}");
            let GrantPlace::Scope(scope) = &role.at else { panic!("{role:?}") };
            assert!(scope.starts_with(&own.properties.assignable_scopes[0]), "{scope}");
            assert!(
                own.properties.assignable_scopes[0].contains("/resourceGroups/"),
                "no wider than a group"
            );
        }
        design.built_in_roles = true;
        assert!(design.roles().iter().all(|role| matches!(role.role, RoleChoice::BuiltIn(_))));
        assert!(!design.roles_template().contains("customRole"));
    }
}
