//! Roles of the template's identity: defined where one of its own is needed, and assigned.

use std::time::Duration;

use preflight::GrantPlace;
use serde::de::IgnoredAny;

use crate::Workflow;
use crate::design::Design;
use crate::error::{Error, While};
use crate::roles::{RoleChoice, RoleDefinition, RoleDesign, guid};
use crate::state::Kind;
use azure::resources::{AssignmentProperties, AssignmentRequest, StorageAccount, version};

/// How long the directory may take to know a new identity everywhere.
const NEW_IDENTITY: Duration = Duration::from_mins(10);

/// A role, whom it is given to, and where.
pub(crate) struct Assignment<'a> {
    pub scope: &'a str,
    /// GUID of the role.
    pub role: &'a str,
    pub principal: &'a str,
    pub principal_type: Option<&'static str>,
}

impl Assignment<'_> {
    /// Its id, which follows from what it says: the same one is the same resource on every day.
    fn id(&self) -> String {
        assignment_id(self.scope, self.principal, self.role)
    }
}

pub(super) fn assignment_id(scope: &str, principal: &str, role: &str) -> String {
    let name = guid(&[scope, principal, role]);
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
}

impl Workflow<'_> {
    pub(super) fn roles(&mut self, design: &Design) -> Result<Vec<String>, Error> {
        let mut done = Vec::new();
        let principal = self.principal(design)?.ok_or_else(|| Error::Refused {
            what: format!("the identity {} has no principal yet", design.identity),
            hint: "deploy again in a minute".to_owned(),
        })?;
        for RoleDesign { purpose, at, role } in design.roles() {
            let scope = match at {
                GrantPlace::Scope(scope) => scope,
                GrantPlace::StorageAccount(name) => self.account(design, &name)?,
            };
            let role = match role {
                RoleChoice::BuiltIn(id) => id.to_owned(),
                RoleChoice::Own(definition) => {
                    done.extend(self.define(&definition)?);
                    definition.name
                }
            };
            let principal_type = Some("ServicePrincipal");
            let assignment = Assignment { scope: &scope, role: &role, principal: &principal, principal_type };
            if self.assign(&assignment)? {
                done.push(format!("assigned the role for {purpose} at {scope}"));
            }
        }
        Ok(done)
    }

    fn define(&mut self, role: &RoleDefinition) -> Result<Option<String>, Error> {
        let id = role.id();
        if self.is_there(&id, version::AUTHORIZATION)? {
            return Ok(None);
        }
        self.make::<_, IgnoredAny>(Kind::Role, (&id, version::AUTHORIZATION), role)?;
        Ok(Some(format!("defined the role {}", role.properties.role_name)))
    }

    /// Assigns a role; false when somebody has assigned it before. A new identity may not be known everywhere at once, nor
    /// a new role: asking again is the way to find out.
    pub(crate) fn assign(&mut self, assignment: &Assignment<'_>) -> Result<bool, Error> {
        let id = assignment.id();
        if self.is_there(&id, version::AUTHORIZATION)? {
            self.state.confirm(&id)?;
            return Ok(false);
        }
        let subscription = self.state.record.subscription.clone();
        let role = assignment.role;
        let body = AssignmentRequest {
            properties: AssignmentProperties {
                role_definition_id: format!(
                    "{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
                ),
                principal_id: assignment.principal.to_owned(),
                principal_type: assignment.principal_type,
            },
        };
        let mut patience = Patience::new(NEW_IDENTITY);
        loop {
            let asked = self.make::<_, IgnoredAny>(Kind::Assignment, (&id, version::AUTHORIZATION), &body);
            match asked {
                Ok(_) => break,
                // The same role, assigned under another name by somebody else.
                Err(Error::Azure { error, .. }) if error.code() == Some("RoleAssignmentExists") => {
                    self.state.forget(&id)?;
                    return Ok(false);
                }
                Err(Error::Azure { error, .. })
                    if matches!(error.code(), Some("PrincipalNotFound" | "RoleDefinitionDoesNotExist")) =>
                {
                    let Some(pause) = patience.next() else {
                        return Err(error).to(|| format!("make {id}"));
                    };
                    self.waiting("the new identity or role is not known everywhere yet".to_owned(), pause);
                    self.watch.wait(pause);
                }
                Err(error) => return Err(error),
            }
        }
        self.state.record.assigned = Some(jiff::Timestamp::now().as_second());
        self.state.save()?;
        Ok(true)
    }

    /// Resource id of a storage account that a script's address names.
    pub(super) fn account(&self, design: &Design, name: &str) -> Result<String, Error> {
        let list = format!("{}/providers/Microsoft.Storage/storageAccounts", design.subscription);
        let all: Vec<StorageAccount> =
            self.client.list(&list, version::STORAGE).to(|| "list storage accounts".to_owned())?;
        let own = all.into_iter().find(|account| account.name.eq_ignore_ascii_case(name));
        own.map(|account| account.id).ok_or_else(|| Error::Refused {
            what: format!("the storage account {name}, which scripts come from, is not in the subscription"),
            hint:
                "assign Storage Blob Data Reader to the identity there, or put a signature into the address"
                    .to_owned(),
        })
    }
}

/// Ever longer pauses, up to a limit in all.
#[derive(Debug)]
pub(crate) struct Patience {
    next: Duration,
    left: Duration,
}

impl Patience {
    const FIRST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_mins(1);

    pub fn new(limit: Duration) -> Self {
        Self { next: Self::FIRST, left: limit }
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next.min(self.left);
        self.left = self.left.saturating_sub(pause);
        self.next = (self.next * 2).min(Self::LONGEST);
        (pause > Duration::ZERO).then_some(pause)
    }
}
