//! The properties of the resource.

use document::{Fields, Node};

use super::context::{Context, FIRST, Field, optional};
use super::{distribute, profile, source, steps};
use crate::bases::{self, Os};
use crate::{ApiVersion, AutoRun, ErrorHandling, ImageTemplate, Optimize, Tags, Text, VmProfile};

/// The last four are Azure's own; an exported resource holds them.
const PROPERTIES: [Field; 16] = [
    ("source", FIRST),
    ("customize", FIRST),
    ("distribute", FIRST),
    ("buildTimeoutInMinutes", FIRST),
    ("vmProfile", FIRST),
    ("validate", ApiVersion::V2022_02_14),
    ("stagingResourceGroup", ApiVersion::V2022_02_14),
    ("optimize", ApiVersion::V2022_07_01),
    ("errorHandling", ApiVersion::V2023_07_01),
    ("autoRun", ApiVersion::V2024_02_01),
    ("managedResourceTags", ApiVersion::V2024_02_01),
    ("additionalDataDisks", ApiVersion::V2025_10_01),
    ("provisioningState", FIRST),
    ("provisioningError", FIRST),
    ("lastRunStatus", FIRST),
    ("exactStagingResourceGroup", FIRST),
];

/// The longest build that the service allows, in minutes.
const LONGEST_BUILD: u32 = 960;

/// Reads the properties into a template whose envelope is empty.
pub(super) fn read(context: &mut Context, node: &Node<'_>) -> Option<ImageTemplate> {
    let fields = context.fields(node, &PROPERTIES)?;
    let source = context.reader.required(&fields, "source").and_then(|node| source::read(context, &node));
    let os = fields.get("source").and_then(|node| os_of(&node));
    let (customize, validate) =
        steps::read_all(context, fields.get("customize").as_ref(), fields.get("validate").as_ref(), os);
    let distribute =
        context.reader.required(&fields, "distribute").and_then(|node| distribute::read_all(context, &node));
    let build_timeout_minutes = timeout(context, &fields);
    let vm_profile = part(context, &fields, "vmProfile", profile::vm_profile, VmProfile::default);
    let optimize = part(context, &fields, "optimize", profile::optimize, Optimize::default);
    let error_handling =
        part(context, &fields, "errorHandling", profile::error_handling, ErrorHandling::default);
    let auto_run = part(context, &fields, "autoRun", profile::auto_run, AutoRun::default);
    let disks = part(context, &fields, "additionalDataDisks", profile::data_disks, Vec::new);
    let staging_resource_group = optional(&fields, "stagingResourceGroup")
        .and_then(|node| profile::staging_resource_group(context, &node));
    let managed_resource_tags = context.tags(&fields, "managedResourceTags");
    Some(ImageTemplate {
        api_version: context.version,
        name: None,
        location: Text::default(),
        tags: Tags::new(),
        identity: None,
        source: source?,
        customize: customize?,
        optimize: optimize?,
        validate: validate.ok()?,
        distribute: distribute?,
        error_handling: error_handling?,
        build_timeout_minutes,
        vm_profile: vm_profile?,
        additional_data_disks: disks?,
        staging_resource_group,
        auto_run: auto_run?,
        managed_resource_tags,
    })
}

/// A part that may be absent, and has a default then.
fn part<T>(
    context: &mut Context,
    fields: &Fields<'_>,
    name: &str,
    read: fn(&mut Context, &Node<'_>) -> Option<T>,
    default: fn() -> T,
) -> Option<T> {
    fields.get(name).map_or_else(|| Some(default()), |node| read(context, &node))
}

/// The operating system of the source, as far as the text shows it, even beside errors.
fn os_of(node: &Node<'_>) -> Option<Os> {
    bases::os_of(node.value.get("publisher")?.as_str()?)
}

fn timeout(context: &mut Context, fields: &Fields<'_>) -> u32 {
    let minutes = context.integer(fields, "buildTimeoutInMinutes", 0..=LONGEST_BUILD, 0);
    if (1..6).contains(&minutes)
        && let Some(node) = fields.get("buildTimeoutInMinutes")
    {
        context.warn(
            "timeout-too-short",
            node.span(),
            &node.path,
            format!("{minutes} minutes are accepted, and then the build fails as it starts"),
            "use 0 (which is 240 minutes) or 6 to 960",
        );
    }
    minutes
}
