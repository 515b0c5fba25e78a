//! The template beside the environment.

use arm::{Resource, ResourceId, field};
use document::Value;
use image_template::{Distribute, Source, Text};

use super::{BASE, BROUGHT, ISOLATED, NETWORKING, PRIVATE_LINK, TEMPLATE};
use crate::finding::Asked;
use crate::{Check, Outcome, Place, Repair, Requirement, Severity, Subject};

const PLAIN: Requirement = Requirement { source: TEMPLATE, ..BASE };

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "template.subnet",
        title: "the template names the build subnet of the environment",
        topologies: BROUGHT,
        check: Check::Ask(subnet),
        ..PLAIN
    },
    Requirement {
        id: "template.container-subnet",
        title: "the template names the container instance subnet of the environment",
        topologies: ISOLATED,
        check: Check::Ask(container_subnet),
        ..PLAIN
    },
    Requirement {
        id: "template.topology",
        title: "the build's network has the shape that Microsoft recommends",
        topologies: PRIVATE_LINK,
        severity: Severity::Advised,
        source: NETWORKING,
        check: Check::Ask(|_| Ok(discouraged())),
        ..PLAIN
    },
    Requirement {
        id: "template.identity",
        title: "the template has an identity that the documents describe",
        check: Check::Ask(identity),
        ..PLAIN
    },
    Requirement {
        id: "template.gallery-image",
        title: "the gallery's image definition takes what the source gives",
        check: Check::Ask(gallery_image),
        ..PLAIN
    },
];

fn named<'t>(subject: &Subject<'t>, place: Place) -> Option<&'t Text> {
    let network = subject.template?.vm_profile.vnet_config.as_ref()?;
    match place {
        Place::Build => Some(&network.subnet_id),
        Place::Container => network.container_instance_subnet_id.as_ref(),
    }
}

fn names(subject: &Subject<'_>, place: Place) -> Asked {
    let Some(named) = named(subject, place) else {
        return Ok(Outcome::skipped("no image template with a subnet was given"));
    };
    let subnet = subject.subnet(place)?;
    let Some(named) = named.known() else {
        return Ok(Outcome::undecided(format!("the subnet's id is {} in the template", named.as_str())));
    };
    match ResourceId::parse(named) {
        Ok(id) if id.tail() == subnet.id.tail() && may_be(&id, &subnet.id) => {
            Ok(Outcome::pass(format!("it is {named}")))
        }
        Ok(_) => {
            let detail = format!("the template names {named}, the environment {}", subnet.label());
            Ok(Outcome::fail(detail).at(subnet.value.span))
        }
        Err(error) => Ok(Outcome::fail(format!("{named} is no id of a subnet: {error}"))),
    }
}

/// Whether two ids may be one, as far as both are known.
fn may_be(one: &ResourceId, other: &ResourceId) -> bool {
    let same = |one: Option<&str>, other: Option<&str>| match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other) || other.starts_with(['*', '{']),
        _ => true,
    };
    same(one.subscription(), other.subscription()) && same(one.resource_group(), other.resource_group())
}

fn subnet(subject: &Subject<'_>) -> Asked {
    names(subject, Place::Build)
}

fn container_subnet(subject: &Subject<'_>) -> Asked {
    names(subject, Place::Container)
}

fn discouraged() -> Outcome {
    let repair =
        "give `vnetConfig` a `containerInstanceSubnetId` (API 2024-02-01 or later) and a delegated subnet";
    let detail =
        "with a build subnet alone the service needs a proxy VM, a load balancer and a private link service";
    Outcome::fail(detail).repaired(Repair::in_words(repair))
}

