//! What a build needs granted and registered, as data: who deploys makes it from what `check` asks for.

use access::{Action, Scope};
use arm::ResourceId;
use image_template::ImageTemplate;

use super::grant::{IDENTITY_OPERATOR, Permissions, assignable, own_name};
use super::identity::{
    GIVE_IDENTITY, JOIN_NETWORK, READ_BLOB, STAGING, WRITE_GALLERY, WRITE_IMAGE, accounts, gallery_scopes,
    image_scopes, source_scope, staging_scopes, vm_identity_scopes,
};

const NETWORK_CONTRIBUTOR: &str = "4d97b98b-1d4f-4787-a291-c67834d212e7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const GALLERY_PUBLISHER: &str = "85a2d0d9-2eba-4c9c-b355-11c2cc0788ab";
const BLOB_READER: &str = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";

/// A role that the template's identity needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityGrant {
    /// What it is for, in a word or two.
    pub purpose: &'static str,
    /// Exactly what is needed.
    pub actions: &'static [Action<'static>],
    /// GUID of the built-in role that Microsoft asks for itself, where there is one.
    pub role: Option<&'static str>,
    /// GUID of a built-in role that grants it, for whoever may not define roles; it grants more.
    pub built_in: &'static str,
    /// Where it is assigned.
    pub at: GrantPlace,
}

/// Where a role is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantPlace {
    /// At a resource or resource group, by its id.
    Scope(String),
    /// At a storage account, of which a template says the name alone.
    StorageAccount(String),
}

impl IdentityGrant {
    /// The name of a role for this alone at a scope, and the scope that it can be assigned in: Azure takes resource groups
    /// and subscriptions.
    pub fn own_role(&self, scope: &str) -> (String, String) {
        let scope = Scope::new(scope);
        (own_name(self.purpose, &scope), assignable(&scope))
    }
}

/// Every role that the template's identity needs, each at the narrowest scope that Azure has for it (`check` asks for the
/// same as `access.identity.*`).
pub fn identity_grants(template: &ImageTemplate) -> Vec<IdentityGrant> {
    let mut all = Vec::new();
    let mut add = |what: Permissions, built_in: &'static str, at: GrantPlace| {
        let Permissions { name, actions, role } = what;
        let grant = IdentityGrant { purpose: name, actions, role, built_in, at };
        if !all.contains(&grant) {
            all.push(grant);
        }
    };
    if let Some(network) = &template.vm_profile.vnet_config {
        for subnet in std::iter::once(&network.subnet_id).chain(&network.container_instance_subnet_id) {
            let around = ResourceId::parse(subnet.as_str()).ok().and_then(|id| id.parent());
            let scope = around.map_or_else(|| subnet.as_str().to_owned(), |id| id.to_string());
            add(JOIN_NETWORK, NETWORK_CONTRIBUTOR, GrantPlace::Scope(scope));
        }
    }
    let lists = [
        (WRITE_IMAGE, CONTRIBUTOR, image_scopes(template)),
        (WRITE_GALLERY, GALLERY_PUBLISHER, gallery_scopes(template)),
        (GIVE_IDENTITY, IDENTITY_OPERATOR, vm_identity_scopes(template)),
        (STAGING, CONTRIBUTOR, staging_scopes(template)),
    ];
    for (what, built_in, scopes) in lists {
        for scope in scopes {
            add(what, built_in, GrantPlace::Scope(scope));
        }
    }
    if let Some((what, scope)) = source_scope(template) {
        add(what, READER, GrantPlace::Scope(scope));
    }
    for account in accounts(template) {
        add(READ_BLOB, BLOB_READER, GrantPlace::StorageAccount(account));
    }
    all
}

#[cfg(test)]
mod tests {
    use access::{Action, Pattern, Told, builtin_roles};

    use super::super::identity::{READ_GALLERY, READ_IMAGE};
    use super::*;

    #[test]
    fn what_stands_in_for_a_role_of_its_own_grants_all_of_it() {
        let known = builtin_roles();
        let all = [
            (JOIN_NETWORK, NETWORK_CONTRIBUTOR),
            (WRITE_IMAGE, CONTRIBUTOR),
            (READ_IMAGE, READER),
            (WRITE_GALLERY, GALLERY_PUBLISHER),
            (READ_GALLERY, READER),
            (READ_BLOB, BLOB_READER),
            (GIVE_IDENTITY, IDENTITY_OPERATOR),
            (STAGING, CONTRIBUTOR),
        ];
        for (what, built_in) in all {
            let role = known.iter().find(|role| role.id == built_in).expect(what.name);
            let Told::Known(permissions) = &role.permissions else { panic!("{}", role.name) };
            for action in what.actions {
                let granted = permissions.iter().any(|permission| {
                    let (yes, no) = match action {
                        Action::Control(_) => (&permission.actions, &permission.not_actions),
                        Action::Data(_) => (&permission.data_actions, &permission.not_data_actions),
                    };
                    let any = |all: &[Pattern]| all.iter().any(|pattern| pattern.matches(action.name()));
                    any(yes) && !any(no)
                });
                assert!(granted, "{} does not grant {action} for {}", role.name, what.name);
            }
        }
    }
}
