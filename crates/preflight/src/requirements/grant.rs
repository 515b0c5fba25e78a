//! Whether somebody may do something, by the roles that documents tell of.

use access::{Action, Answer, Scope, Told};
use arm::{Resource, ResourceId, field};
use document::Kind;

use crate::finding::Asked;
use crate::repair::{Change, Grant, GrantedRole, Grantee};
use crate::subject::Network;
use crate::{Outcome, Repair, Status, Subject};

const IDENTITIES: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";
pub(super) const ASSIGN: Action<'static> =
    Action::Control("Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action");

/// Managed Identity Operator.
pub(super) const IDENTITY_OPERATOR: &str = "f1a07417-d97a-45cb-824c-7a7467783830";

/// Who needs something.
pub(super) struct Who {
    name: &'static str,
    principal: Told<String>,
    /// The identity that it is.
    identity: Option<ResourceId>,
}

/// What is needed.
#[derive(Clone, Copy)]
pub(super) struct Permissions {
    /// What a role for it alone is called.
    pub name: &'static str,
    pub actions: &'static [Action<'static>],
    /// The built-in role that Microsoft asks for, where there is one.
    pub role: Option<&'static str>,
}

/// Somebody who needs something, and where.
struct Need<'a> {
    who: &'a Who,
    what: Permissions,
    scope: Scope,
    /// Where a role for it is assigned: there, or around it.
    assigned_at: Scope,
}

/// What documents tell, when they tell of role assignments.
pub(super) fn told<'s, 'a>(subject: &'s Subject<'a>) -> Result<&'s Network<'a>, Outcome> {
    let network = subject.network.as_ref().filter(|network| network.access.is_told());
    network.ok_or_else(|| Outcome::skipped("no document tells of role assignments"))
}

/// The identity of the template, else the only one that documents describe.
pub(super) fn identity<'a>(subject: &Subject<'a>) -> Result<&'a Resource, Outcome> {
    let inventory = subject.inventory()?;
    let own = subject.template.and_then(|template| template.identity.as_ref()?.user_assigned.known());
    if let Some(id) = own.and_then(|id| ResourceId::parse(id).ok()) {
        return inventory.find(&id).ok_or_else(|| {
            Outcome::undecided(format!(
                "the template's identity {} is in none of the documents",
                arm::label(&id)
            ))
        });
    }
    let mut all = inventory.of_type(IDENTITIES);
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Outcome::skipped("no document describes the template's identity")),
        _ => Err(Outcome::undecided("which of several identities is the template's is not said")),
    }
}

impl Who {
    /// The template's identity. One that Azure has yet to make is who the assignments of the same template name.
    pub fn identity(identity: &Resource) -> Self {
        let principal = match field(&identity.value, "principalId").map(|found| &found.kind) {
            Some(Kind::String(id)) => Told::Known(id.clone()),
            Some(Kind::Unknown(because)) => Told::Unknown(because.clone()),
            _ => Told::Unknown(arm::added_at_run_time(&identity.id, "principalId")),
        };
        Self { name: "the identity", principal, identity: Some(identity.id.clone()) }
    }

    /// Whoever deploys the template, a person or a pipeline, by the object id.
    pub fn deployer(id: &str) -> Self {
        Self { name: "the deployer", principal: Told::Known(id.to_owned()), identity: None }
    }

    fn grantee(&self) -> Option<Grantee> {
        match (&self.identity, &self.principal) {
            (Some(id), Told::Known(principal)) => {
                Some(Grantee::Identity(id.clone(), Some(principal.clone())))
            }
            (Some(id), Told::Unknown(_)) => Some(Grantee::Identity(id.clone(), None)),
            (None, Told::Known(principal)) => Some(Grantee::Anybody(principal.clone())),
            (None, Told::Unknown(_)) => None,
        }
    }

    /// How `az` is told who it is. What kind it is, it asks the directory where that is not known.
    fn assignee(&self) -> String {
        let id = match &self.principal {
            Told::Known(id) => id,
            Told::Unknown(_) => "PRINCIPAL_ID",
        };
        let kind = self.identity.as_ref().map_or("", |_| " --assignee-principal-type ServicePrincipal");
        format!("--assignee-object-id {id}{kind}")
    }
}

