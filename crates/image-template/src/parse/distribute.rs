//! Where the finished image goes.

use document::{Diagnostic, Fields, Node, Span, quote};

use super::context::{Context, FIRST, Field, Reported, optional};
use super::script::uri_text;
use super::source::is_version;
use super::steps::{NAME_RULE, is_name};
use crate::regions::slug;
use crate::{
    ApiVersion, Distribute, Regions, ReplicationMode, SharedImage, StorageAccountType, Tags, TargetRegion,
    Text, Versioning,
};

#[derive(Clone, Copy)]
enum Kind {
    Vhd,
    Managed,
    Shared,
}

const KINDS: [(&str, Kind); 3] =
    [("VHD", Kind::Vhd), ("ManagedImage", Kind::Managed), ("SharedImage", Kind::Shared)];

const COMMON: [Field; 3] = [("type", FIRST), ("runOutputName", FIRST), ("artifactTags", FIRST)];
const VHD: [Field; 1] = [("uri", ApiVersion::V2022_07_01)];
const MANAGED: [Field; 2] = [("imageId", FIRST), ("location", FIRST)];
const SHARED: [Field; 7] = [
    ("galleryImageId", FIRST),
    ("replicationRegions", FIRST),
    ("storageAccountType", FIRST),
    ("excludeFromLatest", FIRST),
    ("targetRegions", ApiVersion::V2022_07_01),
    ("versioning", ApiVersion::V2022_07_01),
    ("replicationMode", ApiVersion::V2025_10_01),
];

const STORAGE: [(&str, StorageAccountType); 3] = [
    ("Standard_LRS", StorageAccountType::StandardLrs),
    ("Standard_ZRS", StorageAccountType::StandardZrs),
    ("Premium_LRS", StorageAccountType::PremiumLrs),
];

/// Reads all targets. There is at least one, and their run output names differ.
pub(super) fn read_all(context: &mut Context, node: &Node<'_>) -> Option<Vec<Distribute>> {
    let items = context.array(node)?;
    if items.is_empty() {
        context.error("empty-distribute", node, "the image goes nowhere", "at least one target");
        return None;
    }
    let mut names: Vec<(Text, String)> = Vec::new();
    let targets: Vec<_> = items.iter().map(|item| target(context, item, &mut names)).collect();
    targets.into_iter().collect()
}

fn target(context: &mut Context, node: &Node<'_>, names: &mut Vec<(Text, String)>) -> Option<Distribute> {
    if node.value.as_object().is_none() {
        context.fields(node, &[]);
        return None;
    }
    let kind = context.discriminator(node, &KINDS)?;
    let own: &[Field] = match kind {
        Kind::Vhd => &VHD,
        Kind::Managed => &MANAGED,
        Kind::Shared => &SHARED,
    };
    let mut table = [&COMMON, own].concat();
    // The first previews called `artifactTags` `tags`.
    if context.version < ApiVersion::V2019_05_01Preview {
        table.push(("tags", FIRST));
    }
    let fields = context.fields(node, &table)?;
    let run_output_name = output_name(context, &fields, names);
    let mut artifact_tags = context.tags(&fields, "artifactTags");
    artifact_tags.append(&mut context.tags(&fields, "tags"));
    match kind {
        Kind::Vhd => {
            let uri = match optional(&fields, "uri") {
                Some(uri) => Some(uri_text(context, &uri)?),
                None => None,
            };
            Some(Distribute::Vhd { run_output_name: run_output_name?, artifact_tags, uri })
        }
        Kind::Managed => managed(context, &fields, run_output_name, artifact_tags),
        Kind::Shared => shared(context, &fields, run_output_name, artifact_tags),
    }
}

