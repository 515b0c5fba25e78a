//! Whether somebody may do something, by the roles that documents tell of.

use access::{Action, Answer, Scope, Told};
use arm::{Resource, ResourceId, field};
use document::Kind;

use crate::finding::Asked;
use crate::subject::Network;
use crate::{Outcome, Repair, Status, Subject};

const IDENTITIES: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";
pub(super) const ASSIGN: Action<'static> =
    Action::Control("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action");

/// Who needs something.
#[derive(Clone, Copy)]
pub(super) enum Who {
    /// The template's identity.
    Identity,
    /// Whoever deploys the template: a person or a pipeline.
    Deployer,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Identity => "the identity",
            Self::Deployer => "the deployer",
        }
    }

    /// What `az` is told of its kind, where that is known; it asks the directory otherwise.
    fn kind(self) -> &'static str {
        match self {
            Self::Identity => " --assignee-principal-type ServicePrincipal",
            Self::Deployer => "",
        }
    }
}

/// Somebody who needs something, and where.
struct Need<'a> {
    who: Who,
    principal: &'a Told<String>,
    actions: &'a [Action<'static>],
    scope: Scope,
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

/// The object id of an identity. One that Azure has yet to make is who the assignments of the same template name.
pub(super) fn principal(identity: &Resource) -> Told<String> {
    match field(&identity.value, "principalId").map(|found| &found.kind) {
        Some(Kind::String(id)) => Told::Known(id.clone()),
        Some(Kind::Unknown(because)) => Told::Unknown(because.clone()),
        _ => Told::Unknown(arm::added_at_run_time(&identity.id, "principalId")),
    }
}

impl Need<'_> {
    /// For a command line.
    fn principal_id(&self) -> &str {
        match self.principal {
            Told::Known(id) => id,
            Told::Unknown(_) => "PRINCIPAL_ID",
        }
    }

    /// Whether each of the actions is granted; all that are not are named.
    fn ask(&self, network: &Network<'_>) -> Outcome {
        let (mut by, mut missing, mut open, mut denied) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut span = None;
        for &action in self.actions {
            match network.access.may(self.principal, action, &self.scope) {
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
            return Outcome::fail(format!("{} is denied {}", self.who.name(), denied.join(", ")));
        }
        if missing.is_empty() {
            if let (false, Told::Unknown(because)) = (open.is_empty(), self.principal) {
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
        let outcome = Outcome::fail(format!(
            "no role grants {} {} at {}",
            self.who.name(),
            names.join(", "),
            self.scope
        ));
        if let Some(role) = network.access.least_role(self.actions, &self.scope) {
            let az = format!(
                "az role assignment create --assignee-object-id {}{} --role {} --scope {}",
                self.principal_id(),
                self.who.kind(),
                role.id,
                self.scope
            );
            outcome.repaired(Repair::in_words(format!("assign {} at {}", role.name, self.scope)).by(az))
        } else {
            let all: Vec<_> = self.actions.iter().map(ToString::to_string).collect();
            outcome.repaired(Repair::in_words(format!("define a role with {}", all.join(", "))))
        }
    }
}

/// Asks at each of some scopes; the worst answer counts.
pub(super) fn at_each(
    network: &Network<'_>,
    who: Who,
    principal: &Told<String>,
    actions: &[Action<'static>],
    scopes: &[String],
) -> Asked {
    let rank = |outcome: &Outcome| match outcome.status {
        Status::Fail => 2,
        Status::Undecided => 1,
        _ => 0,
    };
    let open = scopes.iter().find(|scope| scope.starts_with('[') || scope.contains(['<', '*', '{']));
    if let Some(open) = open {
        return Err(Outcome::undecided(format!("the scope {open} is not known")));
    }
    let ask = |scope: &String| Need { who, principal, actions, scope: Scope::new(scope) }.ask(network);
    let outcomes = scopes.iter().map(ask);
    Ok(outcomes.max_by_key(rank).unwrap_or_else(|| Outcome::pass("nothing is needed")))
}
