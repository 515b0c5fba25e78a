//! What the template's identity must be allowed to do.

use access::Action;
use arm::ResourceId;
use image_template::{Customizer, Distribute, ImageTemplate, Script, Source};

use super::grant::{ASSIGN, IDENTITY_OPERATOR, Permissions, Who, at_each, identity, told, within};
use super::{BASE, BROUGHT, ISOLATED, PERMISSIONS, TEMPLATE};
use crate::finding::Asked;
use crate::{Check, Outcome, Place, Requirement, Subject};

pub(super) const JOIN_NETWORK: Permissions = Permissions {
    name: "network",
    actions: &[
        Action::Control("Microsoft.Network/virtualNetworks/read"),
        Action::Control("Microsoft.Network/virtualNetworks/subnets/join/action"),
    ],
    role: None,
};
pub(super) const WRITE_IMAGE: Permissions = Permissions {
    name: "image",
    actions: &[
        Action::Control("Microsoft.Compute/images/write"),
        Action::Control("Microsoft.Compute/images/read"),
        Action::Control("Microsoft.Compute/images/delete"),
    ],
    role: None,
};
pub(super) const READ_IMAGE: Permissions = Permissions {
    name: "source image",
    actions: &[Action::Control("Microsoft.Compute/images/read")],
    role: None,
};
pub(super) const WRITE_GALLERY: Permissions = Permissions {
    name: "gallery",
    actions: &[
        Action::Control("Microsoft.Compute/galleries/read"),
        Action::Control("Microsoft.Compute/galleries/images/read"),
        Action::Control("Microsoft.Compute/galleries/images/versions/read"),
        Action::Control("Microsoft.Compute/galleries/images/versions/write"),
    ],
    role: None,
};
pub(super) const READ_GALLERY: Permissions = Permissions {
    name: "source gallery",
    actions: &[
        Action::Control("Microsoft.Compute/galleries/read"),
        Action::Control("Microsoft.Compute/galleries/images/read"),
        Action::Control("Microsoft.Compute/galleries/images/versions/read"),
    ],
    role: None,
};
pub(super) const READ_BLOB: Permissions = Permissions {
    name: "scripts",
    actions: &[Action::Data("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read")],
    role: Some("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
};
pub(super) const GIVE_IDENTITY: Permissions =
    Permissions { name: "build VM identities", actions: &[ASSIGN], role: Some(IDENTITY_OPERATOR) };
/// Of what Contributor may do, what a build makes in its staging resource group.
pub(super) const STAGING: Permissions = Permissions {
    name: "staging",
    actions: &[
        Action::Control("Microsoft.Compute/virtualMachines/write"),
        Action::Control("Microsoft.Storage/storageAccounts/write"),
        Action::Control("Microsoft.ContainerInstance/containerGroups/write"),
        Action::Control("Microsoft.Network/networkInterfaces/write"),
    ],
    role: Some("b24988ac-6180-42a0-ab88-20f7382dd24c"),
};
const PLAIN: Requirement = Requirement { source: PERMISSIONS, ..BASE };

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "access.identity.network",
        title: "the template's identity may join the build subnet",
        topologies: BROUGHT,
        check: Check::Ask(network),
        ..PLAIN
    },
    Requirement {
        id: "access.identity.container-network",
        title: "the template's identity may join the container instance subnet",
        topologies: ISOLATED,
        check: Check::Ask(container_network),
        ..PLAIN
    },
    Requirement {
        id: "access.identity.image",
        title: "the template's identity may write the managed image",
        check: Check::Ask(image),
        ..PLAIN
    },
    Requirement {
        id: "access.identity.gallery",
        title: "the template's identity may write versions into the gallery",
        check: Check::Ask(gallery),
        ..PLAIN
    },
    Requirement {
        id: "access.identity.source",
        title: "the template's identity may read the source image",
        check: Check::Ask(source),
        ..PLAIN
    },
    Requirement {
        id: "access.identity.scripts",
        title: "the template's identity may read scripts and files in blob storage",
        check: Check::Ask(scripts),
        ..PLAIN
    },
    Requirement {
        id: "access.identity.build-vm-identities",
        title: "the template's identity may assign the build VM's identities",
        source: TEMPLATE,
        check: Check::Ask(vm_identities),
        ..PLAIN
    },
    Requirement {
        id: "access.identity.staging",
        title: "the template's identity may work in the staging resource group that is brought",
        source: TEMPLATE,
        assumption: Some(
            "who may make machines, storage, containers and interfaces there may do all that a build does",
        ),
        check: Check::Ask(staging),
        ..PLAIN
    },
];

fn template<'a>(subject: &Subject<'a>) -> Result<&'a ImageTemplate, Outcome> {
    subject.template.ok_or_else(|| Outcome::skipped("no image template was given"))
}

/// Asks about the template's identity at each of some scopes; the worst answer counts.
fn of_identity(
    subject: &Subject<'_>,
    what: Permissions,
    scopes: impl FnOnce(&ImageTemplate) -> Vec<String>,
    none: &'static str,
) -> Asked {
    let network = told(subject)?;
    let scopes = scopes(template(subject)?);
    if scopes.is_empty() {
        return Ok(Outcome::pass(none));
    }
    at_each(network, &Who::identity(identity(subject)?), what, &scopes)
}

