//! Where a build runs.

use arm::Resource;
use image_template::{is_listed_region, region_slug};

use super::{BASE, BROUGHT, NETWORKING, OVERVIEW};
use crate::finding::Asked;
use crate::subject::text;
use crate::{Check, Outcome, Place, Repair, Requirement, Severity, Subject};

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
        title: "the region needs no preview feature",
        severity: Severity::Advised,
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

fn listed(subject: &Subject<'_>) -> Asked {
    let region = location(subject)?;
    if is_listed_region(&region) {
        return Ok(Outcome::pass(format!("{region} is listed")));
    }
    let az = "az provider show --namespace Microsoft.VirtualMachineImages --query \
              \"resourceTypes[?resourceType=='imageTemplates'].locations\"";
    let repair = Repair::in_words("build in a listed region: images may be distributed to others");
    let detail = format!("{region} is not among the documented regions");
    Ok(Outcome::fail(detail).repaired(repair.by(az.to_owned())))
}

fn preview(subject: &Subject<'_>) -> Asked {
    let region = location(subject)?;
    let feature = match region_slug(&region).as_str() {
        "usgovarizona" | "usgovvirginia" => "FairfaxPublicPreview",
        "chinanorth3" => "MooncakePublicPreview",
        _ => return Ok(Outcome::pass(format!("{region} needs none"))),
    };
    let az = format!("az feature register --namespace Microsoft.VirtualMachineImages --name {feature}");
    let repair = Repair::in_words(format!("register the feature {feature}")).by(az);
    Ok(Outcome::warn(format!("{region} is in preview behind the feature {feature}")).repaired(repair))
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
