//! The answer to "may this principal do this here?".

use std::collections::BTreeMap;

use crate::role::Denied;
use crate::{Action, Assignment, Denial, Role, Scope, Told};

/// All that documents tell about access.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) denials: Vec<Denial>,
}

/// Whether a principal may do something.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<'a> {
    /// It may.
    Granted {
        /// By this assignment.
        by: &'a Assignment,
        /// Of this role.
        role: &'a Role,
    },
    /// It may not, whatever its roles are.
    Denied {
        /// Because of this deny assignment.
        by: &'a Denial,
    },
    /// No assignment grants it.
    Missing,
    /// What is told does not decide it.
    Undecided {
        /// What would.
        because: Vec<String>,
    },
}

/// Three-valued: certain, impossible, or open because of something.
enum Fits {
    Yes,
    No,
    Open(String),
}

impl Fits {
    /// Both; what is impossible wins over what is open.
    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Yes => other(),
            Self::No => Self::No,
            Self::Open(because) => match other() {
                Self::No => Self::No,
                _ => Self::Open(because),
            },
        }
    }

    fn told(told: Told<bool>) -> Self {
        match told {
            Told::Known(true) => Self::Yes,
            Told::Known(false) => Self::No,
            Told::Unknown(because) => Self::Open(because),
        }
    }
}

impl Access {
    /// Whether any document tells of role assignments at all.
    pub fn is_told(&self) -> bool {
        !self.assignments.is_empty()
    }

    /// All role assignments, in the order of their documents.
    pub fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    /// A role by the last part of its id.
    pub fn role(&self, id: &str) -> Option<&Role> {
        self.roles.get(&id.to_ascii_lowercase())
    }

    /// Whether a principal, told by its object id, may do something at a scope. A deny assignment wins over every role.
    /// The id of a principal that Azure has yet to make is unknown because of [`arm::added_at_run_time`]; an assignment to
    /// it is unknown because of the same.
    pub fn may(&self, principal: &Told<String>, action: Action<'_>, scope: &Scope) -> Answer<'_> {
        let mut denials_open = Vec::new();
        for denial in &self.denials {
            match denial.fits(principal, action, scope) {
                Fits::Yes => return Answer::Denied { by: denial },
                Fits::No => {}
                Fits::Open(why) => denials_open.push(format!("{} may deny it: {why}", denial.label)),
            }
        }
        let mut grants_open = Vec::new();
        for by in &self.assignments {
            match self.fits(by, principal, action, scope) {
                Fits::Yes if !denials_open.is_empty() => return Answer::Undecided { because: denials_open },
                Fits::Yes => {
                    let Some(role) = self.role_of(by) else { continue };
                    return Answer::Granted { by, role };
                }
                Fits::No => {}
                Fits::Open(why) => grants_open.push(format!("{} may grant it: {why}", by.label)),
            }
        }
        if grants_open.is_empty() { Answer::Missing } else { Answer::Undecided { because: grants_open } }
    }

    fn role_of(&self, assignment: &Assignment) -> Option<&Role> {
        match &assignment.role {
            Told::Known(id) => self.roles.get(id),
            Told::Unknown(_) => None,
        }
    }

    fn fits(
        &self,
        assignment: &Assignment,
        principal: &Told<String>,
        action: Action<'_>,
        scope: &Scope,
    ) -> Fits {
        let whom = || match (&assignment.principal, principal) {
            (Told::Known(id), Told::Known(own)) if id.eq_ignore_ascii_case(own) => Fits::Yes,
            (Told::Unknown(one), Told::Unknown(own)) if one.eq_ignore_ascii_case(own) => Fits::Yes,
            (Told::Known(id), _) if assignment.to_group => {
                Fits::Open(format!("no document tells whether the identity is a member of the group {id}"))
            }
            (Told::Known(_), Told::Known(_)) => Fits::No,
            (Told::Known(_), Told::Unknown(because)) => {
                Fits::Open(format!("whom it is given to may be {because}"))
            }
            (Told::Unknown(because), _) => Fits::Open(format!("its principal is {because}")),
        };
        let what = || match &assignment.role {
            Told::Known(id) => match self.roles.get(id) {
                Some(role) => Fits::told(role.grants(action)),
                None => Fits::Open(format!("no document defines the role {id}")),
            },
            Told::Unknown(because) => Fits::Open(format!("its role is {because}")),
        };
        let condition = || {
            if assignment.conditional {
                Fits::Open("it has a condition, which is not evaluated".to_owned())
            } else {
                Fits::Yes
            }
        };
        holds(&assignment.scope, scope).and(what).and(whom).and(condition)
    }

    /// The role that somebody defined which grants all of these, nothing of a whole resource provider but reading, and
    /// the least beside them, and can be assigned at the scope.
    pub fn own_role(&self, actions: &[Action<'_>], scope: &Scope) -> Option<&Role> {
        let fits = |role: &&Role| {
            !role.built_in
                && !role.is_broad()
                && actions.iter().all(|&action| role.grants(action) == Told::Known(true))
                && role.assignable_scopes.iter().any(|own| own.holds_in(scope) == Some(true))
        };
        self.roles.values().filter(fits).min_by_key(|role| (role.breadth(), &role.id))
    }
}

fn holds(own: &Told<Scope>, scope: &Scope) -> Fits {
    match own {
        Told::Known(own) => match own.holds_in(scope) {
            Some(true) => Fits::Yes,
            Some(false) => Fits::No,
            None => Fits::Open(format!("no document tells whether {scope} is inside {own}")),
        },
        Told::Unknown(because) => Fits::Open(format!("its scope is {because}")),
    }
}

impl Denial {
    fn fits(&self, principal: &Told<String>, action: Action<'_>, scope: &Scope) -> Fits {
        let what = || match &self.permissions {
            Told::Known(permissions) if permissions.iter().any(|each| each.covers(action)) => Fits::Yes,
            Told::Known(_) => Fits::No,
            Told::Unknown(because) => Fits::Open(format!("what it denies is {because}")),
        };
        let condition = || {
            if self.conditional {
                Fits::Open("it has a condition, which is not evaluated".to_owned())
            } else {
                Fits::Yes
            }
        };
        let at = match &self.scope {
            Told::Known(own) if self.this_scope_only && own.holds_in(scope) == Some(true) => {
                if scope.holds_in(own) == Some(true) { Fits::Yes } else { Fits::No }
            }
            own => holds(own, scope),
        };
        at.and(what).and(|| self.is_about(principal)).and(condition)
    }

    fn is_about(&self, principal: &Told<String>) -> Fits {
        let own = match principal {
            Told::Known(id) => id.to_ascii_lowercase(),
            Told::Unknown(because) => return Fits::Open(format!("whether it is about {because}")),
        };
        let except = match &self.except {
            Told::Known(except) if except.contains(&own) => return Fits::No,
            Told::Known(_) => Fits::Yes,
            Told::Unknown(because) => Fits::Open(format!("whom it leaves out is {because}")),
        };
        let principals = match &self.principals {
            Told::Known(principals) => principals,
            Told::Unknown(because) => return Fits::Open(format!("whom it denies is {because}")),
        };
        let mut answer = Fits::No;
        for each in principals {
            match each {
                Denied::Everyone => return except,
                Denied::One(id) if *id == own => return except,
                Denied::One(_) => {}
                Denied::Group(id) => {
                    answer =
                        Fits::Open(format!("no document tells whether the identity is in the group {id}"));
                }
            }
        }
        answer
    }
}
