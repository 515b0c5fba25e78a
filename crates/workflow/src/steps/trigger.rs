//! The trigger: a new version of the source image starts a run by itself (azure-image-builder.md 2.5).

use azure::resources::{Trigger, TriggerProperties, version};
use serde::de::IgnoredAny;

use crate::Workflow;
use crate::design::Design;
use crate::error::Error;
use crate::state::Kind;

/// The one trigger that a template can have.
pub(super) fn trigger_id(design: &Design) -> String {
    format!("{}/triggers/source-image", design.template_id())
}

impl Workflow<'_> {
    pub(super) fn trigger(&mut self, design: &Design) -> Result<Vec<String>, Error> {
        let id = trigger_id(design);
        if !design.trigger || self.is_there(&id, version::TEMPLATES)? {
            return Ok(Vec::new());
        }
        let body = Trigger { properties: TriggerProperties { kind: "SourceImage" } };
        self.make::<_, IgnoredAny>(Kind::Trigger, (&id, version::TEMPLATES), &body)?;
        Ok(vec![format!("made {id}")])
    }
}
