//! What documents tell about access.

use document::Span;

use crate::{Action, Pattern, Scope};

/// A value that documents tell, or why they do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<T> {
    /// It is told.
    Known(T),
    /// It is not, because of this.
    Unknown(String),
}

/// Operations that a role allows or a deny assignment denies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permission {
    /// Operations on resources.
    pub actions: Vec<Pattern>,
    /// Operations that are taken out of these.
    pub not_actions: Vec<Pattern>,
    /// Operations on data.
    pub data_actions: Vec<Pattern>,
    /// Operations that are taken out of these.
    pub not_data_actions: Vec<Pattern>,
}

impl Permission {
    /// Whether an operation is among them. What is taken out of one permission another one may still hold.
    pub fn covers(&self, action: Action<'_>) -> bool {
        let (within, without) = match action {
            Action::Control(_) => (&self.actions, &self.not_actions),
            Action::Data(_) => (&self.data_actions, &self.not_data_actions),
        };
        // Azure documents some operations with `*` for a name, and takes roles that leave that out, too.
        let names = [action.name().to_owned(), action.name().replace("/*/", "/")];
        let is_it = |pattern: &Pattern| names.iter().any(|name| pattern.matches(name));
        let among = |patterns: &[Pattern]| patterns.iter().any(is_it);
        among(within) && !among(without)
    }
}

/// A role definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The last part of its id, in lower case: a GUID.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it grants.
    pub permissions: Told<Vec<Permission>>,
    /// Where it can be assigned.
    pub assignable_scopes: Vec<Scope>,
    /// Whether Azure brings it.
    pub built_in: bool,
}

impl Role {
    /// Whether it grants an operation; else why that is not known.
    pub fn grants(&self, action: Action<'_>) -> Told<bool> {
        match &self.permissions {
            Told::Known(permissions) => Told::Known(permissions.iter().any(|each| each.covers(action))),
            Told::Unknown(because) => Told::Unknown(because.clone()),
        }
    }

    /// Whether it grants more than reading of a whole resource provider, or of all.
    pub(crate) fn is_broad(&self) -> bool {
        let Told::Known(permissions) = &self.permissions else { return true };
        let mut all = permissions.iter().flat_map(|each| each.actions.iter().chain(&each.data_actions));
        all.any(Pattern::is_of_a_provider)
    }

    /// How much it grants, to compare roles by.
    pub(crate) fn breadth(&self) -> u64 {
        let Told::Known(permissions) = &self.permissions else { return u64::MAX };
        let all = permissions.iter().flat_map(|each| each.actions.iter().chain(&each.data_actions));
        all.fold(0, |sum, pattern| sum.saturating_add(pattern.breadth()))
    }
}

/// A role assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What messages call it.
    pub label: String,
    /// Object id of whom it is given to.
    pub principal: Told<String>,
    /// It is given to the members of a group.
    pub to_group: bool,
    /// The last part of the role definition's id, in lower case.
    pub role: Told<String>,
    /// Where it holds.
    pub scope: Told<Scope>,
    /// It has a condition, which is not evaluated.
    pub conditional: bool,
    /// Where it is written, in the inventory's sources.
    pub span: Span,
}

/// A deny assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What messages call it.
    pub label: String,
    /// What it denies.
    pub permissions: Told<Vec<Permission>>,
    /// Object ids of whom it denies it.
    pub principals: Told<Vec<Denied>>,
    /// Object ids of whom it does not, in lower case.
    pub except: Told<Vec<String>>,
    /// Where it holds.
    pub scope: Told<Scope>,
    /// It holds for the scope alone and not inside it.
    pub this_scope_only: bool,
    /// It has a condition, which is not evaluated.
    pub conditional: bool,
    /// Where it is written, in the inventory's sources.
    pub span: Span,
}

/// Whom a deny assignment is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Everybody (`SystemDefined`, the id of zeroes).
    Everyone,
    /// One principal, by its object id in lower case.
    One(String),
    /// The members of a group.
    Group(String),
}
