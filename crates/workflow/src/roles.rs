//! Roles of the template's identity: definitions with exactly what is needed, and assignments at the narrowest scope.

use std::collections::BTreeMap;

use access::Action;
use preflight::{GrantPlace, IdentityGrant};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::design::Design;
use azure::resources::version;

const DEFINITIONS: &str = "Microsoft.Authorization/roleDefinitions";
const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";

/// A role to be assigned to the template's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDesign {
    /// What it is for, in a word or two.
    pub purpose: &'static str,
    /// Where it is assigned.
    pub at: GrantPlace,
    /// Which role.
    pub role: RoleChoice,
}

/// A role, by how it comes to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleChoice {
    /// One that Azure brings, by its GUID.
    BuiltIn(&'static str),
    /// One of its own.
    Own(RoleDefinition),
}

/// A role definition, as Azure takes it (role definitions, 2022-04-01).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleDefinition {
    /// Its GUID, which follows from its name and scope: the same role is the same resource on every day.
    pub name: String,
    /// What it says.
    pub properties: RoleProperties,
}

/// What a role definition says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleProperties {
    /// What people know it by.
    pub role_name: String,
    /// What it is for.
    pub description: String,
    /// `CustomRole`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it grants; one entry.
    pub permissions: Vec<RolePermission>,
    /// The resource groups that it can be assigned in.
    pub assignable_scopes: Vec<String>,
}

/// What a role grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolePermission {
    /// Operations on resources.
    pub actions: Vec<String>,
    /// None is taken out.
    pub not_actions: Vec<String>,
    /// Operations on data.
    pub data_actions: Vec<String>,
    /// None is taken out.
    pub not_data_actions: Vec<String>,
}

impl RoleDefinition {
    fn of(grant: &IdentityGrant, scope: &str) -> Self {
        let (role_name, within) = grant.own_role(scope);
        let of = |data: bool| {
            let own = grant.actions.iter().filter(move |action| matches!(action, Action::Data(_)) == data);
            own.map(|action| action.name().to_owned()).collect()
        };
        let permission = RolePermission {
            actions: of(false),
            not_actions: Vec::new(),
            data_actions: of(true),
            not_data_actions: Vec::new(),
        };
        Self {
            name: guid(&[&within, &role_name]),
            properties: RoleProperties {
                role_name,
                description: "What a build with Azure Image Builder needs here, and nothing else.".to_owned(),
                kind: "CustomRole",
                permissions: vec![permission],
                assignable_scopes: vec![within],
            },
        }
    }

    /// Its resource id, at the scope that it can be assigned in.
    pub fn id(&self) -> String {
        let scope = self.properties.assignable_scopes.first().map(String::as_str).unwrap_or_default();
        format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{}", self.name)
    }
}

impl Design {
    /// The roles that the identity needs for this template, each once.
    pub fn roles(&self) -> Vec<RoleDesign> {
        let grants = preflight::identity_grants(&self.template).into_iter();
        let roles = grants.map(|grant| {
            let role = match (&grant.at, grant.role) {
                _ if self.built_in_roles => RoleChoice::BuiltIn(grant.built_in),
                // The one that Microsoft names for the purpose is no broader than one of its own would be.
                (_, Some(role)) => RoleChoice::BuiltIn(role),
                (GrantPlace::Scope(scope), None) => RoleChoice::Own(RoleDefinition::of(&grant, scope)),
                (GrantPlace::StorageAccount(_), None) => RoleChoice::BuiltIn(grant.built_in),
            };
            RoleDesign { purpose: grant.purpose, at: grant.at, role }
        });
        roles.collect()
    }
}

impl Design {
    /// The same roles as an ARM template for the subscription: for whoever gives them before others deploy. Each group's are
    /// in a deployment of its own, since a role that can be assigned in a group alone is defined there.
    pub fn roles_template(&self) -> String {
        let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for role in self.roles() {
            let GrantPlace::Scope(scope) = &role.at else { continue };
            let group = scope.split("/providers/").next().unwrap_or(scope).to_owned();
            let (guid, defined) = match &role.role {
                RoleChoice::BuiltIn(id) => ((*id).to_owned(), None),
                RoleChoice::Own(own) => (own.name.clone(), Some(own)),
            };
            let resources = groups.entry(group).or_default();
            let definition = format!("[subscriptionResourceId('{DEFINITIONS}', '{guid}')]");
            let mut assignment = json!({
                "type": ASSIGNMENTS, "apiVersion": version::AUTHORIZATION,
                "name": format!("[guid('{scope}', '{}', '{guid}')]", self.identity),
                "properties": {
                    "roleDefinitionId": definition,
                    "principalId": format!("[reference('{}', '{}').principalId]", self.identity, version::IDENTITIES),
                    "principalType": "ServicePrincipal",
                },
            });
            if let Some((_, inside)) = scope.split_once("/providers/") {
                assignment["scope"] = inside.into();
            }
            if let Some(own) = defined {
                let known = resources.iter().any(|one| one["name"] == own.name);
                if !known {
                    resources.push(json!({
                        "type": DEFINITIONS, "apiVersion": version::AUTHORIZATION, "name": own.name,
                        "properties": own.properties,
                    }));
                }
                assignment["dependsOn"] = json!([format!("[resourceId('{DEFINITIONS}', '{guid}')]")]);
            }
            resources.push(assignment);
        }
        let deployments = groups.into_iter().map(|(group, resources)| nested(&group, &resources));
        let template = template("subscriptionDeploymentTemplate", &deployments.collect::<Vec<_>>());
        // A tree of texts always has a text.
        serde_json::to_string_pretty(&template).unwrap_or_default() + "\n"
    }
}

fn template(schema: &str, resources: &[Value]) -> Value {
    let date = if schema.starts_with("sub") { "2018-05-01" } else { "2019-04-01" };
    json!({
        "$schema": format!("https://schema.management.azure.com/schemas/{date}/{schema}.json#"),
        "contentVersion": "1.0.0.0",
        "resources": resources,
    })
}

fn nested(group: &str, resources: &[Value]) -> Value {
    let name = group.rsplit('/').next().unwrap_or(group);
    json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": version::DEPLOYMENTS,
        "name": format!("aks-jumpbox-roles-{name}"), "resourceGroup": name,
        "properties": {
            "mode": "Incremental", "expressionEvaluationOptions": { "scope": "inner" },
            "template": template("deploymentTemplate", resources),
        },
    })
}

/// A GUID that follows from texts, ignoring case.
pub(crate) fn guid(parts: &[&str]) -> String {
    let text = parts.join("|").to_ascii_lowercase();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}
