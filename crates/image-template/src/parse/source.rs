//! What the build starts from.

use document::{Node, quote};

use super::context::{Context, FIRST, Field};
use crate::{ApiVersion, PlanInfo, Source, Text, bases};

#[derive(Clone, Copy)]
enum Kind {
    Platform,
    Managed,
    Shared,
}

const KINDS: [(&str, Kind); 3] = [
    ("PlatformImage", Kind::Platform),
    ("ManagedImage", Kind::Managed),
    ("SharedImageVersion", Kind::Shared),
];

const PLATFORM: [Field; 7] = [
    ("type", FIRST),
    ("publisher", FIRST),
    ("offer", FIRST),
    ("sku", FIRST),
    ("version", FIRST),
    ("planInfo", FIRST),
    ("exactVersion", ApiVersion::V2021_10_01),
];

const PLAN: [Field; 3] = [("planName", FIRST), ("planProduct", FIRST), ("planPublisher", FIRST)];

const MANAGED_IMAGE: &str = "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Compute/images/{name}";

const IMAGE_VERSION: &str = "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Compute/galleries/{gallery}\
    /images/{definition}/versions/{x.y.z or latest}";

pub(super) fn read(context: &mut Context, node: &Node<'_>) -> Option<Source> {
    if node.value.as_object().is_none() {
        context.fields(node, &[]);
        return None;
    }
    match context.discriminator(node, &KINDS)? {
        Kind::Platform => platform(context, node),
        Kind::Managed => {
            let fields = context.fields(node, &[("type", FIRST), ("imageId", FIRST)])?;
            let id = context.reader.required(&fields, "imageId")?;
            let image_id = context.resource_id(&id, "Microsoft.Compute/images", MANAGED_IMAGE)?;
            Some(Source::ManagedImage { image_id })
        }
        Kind::Shared => shared(context, node),
    }
}

fn platform(context: &mut Context, node: &Node<'_>) -> Option<Source> {
    let fields = context.fields(node, &PLATFORM)?;
    let publisher = context.required_text(&fields, "publisher");
    let offer = context.required_text(&fields, "offer");
    let sku = context.required_text(&fields, "sku");
    let version = context.required_text(&fields, "version");
    let plan_info = match fields.get("planInfo") {
        Some(plan) => Some(read_plan(context, &plan)?),
        None => None,
    };
    let (publisher, offer, sku, version) = (publisher?, offer?, sku?, version?);
    if let (Some(publisher), Some(offer), Some(sku)) = (publisher.known(), offer.known(), sku.known())
        && let Some(retired) = bases::retired(publisher, offer, sku)
    {
        let span = fields.get("offer").map_or(node.span(), |offer| offer.span());
        context.warn("retired-base", span, &node.path, retired.why, retired.instead);
    }
    Some(Source::PlatformImage { publisher, offer, sku, version, plan_info })
}

fn read_plan(context: &mut Context, node: &Node<'_>) -> Option<PlanInfo> {
    let fields = context.fields(node, &PLAN)?;
    let name = context.required_text(&fields, "planName");
    let product = context.required_text(&fields, "planProduct");
    let publisher = context.required_text(&fields, "planPublisher");
    Some(PlanInfo { name: name?, product: product?, publisher: publisher? })
}

/// A version of a gallery image; `latest` came with 2022-07-01.
fn shared(context: &mut Context, node: &Node<'_>) -> Option<Source> {
    let table = [("type", FIRST), ("imageVersionId", FIRST), ("exactVersion", ApiVersion::V2022_07_01)];
    let fields = context.fields(node, &table)?;
    let id = context.reader.required(&fields, "imageVersionId")?;
    let image_version_id = gallery_version(context, &id)?;
    let version = image_version_id.known().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
    if version.eq_ignore_ascii_case("latest") {
        let in_force = context.version.max(FIRST);
        if in_force < ApiVersion::V2022_07_01 {
            context.too_new(
                id.span(),
                &id.path,
                "version `latest` of a gallery image",
                ApiVersion::V2022_07_01,
            );
        }
    } else if !version.is_empty() && !is_version(version) {
        context.error(
            "bad-value",
            &id,
            format!("{} is not a version", quote(version)),
            "`x.y.z` or `latest`",
        );
        return None;
    }
    Some(Source::SharedImageVersion { image_version_id })
}

/// A version in a gallery of a resource group, or of a gallery that is shared directly, whose ids start
/// differently.
fn gallery_version(context: &mut Context, node: &Node<'_>) -> Option<Text> {
    let text = node.value.as_str().unwrap_or_default();
    let directly = ["/sharedGalleries/", "/communityGalleries/"];
    if directly.iter().any(|start| text.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start)))
    {
        return context.text(node);
    }
    context.resource_id(node, "Microsoft.Compute/galleries/images/versions", IMAGE_VERSION)
}

/// Whether a gallery image version is three numbers.
pub(super) fn is_version(text: &str) -> bool {
    let numbers: Vec<_> = text.split('.').collect();
    numbers.len() == 3
        && numbers
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u32>().is_ok())
}