impl Need<'_> {
    /// Whether each of the actions is granted; all that are not are named.
    fn ask(&self, network: &Network<'_>) -> Outcome {
        let (mut by, mut missing, mut open, mut denied) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut span = None;
        for &action in self.what.actions {
            match network.access.may(&self.who.principal, action, &self.scope) {
                Answer::Granted { by: assignment, role } => {
                    by.push(format!("{} ({})", role.name, assignment.label));
                    span = Some(assignment.span);
                }
                Answer::Denied { by } => denied.push(format!("{action} by {}", by.label)),
                Answer::Missing => missing.push(action),
                Answer::Undecided { because } => open.extend(because),
            }
        }
        by.dedup();
        open.dedup();
        if !denied.is_empty() {
            return Outcome::fail(format!("{} is denied {}", self.who.name, denied.join(", ")));
        }
        if missing.is_empty() {
            if let (false, Told::Unknown(because)) = (open.is_empty(), &self.who.principal) {
                open.push(format!("the object id itself is {because}: `[source.runtime]` can tell it"));
            }
            let outcome = if open.is_empty() {
                Outcome::pass(format!("granted at {} by {}", self.scope, by.join(", ")))
            } else {
                Outcome::undecided(open.join("; "))
            };
            return Outcome { span, ..outcome };
        }
        let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
        let (who, names) = (self.who.name, names.join(", "));
        Outcome::fail(format!("no role grants {who} {names} at {}", self.scope))
            .repaired(self.repair(network))
    }

    /// A role that is there for such a purpose, else one of its own.
    fn repair(&self, network: &Network<'_>) -> Repair {
        let Permissions { name, actions, role } = self.what;
        let scope = &self.assigned_at;
        let own = network.access.own_role(actions, scope);
        let there = own.or_else(|| network.access.role(role?));
        let (role, words, az) = if let Some(role) = there {
            let words = format!("assign {} at {scope}", role.name);
            (GrantedRole::There(role.id.clone()), words, self.assign(&role.id))
        } else {
            let name = own_name(name, scope);
            let all: Vec<_> = actions.iter().map(ToString::to_string).collect();
            let az = format!("{}\n{}", self.define(&name), self.assign(&format!("'{name}'")));
            let words = format!("define a role with {} alone, and assign it at {scope}", all.join(", "));
            (GrantedRole::Own(name, actions.to_vec()), words, az)
        };
        let grant = |to| Change::Grant(Grant { to, role, scope: scope.to_string() });
        let changes = self.who.grantee().map(grant).into_iter().collect();
        Repair { changes, ..Repair::in_words(words).by(az) }
    }

    fn assign(&self, role: &str) -> String {
        let (assignee, scope) = (self.who.assignee(), &self.assigned_at);
        format!("az role assignment create {assignee} --role {role} --scope {scope}")
    }

    fn define(&self, name: &str) -> String {
        let list = |data: bool| {
            let own = self.what.actions.iter().filter(|action| matches!(action, Action::Data(_)) == data);
            own.map(|action| format!("\"{action}\"")).collect::<Vec<_>>().join(", ")
        };
        let within = assignable(&self.assigned_at);
        format!(
            "az role definition create --role-definition '{{\"Name\": \"{name}\", \"Actions\": [{}], \"DataActions\": [{}], \
             \"AssignableScopes\": [\"{within}\"]}}'",
            list(false),
            list(true)
        )
    }
}

/// Roles are assignable in resource groups and subscriptions, not at resources.
pub(super) fn assignable(scope: &Scope) -> String {
    let text = scope.as_str();
    text.to_ascii_lowercase().find("/providers/").map_or(text, |end| &text[..end]).to_owned()
}

/// Names of roles differ within a tenant.
pub(super) fn own_name(what: &str, scope: &Scope) -> String {
    let within = assignable(scope);
    let parts: Vec<_> = within.split('/').collect();
    let subscription: String = parts.get(2).copied().unwrap_or_default().chars().take(8).collect();
    let group = parts.get(4).map(|group| format!("{group}, ")).unwrap_or_default();
    format!("Image Builder {what} ({group}{subscription})")
}

/// Asks at each of some scopes; the worst answer counts, and whatever is missing at any of them is repaired.
pub(super) fn at_each(network: &Network<'_>, who: &Who, what: Permissions, scopes: &[String]) -> Asked {
    let scopes: Vec<_> = scopes.iter().map(|scope| (scope.clone(), scope.clone())).collect();
    within(network, who, what, &scopes)
}

/// The same at scopes, each with the one around it where a role is assigned.
pub(super) fn within(
    network: &Network<'_>,
    who: &Who,
    what: Permissions,
    scopes: &[(String, String)],
) -> Asked {
    let rank = |outcome: &Outcome| match outcome.status {
        Status::Fail => 2,
        Status::Undecided => 1,
        _ => 0,
    };
    let open = scopes
        .iter()
        .map(|(scope, _)| scope)
        .find(|scope| scope.starts_with('[') || scope.contains(['<', '*', '{']));
    if let Some(open) = open {
        return Err(Outcome::undecided(format!("the scope {open} is not known")));
    }
    let ask = |(scope, around): &(String, String)| {
        Need { who, what, scope: Scope::new(scope), assigned_at: Scope::new(around) }.ask(network)
    };
    let outcomes: Vec<_> = scopes.iter().map(ask).collect();
    let repairs: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.repair.as_deref().cloned()).collect();
    let worst = outcomes.into_iter().max_by_key(rank);
    let worst = worst.unwrap_or_else(|| Outcome::pass("nothing is needed"));
    let repair = worst.repair.is_some().then(|| repairs.into_iter().reduce(Repair::and)).flatten();
    Ok(Outcome { repair: repair.map(Box::new), ..worst })
}
