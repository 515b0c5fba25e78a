//! The image template: one ARM deployment, tried again while Azure has yet to honour the roles it needs.

use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::access::Patience;
use crate::Workflow;
use crate::deployment::SETTINGS;
use crate::design::Design;
use crate::error::{Error, While};
use crate::state::Kind;
use azure::resources::{Deployment, Template, TemplateProperties, version};

/// How long Azure may take to honour a role (azure-image-builder.md 5.3).
const PROPAGATION: Duration = Duration::from_mins(30);
/// How long a template may take to be made, or to go.
const PROVISIONING: Duration = Duration::from_mins(30);

fn deployment_id(design: &Design) -> String {
    format!("{}/providers/Microsoft.Resources/deployments/{}", design.group_id(), design.deployment_name())
}

/// Whether what can be changed of a template is as designed.
pub(super) fn is_up_to_date(design: &Design, there: &Template) -> bool {
    let told = there.tags.as_ref().and_then(|tags| tags.get(SETTINGS));
    told.is_some_and(|told| *told == design.settings())
}

impl Workflow<'_> {
    pub(crate) fn look(&self, id: &str) -> Result<Option<Template>, Error> {
        self.client.get(id, version::TEMPLATES).to(|| format!("look at {id}"))
    }

    pub(super) fn template(&mut self, design: &Design) -> Result<Vec<String>, Error> {
        let id = design.template_id();
        let (mut done, mut roles) = (Vec::new(), Patience::new(self.roles_may_take()));
        let mut provisioning = Patience::new(PROVISIONING);
        loop {
            let Some(there) = self.look(&id)? else {
                match self.deploy_template(design, &id) {
                    Ok(()) => done.push(format!("made {id}")),
                    Err(error) => self.again(&error, &mut roles).then_some(()).ok_or(error)?,
                }
                continue;
            };
            match there.properties.provisioning_state.to_ascii_lowercase().as_str() {
                "succeeded" => break done.extend(self.bring_up_to_date(design, &there)?),
                "failed" | "canceled" => self.remove_failed(&id, &there.properties, &mut roles)?,
                _ => {
                    let out = Error::OutOfTime { what: id.clone(), minutes: PROVISIONING.as_secs() / 60 };
                    let pause = provisioning.next().ok_or(out)?;
                    self.waiting(format!("{id} is {}", there.properties.provisioning_state), pause);
                    self.watch.wait(pause);
                    self.check_stopped()?;
                }
            }
        }
        self.see_deployment_end(&deployment_id(design), &mut provisioning)?;
        if self.state.made(&id).is_some_and(|own| !own.confirmed) {
            self.state.confirm(&id)?;
        }
        self.state.record.template = Some(id);
        self.state.save()?;
        Ok(done)
    }

    /// Changes what can be changed of a template that is there, where it is not as designed.
    fn bring_up_to_date(&mut self, design: &Design, there: &Template) -> Result<Option<String>, Error> {
        if is_up_to_date(design, there) {
            return Ok(None);
        }
        let id = design.template_id();
        let mut body = design.changeable();
        // Tags that somebody else gave it stay.
        for (name, value) in there.tags.iter().flatten() {
            if body["tags"][name].is_null() {
                body["tags"][name] = value.as_str().into();
            }
        }
        for other in there.identity.user_assigned_identities.keys() {
            if !other.eq_ignore_ascii_case(&design.identity) {
                body["identity"]["userAssignedIdentities"][other] = Value::Null;
            }
        }
        self.change((&id, version::TEMPLATES), &body)?;
        Ok(Some(format!("changed {id}")))
    }

    fn deploy_template(&mut self, design: &Design, id: &str) -> Result<(), Error> {
        self.state.intend(Kind::Template, id)?;
        let deployment = deployment_id(design);
        let request = design.deployment_request();
        self.make::<_, IgnoredAny>(Kind::Deployment, (&deployment, version::DEPLOYMENTS), &request)?;
        self.state.confirm(id)
    }

    /// A deployment that an earlier process asked for may go on when its template is there already; it could not be removed
    /// meanwhile.
    fn see_deployment_end(&mut self, id: &str, patience: &mut Patience) -> Result<(), Error> {
        while self.state.made(id).is_some_and(|own| !own.confirmed) {
            let there: Option<Deployment> =
                self.client.get(id, version::DEPLOYMENTS).to(|| format!("look at {id}"))?;
            let Some(there) = there else { return self.state.forget(id) };
            let state = there.properties.provisioning_state;
            if ["succeeded", "failed", "canceled"].contains(&state.to_ascii_lowercase().as_str()) {
                return self.state.confirm(id);
            }
            let out = Error::OutOfTime { what: id.to_owned(), minutes: PROVISIONING.as_secs() / 60 };
            let pause = patience.next().ok_or(out)?;
            self.waiting(format!("{id} is {state}"), pause);
            self.watch.wait(pause);
            self.check_stopped()?;
        }
        Ok(())
    }

    /// How much longer a refusal may be for a role that was assigned just now.
    fn roles_may_take(&self) -> Duration {
        let Some(assigned) = self.state.record.assigned else { return Duration::ZERO };
        let age = jiff::Timestamp::now().as_second().saturating_sub(assigned);
        PROPAGATION.saturating_sub(Duration::from_secs(u64::try_from(age).unwrap_or(0)))
    }

    /// Whether to ask again after a refusal, having waited.
    fn again(&self, error: &Error, roles: &mut Patience) -> bool {
        let active = matches!(error, Error::Azure { error, .. } if error.code() == Some("DeploymentActive"));
        if !(active || error.is_authorization()) || self.watch.is_stopped() {
            return false;
        }
        let Some(pause) = roles.next() else { return false };
        let text = if active {
            "a deployment of that name goes on"
        } else {
            "Azure has yet to honour the new roles"
        };
        self.waiting(text.to_owned(), pause);
        self.watch.wait(pause);
        true
    }

    /// Removes what a failed attempt left, since a template cannot be replaced; not what somebody else made.
    fn remove_failed(
        &mut self,
        id: &str,
        failed: &TemplateProperties,
        roles: &mut Patience,
    ) -> Result<(), Error> {
        let told = failed.provisioning_error.clone().unwrap_or_default();
        let error = azure::ServiceError {
            code: told.provisioning_error_code,
            message: told.message,
            details: Vec::new(),
        };
        let error = Error::Operation { doing: format!("make {id}"), error };
        let Some(own) = self.state.made(id) else {
            let hint = "delete it, or change the template, which gives it another name";
            let what = format!("{error}; somebody else made it");
            return Err(Error::Refused { what, hint: hint.to_owned() });
        };
        // One that an earlier process left is tried again; one that failed now is not, unless a role was what it lacked.
        let earlier = own.confirmed;
        self.delete(id, version::TEMPLATES)?;
        if earlier || self.again(&error, roles) { Ok(()) } else { Err(error) }
    }
}
