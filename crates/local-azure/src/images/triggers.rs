//! Triggers of a template (azure-image-builder.md 2.5): checked as the service checks them, and never fired here.

use image_template::{Distribute, ImageTemplate, Source};
use serde_json::json;

use super::template::Kept;
use super::{TRIGGER, status};
use crate::error::ArmError;
use crate::store::{ALL, Row};
use crate::types::Edit;

fn refused(message: impl std::fmt::Display) -> ArmError {
    ArmError::bad("ValidationFailed", format!("Validation failed: {message}"))
}

/// Checks a trigger and fills in what the service says of it.
pub(crate) fn write(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    if edit.new["properties"]["kind"] != "SourceImage" {
        return Err(refused("properties.kind: the only kind of trigger is SourceImage"));
    }
    let key = edit.id.to_ascii_lowercase();
    let template = key.rsplit_once("/triggers/").map_or("", |(template, _)| template);
    let Some(kept) = Kept::find(edit.transaction, template)? else {
        return Err(ArmError::internal("a trigger without a template"));
    };
    if kept.row.body["properties"]["provisioningState"] != "Succeeded" {
        return Err(status::not_allowed("put trigger", &kept.row.body));
    }
    let there = Row::of_type(edit.transaction, &TRIGGER.to_ascii_lowercase(), template, None, ALL)?;
    if there.rows.iter().any(|row| row.key != key) {
        return Err(refused("the template has a trigger, and takes no second one"));
    }
    check(&kept.template()?)?;
    edit.new["properties"]["provisioningState"] = "Succeeded".into();
    edit.new["properties"]["status"] = json!({
        "code": "Healthy", "time": jiff::Timestamp::now().to_string(),
        "message": "Trigger is active. (This local endpoint keeps it and never fires it.)",
    });
    Ok(())
}

/// A source that changes, and a gallery that numbers what comes of it.
fn check(template: &ImageTemplate) -> Result<(), ArmError> {
    let definition = match &template.source {
        Source::PlatformImage { version, .. } if version.as_str().eq_ignore_ascii_case("latest") => None,
        Source::SharedImageVersion { image_version_id } => {
            let id = image_version_id.as_str().to_ascii_lowercase();
            let definition = id.strip_suffix("/versions/latest").map(str::to_owned);
            Some(definition.ok_or_else(|| refused("the template's source is an exact version"))?)
        }
        _ => return Err(refused("the template's source is no platform or gallery image of version latest")),
    };
    for target in &template.distribute {
        let Distribute::SharedImage(target) = target else { continue };
        let id = target.gallery_image_id.as_str().to_ascii_lowercase();
        if id.contains("/versions/") {
            return Err(refused(format!("the target {id} has an explicit version")));
        }
        if definition.as_ref() == Some(&id) {
            return Err(refused(format!("the target {id} is the source")));
        }
    }
    Ok(())
}