fn identity(subject: &Subject<'_>) -> Asked {
    let Some(template) = subject.template else { return Ok(Outcome::skipped("no image template was given")) };
    let Some(identity) = &template.identity else {
        let repair = "give the template one user-assigned identity";
        return Ok(Outcome::fail("it has none").repaired(Repair::in_words(repair)));
    };
    let id = identity.user_assigned.as_str();
    let Some(known) = identity.user_assigned.known() else {
        return Ok(Outcome::undecided(format!("the identity's id is {id} in the template")));
    };
    let inventory = subject.inventory()?;
    if inventory.of_type("Microsoft.ManagedIdentity/userAssignedIdentities").next().is_none() {
        return Ok(Outcome::skipped("no document describes an identity"));
    }
    match ResourceId::parse(known).ok().and_then(|id| inventory.find(&id)) {
        Some(own) => Ok(Outcome::pass(own.label())),
        None => Ok(Outcome::fail(format!("{known} is in none of the documents, though others are"))),
    }
}

/// Generation 2 and Trusted Launch: what a gallery's definition asks for, its source must be.
fn gallery_image(subject: &Subject<'_>) -> Asked {
    let template = subject.template.ok_or_else(|| Outcome::skipped("no image template was given"))?;
    let target = template.distribute.iter().find_map(|target| match target {
        Distribute::SharedImage(image) => Some(&image.gallery_image_id),
        _ => None,
    });
    let Some(target) = target else {
        return Ok(Outcome::pass("the template makes no gallery image version"));
    };
    let inventory = subject.inventory()?;
    let id = target.known().and_then(|id| ResourceId::parse(id).ok());
    let id = id.ok_or_else(|| {
        Outcome::undecided(format!("the image definition is {} in the template", target.as_str()))
    })?;
    let id = if id.is_type("Microsoft.Compute/galleries/images/versions") {
        id.parent().unwrap_or(id)
    } else {
        id
    };
    let definition = inventory.find(&id).ok_or_else(|| {
        Outcome::skipped(format!("no document describes the image definition {}", arm::label(&id)))
    })?;
    Ok(fits(definition, &template.source))
}

fn fits(definition: &Resource, source: &Source) -> Outcome {
    let text = |name| field(&definition.value, name).and_then(Value::as_str);
    let wanted = text("hyperVGeneration").unwrap_or("V1");
    let Source::PlatformImage { sku, offer, .. } = source else {
        return Outcome::undecided(
            "the generation of a source that is no image of the Marketplace is not known",
        );
    };
    let is_gen2 = [sku, offer].iter().any(|text| {
        let text = text.as_str().to_ascii_lowercase();
        text.contains("gen2") || text.ends_with("-g2")
    });
    // Ubuntu 24.04 names its first generation instead.
    let is_gen2 = is_gen2 || (offer.as_str() == "ubuntu-24_04-lts" && !sku.as_str().contains("gen1"));
    let given = if is_gen2 { "V2" } else { "V1" };
    if !wanted.eq_ignore_ascii_case(given) {
        let detail = format!("{} is for generation {wanted}, the source is of {given}", definition.label());
        return Outcome::fail(detail).at(definition.value.span);
    }
    let features = field(&definition.value, "features").and_then(Value::as_array).unwrap_or_default();
    let security = features.iter().find_map(|feature| {
        let name = field(feature, "name")?.as_str()?;
        name.eq_ignore_ascii_case("SecurityType").then(|| field(feature, "value")?.as_str()).flatten()
    });
    match security {
        Some(exclusive)
            if ["trustedlaunch", "confidentialvm"].contains(&exclusive.to_ascii_lowercase().as_str()) =>
        {
            Outcome::fail(format!(
                "{} has the security type {exclusive}, which the service cannot make",
                definition.label()
            ))
            .at(definition.value.span)
            .repaired(Repair::in_words(
                "make an image definition with the security type TrustedLaunchSupported",
            ))
        }
        Some(supported) => Outcome::undecided(format!(
            "whether the source is {supported}, too, as the image definition asks: no document tells"
        )),
        None => Outcome::pass(format!("both are of generation {given}, without a security type")),
    }
}
