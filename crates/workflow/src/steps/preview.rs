//! What a deployment would do, found out without doing any of it.

use std::time::Duration;

use preflight::GrantPlace;
use serde::Serialize;

use super::providers::{feature_id, feature_of};
use super::template::is_up_to_date;
use super::trigger::trigger_id;
use crate::Workflow;
use crate::design::Design;
use crate::error::{Error, While};
use crate::roles::RoleChoice;
use azure::resources::{WhatIf, version};
use azure::{Outcome, Started};

/// How often the answer of what-if is asked for.
const LOOKS: u32 = 60;

/// Something that a deployment would do, or find done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// `register`, `create`, `change`, `assign` or `keep`.
    pub action: &'static str,
    /// Resource id of what it is done to; for an assignment, the scope.
    pub id: String,
    /// What for, where the id does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Planned {
    fn of(is_there: bool, action: &'static str, id: String) -> Self {
        Self { action: if is_there { "keep" } else { action }, id, detail: None }
    }
}

impl Workflow<'_> {
    /// What [`Workflow::deploy`] would do now, in its order. Nothing is changed; the image template is asked of Azure's
    /// own what-if where its resource group is there.
    ///
    /// # Errors
    /// When Azure cannot be asked.
    pub fn preview(&self, design: &Design) -> Result<Vec<Planned>, Error> {
        let mut all = Vec::new();
        if let Some(feature) = feature_of(&design.location) {
            let id = feature_id(&design.subscription, feature);
            all.push(Planned::of(self.has_feature(design, feature)?, "register", id));
        }
        for namespace in preflight::PROVIDERS {
            let id = format!("{}/providers/{namespace}", design.subscription);
            all.push(Planned::of(self.is_registered(design, namespace)?, "register", id));
        }
        for name in std::iter::once(&design.group).chain(&design.other_groups) {
            let id = format!("{}/resourceGroups/{name}", design.subscription);
            all.push(Planned::of(self.is_there(&id, version::RESOURCES)?, "create", id));
        }
        if let Some(gallery) = &design.gallery {
            for id in [&gallery.id, &gallery.definition] {
                all.push(Planned::of(self.is_there(id, version::GALLERIES)?, "create", id.clone()));
            }
        }
        let principal = self.principal(design)?;
        all.push(Planned::of(principal.is_some(), "create", design.identity.clone()));
        self.preview_roles(design, principal.as_deref(), &mut all)?;
        self.preview_template(design, &mut all)?;
        if design.trigger {
            let id = trigger_id(design);
            all.push(Planned::of(self.is_there(&id, version::TEMPLATES)?, "create", id));
        }
        Ok(all)
    }

    fn preview_roles(
        &self,
        design: &Design,
        principal: Option<&str>,
        all: &mut Vec<Planned>,
    ) -> Result<(), Error> {
        for role in design.roles() {
            let (guid, name) = match &role.role {
                RoleChoice::BuiltIn(id) => ((*id).to_owned(), format!("the built-in role {id}")),
                RoleChoice::Own(definition) => {
                    let id = definition.id();
                    all.push(Planned::of(self.is_there(&id, version::AUTHORIZATION)?, "create", id));
                    (definition.name.clone(), definition.properties.role_name.clone())
                }
            };
            let scope = match &role.at {
                GrantPlace::Scope(scope) => scope.clone(),
                GrantPlace::StorageAccount(name) => self.account(design, name)?,
            };
            let assigned = match principal {
                Some(principal) => {
                    let id = super::access::assignment_id(&scope, principal, &guid);
                    self.is_there(&id, version::AUTHORIZATION)?
                }
                None => false,
            };
            let planned = Planned::of(assigned, "assign", scope);
            all.push(Planned { detail: Some(format!("{name}, for {}", role.purpose)), ..planned });
        }
        Ok(())
    }

    fn preview_template(&self, design: &Design, all: &mut Vec<Planned>) -> Result<(), Error> {
        let id = design.template_id();
        if let Some(there) = self.look(&id)? {
            all.push(Planned::of(is_up_to_date(design, &there), "change", id));
            return Ok(());
        }
        let mut planned = Planned::of(false, "create", id.clone());
        if self.is_there(&design.group_id(), version::RESOURCES)? {
            let path = format!(
                "{}/providers/Microsoft.Resources/deployments/{}/whatIf",
                design.group_id(),
                design.deployment_name()
            );
            let request = design.deployment_request();
            let doing = || "ask what the deployment would do".to_owned();
            let asked = self.client.post::<_, WhatIf>(&path, version::DEPLOYMENTS, Some(&request));
            let told = self.answer(asked.to(doing)?)?;
            let change = told.and_then(|told| {
                let mut changes = told.properties.changes.into_iter();
                changes.find(|change| change.resource_id.eq_ignore_ascii_case(&id))
            });
            planned.detail = change.map(|change| format!("what-if says {}", change.change_type));
        }
        all.push(planned);
        Ok(())
    }

    /// The answer of what-if, which Azure takes its time for.
    fn answer(&self, started: Started<WhatIf>) -> Result<Option<WhatIf>, Error> {
        let Some(operation) = started.operation else { return Ok(started.value) };
        let mut after = Duration::from_millis(operation.after_ms);
        for _ in 0..LOOKS {
            self.watch.wait(after);
            self.check_stopped()?;
            let asked = self.client.outcome(&operation);
            match asked.to(|| "ask what the deployment would do".to_owned())? {
                Outcome::Running { after: hint } => after = hint,
                Outcome::Ended(told) => return Ok(told),
            }
        }
        Ok(None)
    }
}
