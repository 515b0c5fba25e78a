//! Access as the resources of an inventory tell it.

use arm::{Inventory, Resource, field};
use document::{Kind, Value};

use crate::role::Denied;
use crate::{Access, Assignment, Denial, Pattern, Permission, Role, Scope, Told, builtin_roles};

/// Everybody, as a deny assignment writes it.
const EVERYONE: &str = "00000000-0000-0000-0000-000000000000";

impl Access {
    /// What the documents of an inventory tell, beside the built-in roles.
    pub fn read(inventory: &Inventory) -> Self {
        let own = inventory.of_type("Microsoft.Authorization/roleDefinitions").map(role);
        Self {
            roles: builtin_roles().into_iter().chain(own).map(|role| (role.id.clone(), role)).collect(),
            assignments: inventory
                .of_type("Microsoft.Authorization/roleAssignments")
                .map(assignment)
                .collect(),
            denials: inventory.of_type("Microsoft.Authorization/denyAssignments").map(denial).collect(),
        }
    }
}

/// The text of a field, or why there is none.
fn text(value: &Value, name: &str) -> Told<String> {
    match field(value, name) {
        None => Told::Unknown(format!("not told: there is no `{name}`")),
        Some(found) => match &found.kind {
            Kind::String(text) => Told::Known(text.clone()),
            Kind::Unknown(because) => Told::Unknown(because.clone()),
            _ => Told::Unknown(format!("`{name}`, which is {}", found.describe())),
        },
    }
}

fn last_part(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_ascii_lowercase()
}

fn role(resource: &Resource) -> Role {
    let value = &resource.value;
    let name = match (text(value, "roleName"), text(value, "name")) {
        (Told::Known(name), _) | (_, Told::Known(name)) => name,
        _ => resource.id.name().to_owned(),
    };
    Role {
        id: last_part(resource.id.as_str()),
        name,
        permissions: permissions(value, resource.doubt.as_ref()),
        assignable_scopes: strings(value, "assignableScopes").iter().map(|text| Scope::new(text)).collect(),
        built_in: text(value, "roleType") == Told::Known("BuiltInRole".to_owned()),
    }
}

fn strings(value: &Value, name: &str) -> Vec<String> {
    let items = field(value, name).and_then(Value::as_array).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The operations under a field; those that are not known are an error of their list.
fn patterns(value: &Value, name: &str) -> Result<Vec<Pattern>, String> {
    let pattern = |item: &Value| match &item.kind {
        Kind::String(text) => Ok(Pattern::new(text)),
        Kind::Unknown(because) => Err(because.clone()),
        _ => Err(format!("`{name}` with {}", item.describe())),
    };
    match items(value, name, pattern) {
        Told::Known(patterns) => Ok(patterns),
        Told::Unknown(because) => Err(because),
    }
}

fn permissions(value: &Value, doubt: Option<&String>) -> Told<Vec<Permission>> {
    if let Some(doubt) = doubt {
        return Told::Unknown(doubt.clone());
    }
    let one = |value: &Value| -> Result<Permission, String> {
        if let Kind::Unknown(because) = &value.kind {
            return Err(because.clone());
        }
        Ok(Permission {
            actions: patterns(value, "actions")?,
            not_actions: patterns(value, "notActions")?,
            data_actions: patterns(value, "dataActions")?,
            not_data_actions: patterns(value, "notDataActions")?,
        })
    };
    if field(value, "permissions").is_some() {
        return items(value, "permissions", one);
    }
    // The form that `az role definition create` takes has them at the top.
    one(value).map_or_else(Told::Unknown, |permission| Told::Known(vec![permission]))
}

/// Where an assignment holds: what it says itself, else what its id is an extension of.
fn scope(resource: &Resource) -> Told<Scope> {
    let own = match text(&resource.value, "scope") {
        Told::Known(own) if own.starts_with('/') => return Told::Known(Scope::new(&own)),
        Told::Known(_) => None,
        Told::Unknown(because) => field(&resource.value, "scope").map(|_| because),
    };
    match (own, resource.id.parent()) {
        (Some(because), _) => Told::Unknown(because),
        (None, Some(parent)) if !parent.as_str().contains(['*', '{']) => {
            Told::Known(Scope::new(parent.as_str()))
        }
        (None, Some(parent)) => Told::Unknown(format!("`{parent}`, which is not known whole")),
        (None, None) => Told::Known(Scope::new("/")),
    }
}

fn assignment(resource: &Resource) -> Assignment {
    let value = &resource.value;
    let principal = match &resource.doubt {
        Some(doubt) => Told::Unknown(doubt.clone()),
        None => text(value, "principalId"),
    };
    let role = match text(value, "roleDefinitionId") {
        Told::Known(id) => Told::Known(last_part(&id)),
        unknown @ Told::Unknown(_) => unknown,
    };
    Assignment {
        label: format!("the role assignment {}", resource.id.name()),
        principal,
        to_group: text(value, "principalType") == Told::Known("Group".to_owned()),
        role,
        scope: scope(resource),
        conditional: field(value, "condition").is_some(),
        span: value.span,
    }
}

fn denial(resource: &Resource) -> Denial {
    let value = &resource.value;
    Denial {
        label: format!("the deny assignment {}", resource.id.name()),
        permissions: permissions(value, resource.doubt.as_ref()),
        principals: items(value, "principals", denied),
        except: items(value, "excludePrincipals", |item| match text(item, "id") {
            Told::Known(id) => Ok(id.to_ascii_lowercase()),
            Told::Unknown(because) => Err(because),
        }),
        scope: scope(resource),
        this_scope_only: matches!(
            field(value, "doNotApplyToChildScopes").map(|found| &found.kind),
            Some(Kind::Bool(true))
        ),
        conditional: field(value, "condition").is_some(),
        span: value.span,
    }
}

/// The items of a list; one that is not known leaves all of it open.
fn items<T>(value: &Value, name: &str, one: impl FnMut(&Value) -> Result<T, String>) -> Told<Vec<T>> {
    let all = match field(value, name).map(|found| &found.kind) {
        None => Ok(Vec::new()),
        Some(Kind::Array(items)) => items.iter().map(one).collect(),
        Some(Kind::Unknown(because)) => Err(because.clone()),
        Some(_) => Err(format!("`{name}`, which is no list")),
    };
    all.map_or_else(Told::Unknown, Told::Known)
}

fn denied(item: &Value) -> Result<Denied, String> {
    let id = match text(item, "id") {
        Told::Known(id) => id.to_ascii_lowercase(),
        Told::Unknown(because) => return Err(because),
    };
    Ok(match text(item, "type") {
        _ if id == EVERYONE => Denied::Everyone,
        Told::Known(kind) if kind.eq_ignore_ascii_case("group") => Denied::Group(id),
        _ => Denied::One(id),
    })
}
