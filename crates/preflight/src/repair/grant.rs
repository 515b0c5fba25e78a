//! Roles: assignments at the narrowest scope, of a role that Azure brings for the purpose, else of one that is defined
//! with exactly what is needed.

use access::Action;
use arm::ResourceId;
use serde_json::{Value, json};

use super::deployments::{Deployments, Target};
use super::{Change, is_placed, quoted};

const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";
const DEFINITIONS: &str = "Microsoft.Authorization/roleDefinitions";
const API_VERSION: &str = "2022-04-01";
const IDENTITY_API_VERSION: &str = "2023-01-31";

/// A role for somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub(crate) to: Grantee,
    pub(crate) role: GrantedRole,
    /// Id of the resource, resource group or subscription it is assigned at.
    pub(crate) scope: String,
}

/// Who gets it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Grantee {
    /// An identity; its object id where that is known, else Azure tells it when the template is deployed.
    Identity(ResourceId, Option<String>),
    /// Somebody by the object id: a person, a group or an application.
    Anybody(String),
}

/// Which role.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GrantedRole {
    /// One that is there, by the last part of its id.
    There(String),
    /// One of its own, by its name and what it allows.
    Own(String, Vec<Action<'static>>),
}

pub(super) fn write(changes: &[Change], to: &mut Deployments) -> Result<(), String> {
    for change in changes {
        if let Change::Grant(grant) = change {
            grant.write(to)?;
        }
    }
    Ok(())
}

impl Grant {
    fn write(&self, to: &mut Deployments) -> Result<(), String> {
        let scope = ResourceId::parse(&self.scope).map_err(|error| format!("{}: {error}", self.scope))?;
        if !is_placed(&scope) || scope.subscription().is_none() {
            return Err(format!("the scope {scope} is not known whole"));
        }
        let target = Target::of(&scope);
        let (role, named) = match &self.role {
            GrantedRole::There(id) => (quoted(id), id),
            GrantedRole::Own(name, actions) => {
                let within = self.assignable(&scope);
                let id = format!("guid({}, {})", quoted(&within), quoted(name));
                to.add(target.subscription(), definition(&id, name, actions, &within));
                (id, name)
            }
        };
        let (principal, whom) = match &self.to {
            Grantee::Anybody(id) | Grantee::Identity(_, Some(id)) => (id.clone(), id.clone()),
            Grantee::Identity(id, None) if is_placed(id) && !id.as_str().contains(['*', '{']) => {
                let told = format!("reference({}, {})", quoted(id.as_str()), quoted(IDENTITY_API_VERSION));
                (format!("[{told}.principalId]"), id.to_string())
            }
            Grantee::Identity(id, None) => return Err(format!("the identity {id} is not known whole")),
        };
        let role = format!("[subscriptionResourceId({}, {role})]", quoted(DEFINITIONS));
        let mut properties = json!({
            "roleDefinitionId": role,
            "principalId": principal,
        });
        if matches!(self.to, Grantee::Identity(..)) {
            properties["principalType"] = json!("ServicePrincipal");
        }
        let name = [&self.scope, &whom, named].map(|part| quoted(part)).join(", ");
        let mut assignment =
            json!({ "type": ASSIGNMENTS, "apiVersion": API_VERSION, "name": format!("[guid({name})]") });
        if let Some(resource_type) = scope.resource_type() {
            assignment["scope"] = json!(relative(&resource_type, &scope));
        }
        if target.is_subscription() && matches!(self.role, GrantedRole::Own(..)) {
            assignment["dependsOn"] = json!([role]);
        }
        assignment["properties"] = properties;
        to.add(target, assignment);
        Ok(())
    }

    /// Where a role of its own can be assigned: Azure takes resource groups, and no resources.
    fn assignable(&self, scope: &ResourceId) -> String {
        let is_group = |id: &ResourceId| id.resource_type().is_none();
        let mut around = std::iter::successors(Some(scope.clone()), ResourceId::parent);
        around.find(is_group).map_or_else(|| self.scope.clone(), |id| id.to_string())
    }
}

/// `Microsoft.Network/virtualNetworks/name`, as the scope of what extends a resource is written.
fn relative(resource_type: &str, id: &ResourceId) -> String {
    let mut types = resource_type.split('/');
    let provider = types.next().unwrap_or_default().to_owned();
    types.zip(id.names()).fold(provider, |path, (kind, name)| format!("{path}/{kind}/{name}"))
}

fn definition(id: &str, name: &str, actions: &[Action<'_>], scope: &str) -> Value {
    let of = |data: bool| {
        let own = actions.iter().filter(move |action| matches!(action, Action::Data(_)) == data);
        own.map(|action| action.name()).collect::<Vec<_>>()
    };
    json!({
        "type": DEFINITIONS,
        "apiVersion": API_VERSION,
        "name": format!("[{id}]"),
        "properties": {
            "roleName": name,
            "description": "What a build with Azure Image Builder needs here, and nothing else.",
            "type": "customRole",
            "permissions": [{ "actions": of(false), "notActions": [], "dataActions": of(true), "notDataActions": [] }],
            "assignableScopes": [scope],
        },
    })
}
