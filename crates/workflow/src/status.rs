//! How things stand: what is written down, and what Azure says of it now.

use serde::Serialize;

use crate::Workflow;
use crate::error::Error;
use crate::run::Output;
use crate::state::Made;

/// How things stand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// Where.
    pub cloud: String,
    /// `/subscriptions/{guid}`.
    pub subscription: String,
    /// The template that was deployed last; none when none is there.
    pub template: Option<TemplateStanding>,
    /// Resource id of what an operation goes on for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Everything that was made here and not removed.
    pub made: Vec<Made>,
}

/// How a template stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TemplateStanding {
    /// Its resource id.
    pub id: String,
    /// Such as `Succeeded`; `Missing` when it is not there.
    pub provisioning_state: String,
    /// Why it could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_error: Option<String>,
    /// The resource group that its builds work in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staging_resource_group: Option<String>,
    /// The last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunStanding>,
    /// What it made.
    pub outputs: Vec<Output>,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStanding {
    /// Such as `Running`.
    pub run_state: String,
    /// Such as `Customizing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_sub_state: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// What the service says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Workflow<'_> {
    /// How things stand. Nothing is changed.
    ///
    /// # Errors
    /// When Azure cannot be asked.
    pub fn standing(&self) -> Result<Standing, Error> {
        let record = &self.state.record;
        let template = record.template.as_deref().map(|id| self.template_standing(id)).transpose()?;
        Ok(Standing {
            cloud: record.cloud.clone(),
            subscription: record.subscription.clone(),
            template,
            waiting_for: record.waiting.as_ref().map(|waiting| waiting.id.clone()),
            made: record.made.clone(),
        })
    }

    fn template_standing(&self, id: &str) -> Result<TemplateStanding, Error> {
        let Some(template) = self.look(id)? else {
            return Ok(TemplateStanding {
                id: id.to_owned(),
                provisioning_state: "Missing".to_owned(),
                provisioning_error: None,
                staging_resource_group: None,
                last_run: None,
                outputs: Vec::new(),
            });
        };
        let properties = template.properties;
        let last_run = properties.last_run_status.map(|last| RunStanding {
            run_state: last.run_state,
            run_sub_state: last.run_sub_state,
            start_time: last.start_time,
            end_time: last.end_time,
            message: last.message,
        });
        Ok(TemplateStanding {
            id: id.to_owned(),
            provisioning_state: properties.provisioning_state,
            provisioning_error: properties.provisioning_error.map(|error| error.message),
            staging_resource_group: properties.exact_staging_resource_group,
            last_run,
            outputs: self.outputs(id)?,
        })
    }
}
