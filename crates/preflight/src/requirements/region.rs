//! Where a build runs.

use arm::{Resource, field};
use document::Value;
use image_template::{is_listed_region, listed_regions, region_slug};

use super::provider::{NAMESPACE, feature_state, register};
use super::{BASE, BROUGHT, NETWORKING, OVERVIEW};
use crate::finding::Asked;
use crate::subject::text;
use crate::{Check, Cloud, Outcome, Place, Repair, Requirement, Subject};

const ELSEWHERE: &str = "build in a region that has it: images may be distributed to others";

const PLAIN: Requirement = Requirement { source: OVERVIEW, ..BASE };

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "region.supported",
        title: "the service runs in the region",
        check: Check::Ask(listed),
        ..PLAIN
    },
    Requirement {
        id: "region.preview",
        title: "the preview feature that the region is behind, if any, is registered",
        check: Check::Ask(preview),
        ..PLAIN
    },
    Requirement {
        id: "region.virtual-network",
        title: "the virtual network is in the region of the build",
        topologies: BROUGHT,
        source: NETWORKING,
        check: Check::Ask(same_region),
        ..PLAIN
    },
];

fn location(subject: &Subject<'_>) -> Result<String, Outcome> {
    subject.location().ok_or_else(|| Outcome::skipped("neither environment nor template says the region"))
}

/// The regions of image templates, as `az provider show` prints them: what Azure itself says of the subscription.
fn offered(subject: &Subject<'_>) -> Option<Vec<String>> {
    let inventory = subject.inventory().ok()?;
    let text = |value: &Value, name| field(value, name).and_then(Value::as_str).map(str::to_owned);
    let is_own = |provider: &&Value| {
        text(provider, "namespace").is_some_and(|name| name.eq_ignore_ascii_case(NAMESPACE))
    };
    let types = field(inventory.providers().find(is_own)?, "resourceTypes")?.as_array()?;
    let templates = types.iter().find(|one| {
        text(one, "resourceType").is_some_and(|name| name.eq_ignore_ascii_case("imageTemplates"))
    })?;
    let regions = field(templates, "locations")?.as_array()?;
    Some(regions.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn listed(subject: &Subject<'_>) -> Asked {
    let region = location(subject)?;
    let cloud = Cloud::of_region(&region);
    let slug = region_slug(&region);
    if let Some(offered) = offered(subject) {
        return Ok(if offered.iter().any(|own| region_slug(own) == slug) {
            Outcome::pass(format!("the subscription is offered it in {region}"))
        } else {
            let detail =
                format!("the subscription is offered it in {}, and not in {region}", offered.join(", "));
            Outcome::fail(detail).repaired(Repair::in_words(ELSEWHERE))
        });
    }
    if is_listed_region(&region) {
        return Ok(Outcome::pass(format!("{region} is listed")));
    }
    let az = format!(
        "{}az provider show --namespace {NAMESPACE} --query \"resourceTypes[?resourceType=='imageTemplates'].locations\"",
        cloud.az()
    );
    let own = listed_regions().filter(|listed| Cloud::of_region(listed) == cloud);
    let known = match cloud {
        Cloud::Public => String::new(),
        _ => format!(" of {}: {}", cloud.name(), own.collect::<Vec<_>>().join(", ")),
    };
    let detail = format!("{region} is not among the documented regions{known}");
    Ok(Outcome::fail(detail).repaired(Repair::in_words(ELSEWHERE).by(az)))
}

/// The feature that a region, by its slug, is behind, and whether all pages say so (azure-image-builder.md 5.4).
pub fn preview_feature(slug: &str) -> Option<(&'static str, bool)> {
    match slug {
        "usgovarizona" | "usgovvirginia" => Some(("FairfaxPublicPreview", true)),
        // The overview page has it as a region like others, the template page behind the feature.
        "chinanorth3" => Some(("MooncakePublicPreview", false)),
        _ => None,
    }
}

fn preview(subject: &Subject<'_>) -> Asked {
    let region = location(subject)?;
    let Some((feature, is_certain)) = preview_feature(&region_slug(&region)) else {
        return Ok(Outcome::pass(format!("{region} is behind none")));
    };
    let told = subject.inventory().ok().and_then(|inventory| feature_state(inventory, feature));
    let repair = register(feature, Cloud::of_region(&region));
    Ok(match told {
        Some(state) if state.eq_ignore_ascii_case("registered") => {
            Outcome::pass(format!("{feature} is registered, which {region} is behind"))
        }
        Some(state) if is_certain => {
            Outcome::fail(format!("{region} is in preview behind the feature {feature}, which is {state}"))
                .repaired(repair)
        }
        Some(state) => {
            let detail =
                format!("one page says that {region} is behind the feature {feature}, which is {state}");
            Outcome::warn(detail).repaired(repair)
        }
        None => {
            let detail = format!(
                "{region} is in preview behind the feature {feature}, and no document tells of it (`az feature list \
                 --namespace {NAMESPACE}`)"
            );
            Outcome::warn(detail).repaired(repair)
        }
    })
}

fn same_region(subject: &Subject<'_>) -> Asked {
    let site = subject.site(Place::Build)?;
    let network: &Resource =
        site.network.ok_or_else(|| Outcome::skipped("no document describes the virtual network"))?;
    let own = text(network, "location")?
        .ok_or_else(|| Outcome::skipped(format!("no document tells the region of {}", network.label())))?;
    let region = location(subject)?;
    Ok(if region_slug(own) == region_slug(&region) {
        Outcome::pass(format!("both are in {region}"))
    } else {
        Outcome::fail(format!("the build is in {region}, {} in {own}", network.label()))
            .at(network.value.span)
    })
}