fn subnet_access(subject: &Subject<'_>, place: Place) -> Asked {
    let network = told(subject)?;
    let subnet = subject.subnet(place)?;
    // Microsoft asks for the role at the virtual network, which is read, too.
    let around = subnet.id.parent().unwrap_or_else(|| subnet.id.clone());
    let scopes = [(subnet.id.to_string(), around.to_string())];
    within(network, &Who::identity(identity(subject)?), JOIN_NETWORK, &scopes)
}

fn network(subject: &Subject<'_>) -> Asked {
    subnet_access(subject, Place::Build)
}

fn container_network(subject: &Subject<'_>) -> Asked {
    subnet_access(subject, Place::Container)
}

/// What contains a resource, so many levels up.
fn above(id: &str, levels: usize) -> String {
    let up = |id: ResourceId| id.parent().unwrap_or(id);
    ResourceId::parse(id)
        .map_or_else(|_| id.to_owned(), |id| (0..levels).fold(id, |id, _| up(id)).to_string())
}

/// Resource groups that managed images are written into.
pub(super) fn image_scopes(template: &ImageTemplate) -> Vec<String> {
    let images = template.distribute.iter().filter_map(|target| match target {
        Distribute::ManagedImage { image_id, .. } => Some(above(image_id.as_str(), 1)),
        _ => None,
    });
    images.collect()
}

/// Galleries that versions are written into.
pub(super) fn gallery_scopes(template: &ImageTemplate) -> Vec<String> {
    let targets = template.distribute.iter().filter_map(|target| match target {
        Distribute::SharedImage(image) => {
            let id = image.gallery_image_id.as_str();
            let levels = if id.to_ascii_lowercase().contains("/versions/") { 2 } else { 1 };
            Some(above(id, levels))
        }
        _ => None,
    });
    targets.collect()
}

/// What is needed to read the source, and where; nothing for images of the Marketplace.
pub(super) fn source_scope(template: &ImageTemplate) -> Option<(Permissions, String)> {
    match &template.source {
        Source::ManagedImage { image_id } => Some((READ_IMAGE, image_id.as_str().to_owned())),
        Source::SharedImageVersion { image_version_id } => {
            Some((READ_GALLERY, above(image_version_id.as_str(), 2)))
        }
        Source::PlatformImage { .. } => None,
    }
}

/// Identities that the build VM carries.
pub(super) fn vm_identity_scopes(template: &ImageTemplate) -> Vec<String> {
    template.vm_profile.user_assigned_identities.iter().map(|id| id.as_str().to_owned()).collect()
}

/// The staging resource group that is brought.
pub(super) fn staging_scopes(template: &ImageTemplate) -> Vec<String> {
    template.staging_resource_group.iter().map(|group| group.as_str().to_owned()).collect()
}

fn image(subject: &Subject<'_>) -> Asked {
    of_identity(subject, WRITE_IMAGE, image_scopes, "the template makes no managed image")
}

fn gallery(subject: &Subject<'_>) -> Asked {
    of_identity(subject, WRITE_GALLERY, gallery_scopes, "the template makes no gallery image version")
}

fn source(subject: &Subject<'_>) -> Asked {
    match source_scope(template(subject)?) {
        Some((what, scope)) => of_identity(subject, what, |_| vec![scope], ""),
        None => Ok(Outcome::pass("images of the Marketplace need no role")),
    }
}

/// Storage accounts that scripts and files are fetched from, by name.
pub(super) fn accounts(template: &ImageTemplate) -> Vec<String> {
    let uris = template.customize.iter().filter_map(|step| match step {
        Customizer::Shell(step) => uri_of(&step.script),
        Customizer::PowerShell(step) => uri_of(&step.script),
        Customizer::File(step) => step.source_uri.known(),
        _ => None,
    });
    let account = |uri: &str| {
        let host = uri.strip_prefix("https://")?.split(['/', ':']).next()?;
        // A shared access signature is its own permission.
        if uri.contains("sig=") {
            return None;
        }
        host.split_once(".blob.").map(|(account, _)| account.to_ascii_lowercase())
    };
    let mut all: Vec<_> = uris.filter_map(account).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn uri_of(script: &Script) -> Option<&str> {
    match script {
        Script::Uri { uri, .. } => uri.known(),
        Script::Inline(_) => None,
    }
}

fn scripts(subject: &Subject<'_>) -> Asked {
    let network = told(subject)?;
    let accounts = accounts(template(subject)?);
    if accounts.is_empty() {
        return Ok(Outcome::pass("the template fetches nothing from blob storage"));
    }
    let mut scopes = Vec::new();
    for account in &accounts {
        let mut all = network.inventory.of_type("Microsoft.Storage/storageAccounts");
        let own = all.find(|own| own.id.name().eq_ignore_ascii_case(account));
        let own = own.ok_or_else(|| {
            Outcome::undecided(format!("the storage account {account} is in none of the documents"))
        })?;
        scopes.push(own.id.to_string());
    }
    at_each(network, &Who::identity(identity(subject)?), READ_BLOB, &scopes)
}

fn vm_identities(subject: &Subject<'_>) -> Asked {
    of_identity(subject, GIVE_IDENTITY, vm_identity_scopes, "the build VM carries no identity")
}

fn staging(subject: &Subject<'_>) -> Asked {
    of_identity(
        subject,
        STAGING,
        staging_scopes,
        "the service makes the staging resource group, and may work in it",
    )
}