/// The run output's name, which no earlier target has.
fn output_name(context: &mut Context, fields: &Fields<'_>, names: &mut Vec<(Text, String)>) -> Option<Text> {
    let node = context.reader.required(fields, "runOutputName")?;
    let name = context.shaped(&node, NAME_RULE, is_name)?;
    let earlier = names.iter().find(|(other, _)| other.as_str().eq_ignore_ascii_case(name.as_str()));
    if let Some((_, path)) = earlier {
        let message = format!("{} is already the name of {path}", quote(name.as_str()));
        context.error("duplicate-run-output", &node, message, "a name that no other target has");
    } else {
        names.push((name.clone(), node.path));
    }
    Some(name)
}

fn managed(
    context: &mut Context,
    fields: &Fields<'_>,
    run_output_name: Option<Text>,
    artifact_tags: Tags,
) -> Option<Distribute> {
    const EXAMPLE: &str = "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Compute/images/{name}";
    let image_id = context.reader.required(fields, "imageId");
    let image_id = image_id.and_then(|id| context.resource_id(&id, "Microsoft.Compute/images", EXAMPLE));
    let location = context.required_text(fields, "location");
    Some(Distribute::ManagedImage {
        run_output_name: run_output_name?,
        artifact_tags,
        image_id: image_id?,
        location: location?,
    })
}

fn shared(
    context: &mut Context,
    fields: &Fields<'_>,
    run_output_name: Option<Text>,
    artifact_tags: Tags,
) -> Option<Distribute> {
    let gallery_image_id =
        context.reader.required(fields, "galleryImageId").and_then(|id| gallery_image(context, &id));
    let regions = regions(context, fields);
    let exclude_from_latest = context.boolean(fields, "excludeFromLatest");
    let versioning = match fields.get("versioning") {
        Some(node) => Some(versioning(context, &node)?),
        None => None,
    };
    let modes = [("Full", ReplicationMode::Full), ("Shallow", ReplicationMode::Shallow)];
    let replication_mode = match fields.get("replicationMode") {
        Some(node) => context.one_of(&node, &modes)?,
        None => ReplicationMode::Full,
    };
    Some(Distribute::SharedImage(SharedImage {
        run_output_name: run_output_name?,
        artifact_tags,
        gallery_image_id: gallery_image_id?,
        regions: regions?,
        exclude_from_latest,
        versioning,
        replication_mode,
    }))
}

/// An image definition, or a version of it with three numbers.
fn gallery_image(context: &mut Context, node: &Node<'_>) -> Option<Text> {
    const EXAMPLE: &str = "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Compute/galleries/{gallery}\
        /images/{definition}, or that with /versions/{x.y.z}";
    const VERSION: &str = "Microsoft.Compute/galleries/images/versions";
    let text = node.value.as_str().unwrap_or_default();
    let Ok(id) = arm::ResourceId::parse(text) else {
        return context.resource_id(node, "Microsoft.Compute/galleries/images", EXAMPLE);
    };
    if !id.is_type(VERSION) {
        return context.resource_id(node, "Microsoft.Compute/galleries/images", EXAMPLE);
    }
    let target = context.resource_id(node, VERSION, EXAMPLE)?;
    if target.known().is_some() && !is_version(id.name()) {
        let message = format!("{} is not a version that can be made", quote(id.name()));
        context.error("bad-value", node, message, "three numbers `x.y.z`, or no `/versions/` part");
        return None;
    }
    Some(target)
}

fn storage(context: &mut Context, fields: &Fields<'_>) -> Result<Option<StorageAccountType>, Reported> {
    let Some(node) = optional(fields, "storageAccountType") else { return Ok(None) };
    let storage = context.one_of(&node, &STORAGE).ok_or(Reported)?;
    if storage == StorageAccountType::PremiumLrs && context.version.max(FIRST) < ApiVersion::V2022_07_01 {
        context.too_new(node.span(), &node.path, "`Premium_LRS`", ApiVersion::V2022_07_01);
    }
    Ok(Some(storage))
}

