//! What a subscription may still start in the region of the build: sizes, and cores of their families.
//!
//! `check --live` reads it; the documents that it makes of that are the ones that are read here.

use arm::{Resource, field};
use document::{Kind, Value};
use image_template::{ImageTemplate, Text, region_slug};

use super::{BASE, ISOLATION, TEMPLATE};
use crate::finding::Asked;
use crate::{Check, Outcome, Repair, Requirement, Subject};

/// The type of what is told of a size: `family`, `cores`, and a `restriction` where it cannot be had.
pub const SIZES: &str = "Microsoft.Compute/locations/sizes";
/// The types of what is told of a quota: `currentValue` and `limit`.
pub const USAGES: [&str; 2] =
    ["Microsoft.Compute/locations/usages", "Microsoft.ContainerInstance/locations/usages"];

/// What the service takes for a source of the second generation (azure-image-builder.md 1.7).
const BUILD_SIZE: &str = "Standard_D2ds_v4";
/// What the service takes for the proxy of a build that is not isolated (azure-image-builder.md 4).
const PROXY_SIZE: &str = "Standard_A1_v2";
/// Cores of the container group of a build, and the quota that they count against (azure-image-builder.md 5.4).
const CONTAINER_CORES: u64 = 4;
const CONTAINER_QUOTA: &str = "StandardCores";
/// The quota of a region that cores of every family count against.
const ALL_CORES: &str = "cores";

const UNTOLD: &str = "no document tells of it; `check --live` reads it";

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "region.vm-size",
        title: "the subscription may have the sizes of the build's machines in the region",
        source: TEMPLATE,
        assumption: Some("without `vmSize`, the source is of the second generation"),
        check: Check::Ask(sizes),
        ..BASE
    },
    Requirement {
        id: "region.vm-quota",
        title: "the quotas of the region have room for the build's machines",
        source: TEMPLATE,
        assumption: Some("without `vmSize`, the source is of the second generation"),
        check: Check::Ask(cores),
        ..BASE
    },
    Requirement {
        id: "region.container-quota",
        title: "the quota of container instances has room for the container group of a build",
        source: ISOLATION,
        check: Check::Ask(containers),
        ..BASE
    },
];

/// Sizes of the machines that a build of a template starts: its own, and that of the proxy where there is one.
pub fn build_sizes(template: &ImageTemplate) -> Vec<String> {
    let or = |size: Option<&Text>, default: &str| {
        size.and_then(Text::known).filter(|size| !size.is_empty()).unwrap_or(default).to_owned()
    };
    let profile = &template.vm_profile;
    let mut sizes = vec![or(profile.vm_size.as_ref(), BUILD_SIZE)];
    if let Some(network) =
        profile.vnet_config.as_ref().filter(|own| own.container_instance_subnet_id.is_none())
    {
        sizes.push(or(network.proxy_vm_size.as_ref(), PROXY_SIZE));
    }
    sizes
}

/// A size as the documents tell of it in the region of the build.
struct Size<'a> {
    name: String,
    told: &'a Resource,
}

fn told_sizes<'a>(subject: &Subject<'a>) -> Result<Vec<Size<'a>>, Outcome> {
    let template = subject.template.ok_or_else(|| Outcome::skipped("no template was given"))?;
    let wanted = build_sizes(template);
    let find = |name: &String| {
        let told = here(subject, SIZES, name)?.ok_or_else(|| Outcome::skipped(UNTOLD))?;
        Ok(Size { name: name.clone(), told })
    };
    wanted.iter().map(find).collect()
}

/// What is told of something with a name in the region of the build.
fn here<'a>(subject: &Subject<'a>, kind: &str, name: &str) -> Result<Option<&'a Resource>, Outcome> {
    let location = subject.location().ok_or_else(|| Outcome::skipped("nothing says the region"))?;
    let slug = region_slug(&location);
    let is_here = |own: &&Resource| {
        let names: Vec<_> = own.id.names().collect();
        names.first().is_some_and(|region| region_slug(region) == slug)
            && own.id.name().eq_ignore_ascii_case(name)
    };
    Ok(subject.inventory()?.of_type(kind).find(is_here))
}

fn number(told: &Resource, name: &str) -> Option<u64> {
    match &field(&told.value, name)?.kind {
        Kind::Number(number) => u64::try_from(number.as_i64()?).ok(),
        _ => None,
    }
}

fn sizes(subject: &Subject<'_>) -> Asked {
    let sizes = told_sizes(subject)?;
    for Size { name, told } in &sizes {
        let Some(why) = field(&told.value, "restriction").and_then(Value::as_str) else { continue };
        let repair =
            Repair::in_words("name another size as `vmProfile.vmSize`, or ask Azure for access to this one");
        return Ok(Outcome::fail(format!("{name} cannot be had: {why}")).repaired(repair));
    }
    let names: Vec<_> = sizes.into_iter().map(|size| size.name).collect();
    Ok(Outcome::pass(format!("{} can be had", names.join(" and "))))
}

/// Cores that are free of a quota.
struct Room {
    free: u64,
    limit: u64,
}

fn room(subject: &Subject<'_>, kind: &str, name: &str) -> Result<Room, Outcome> {
    let told = here(subject, kind, name)?.ok_or_else(|| Outcome::skipped(UNTOLD))?;
    let (Some(current), Some(limit)) = (number(told, "currentValue"), number(told, "limit")) else {
        return Err(Outcome::undecided(format!("the usage of the quota {name} is not told as numbers")));
    };
    Ok(Room { free: limit.saturating_sub(current), limit })
}

fn cores(subject: &Subject<'_>) -> Asked {
    let mut needed: Vec<(String, u64)> = vec![(ALL_CORES.to_owned(), 0)];
    for Size { name, told } in told_sizes(subject)? {
        let family = field(&told.value, "family").and_then(Value::as_str);
        let cores = number(told, "cores");
        let (Some(family), Some(cores)) = (family, cores) else {
            return Ok(Outcome::undecided(format!("how many cores of which family {name} has is not told")));
        };
        needed[0].1 += cores;
        match needed.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(family)) {
            Some((_, own)) => *own += cores,
            None => needed.push((family.to_owned(), cores)),
        }
    }
    let mut told = Vec::new();
    for (quota, needed) in &needed {
        let Room { free, limit } = room(subject, USAGES[0], quota)?;
        let detail = format!("{free} of {limit} cores of {quota} are free, and a build takes {needed}");
        if free < *needed {
            let repair = Repair::in_words("ask Azure for a larger quota, or name a size of another family");
            return Ok(Outcome::fail(detail).repaired(repair));
        }
        told.push(detail);
    }
    Ok(Outcome::pass(told.join("; ")))
}

fn containers(subject: &Subject<'_>) -> Asked {
    let Room { free, limit } = room(subject, USAGES[1], CONTAINER_QUOTA)?;
    let detail = format!(
        "{free} of {limit} standard cores of container instances are free, and a build takes {CONTAINER_CORES}"
    );
    if free < CONTAINER_CORES {
        let repair =
            Repair::in_words("wait for other builds, or ask Azure for a larger quota of container instances");
        return Ok(Outcome::fail(detail).repaired(repair));
    }
    Ok(Outcome::pass(detail))
}