/// `targetRegions` or `replicationRegions`, never both; the latter was required up to 2022-02-14.
fn regions(context: &mut Context, fields: &Fields<'_>) -> Option<Regions> {
    let storage = storage(context, fields);
    let target = fields.get("targetRegions");
    let replication = fields.get("replicationRegions");
    if let (None, Some(node)) = (&replication, optional(fields, "storageAccountType")) {
        let message = "`storageAccountType` belongs to `replicationRegions`; there is none";
        context.error(
            "storage-without-regions",
            &node,
            message,
            "`storageAccountType` inside each of `targetRegions`",
        );
    }
    match (target, replication) {
        (Some(_), Some(replication)) => {
            let span =
                fields.member("replicationRegions").map_or(replication.span(), |member| member.key_span);
            context.reader.report(
                Diagnostic::error(
                    "two-region-lists",
                    span,
                    "`targetRegions` and `replicationRegions` are both given",
                )
                .at(&replication.path)
                .expecting("either `targetRegions` or `replicationRegions`")
                .hinting("keep `targetRegions`; `replicationRegions` is its deprecated form"),
            );
            None
        }
        (Some(target), None) => target_regions(context, &target).map(Regions::Target),
        (None, Some(replication)) => {
            let items = context.array(&replication)?;
            let mut seen = Vec::new();
            let names: Vec<_> = items.iter().map(|item| region(context, item, &mut seen)).collect();
            Some(Regions::Replication {
                names: names.into_iter().collect::<Option<_>>()?,
                storage: storage.ok()?,
            })
        }
        (None, None) if context.version < ApiVersion::V2022_07_01 && !context.version.is_preview() => {
            context.reader.required(fields, "replicationRegions");
            None
        }
        (None, None) => Some(Regions::Unspecified),
    }
}

fn target_regions(context: &mut Context, node: &Node<'_>) -> Option<Vec<TargetRegion>> {
    let table = [("name", FIRST), ("replicaCount", FIRST), ("storageAccountType", FIRST)];
    let mut seen = Vec::new();
    let mut read = |context: &mut Context, item: &Node<'_>| {
        let fields = context.fields(item, &table)?;
        let name =
            context.reader.required(&fields, "name").and_then(|name| region(context, &name, &mut seen));
        let replica_count = context.integer(&fields, "replicaCount", 1..=i32::MAX.unsigned_abs(), 1);
        let storage = storage(context, &fields).ok()?;
        Some(TargetRegion { name: name?, replica_count, storage })
    };
    let items = context.array(node)?;
    let regions: Vec<_> = items.iter().map(|item| read(context, item)).collect();
    regions.into_iter().collect()
}

/// A region's name that has not come before. Images may go to regions where the service does not run.
fn region(context: &mut Context, node: &Node<'_>, seen: &mut Vec<String>) -> Option<Text> {
    let name = context.text(node)?;
    let slug = slug(name.as_str());
    if name.known().is_some() && seen.contains(&slug) {
        let message = format!("{} is given twice", quote(name.as_str()));
        context.error("duplicate-region", node, message, "each region once");
    }
    seen.push(slug);
    Some(name)
}

fn versioning(context: &mut Context, node: &Node<'_>) -> Option<Versioning> {
    let fields = context.fields(node, &[("scheme", FIRST), ("major", FIRST)])?;
    let scheme = context.reader.required(&fields, "scheme")?;
    let latest = context.one_of(&scheme, &[("Latest", true), ("Source", false)])?;
    let Some(major) = fields.get("major") else {
        return Some(if latest { Versioning::Latest { major: None } } else { Versioning::Source });
    };
    if !latest {
        let span = fields.member("major").map_or(Span::default(), |member| member.key_span);
        context.reader.report(
            Diagnostic::error("bad-value", span, "`major` belongs to the scheme `Latest`")
                .at(&major.path)
                .expecting("no `major` beside the scheme `Source`"),
        );
        return None;
    }
    // -1 is the service's way to say that no major version is meant.
    let number = context.reader.integer(&major, -1..=i64::from(i32::MAX))?;
    Some(Versioning::Latest { major: u32::try_from(number).ok() })
}
