//! What a build makes, as far as pages tell: what policies are asked about.
//!
//! Sources: the service's networking, isolated builds and template reference pages. That its storage account takes shared
//! keys, and that the Key Vault of Windows builds is reached over the public network, is public evidence and no document.

use arm::ResourceId;
use document::quote;
use image_template::{Distribute, Source, Tags};

use super::rule::Term;
use crate::{Os, Subject, Topology};

/// A resource that a build makes.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// What people call it.
    pub what: &'static str,
    kind: &'static str,
    /// Whether policies of the mode `Indexed` are asked about it: it has tags and a region.
    pub is_indexed: bool,
    /// Whether it is in the staging resource group, or is that.
    pub is_staged: bool,
    /// Id of the resource group of what is not staged, where a document tells it.
    pub group: Option<String>,
    location: Option<String>,
    /// None where no template tells.
    tags: Option<Tags>,
    /// The values that a property may have, where several are possible.
    aliases: Vec<(&'static str, Vec<Term>)>,
}

/// One of the ways in which something may be made.
pub(super) struct Way<'a> {
    made: &'a Made,
    /// What each property is then.
    aliases: Vec<(&'static str, &'a Term)>,
}

const STORAGE: &str = "Microsoft.Storage/storageAccounts";
const GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups";
const MACHINE: &str = "Microsoft.Compute/virtualMachines";

/// All that a build makes.
pub(super) fn all(subject: &Subject<'_>) -> Vec<Made> {
    let template = subject.template;
    let staged = |what, kind| Made {
        what,
        kind,
        is_indexed: true,
        is_staged: true,
        group: None,
        location: subject.location(),
        tags: template.map(|template| template.managed_resource_tags.clone()),
        aliases: Vec::new(),
    };
    let mut all = Vec::new();
    if template.is_none_or(|template| template.staging_resource_group.is_none()) {
        all.push(Made { is_indexed: false, ..staged("the staging resource group", GROUP) });
    }
    all.push(Made { aliases: storage(), ..staged("the staging storage account", STORAGE) });
    all.push(staged("the container group", "Microsoft.ContainerInstance/containerGroups"));
    all.push(Made { aliases: machine(subject), ..staged("the build VM", MACHINE) });
    let interface = "Microsoft.Network/networkInterfaces/ipconfigurations[*].publicIpAddress.id";
    let no_address = vec![(interface, vec![Term::Absent])];
    all.push(Made {
        aliases: no_address,
        ..staged("the build VM's network interface", "Microsoft.Network/networkInterfaces")
    });
    all.push(staged("the build VM's disk", "Microsoft.Compute/disks"));
    all.push(staged("the snapshot of the disk", "Microsoft.Compute/snapshots"));
    if subject.topology != Topology::Isolated {
        let protection = vec![
            ("Microsoft.Network/virtualNetworks/enableDdosProtection", either(&[None, Some("false")])),
            ("Microsoft.Network/virtualNetworks/ddosProtectionPlan", vec![Term::Absent]),
            ("Microsoft.Network/virtualNetworks/ddosProtectionPlan.id", vec![Term::Absent]),
        ];
        all.push(Made {
            aliases: protection,
            ..staged("the temporary virtual network", "Microsoft.Network/virtualNetworks")
        });
        all.push(staged("its network security groups", "Microsoft.Network/networkSecurityGroups"));
    }
    if subject.topology == Topology::PrivateLink {
        all.push(staged("the private endpoint", "Microsoft.Network/privateEndpoints"));
        all.push(staged("the private link service", "Microsoft.Network/privateLinkServices"));
        all.push(staged("the internal load balancer", "Microsoft.Network/loadBalancers"));
    }
    if subject.os == Os::Windows {
        all.push(Made { aliases: vault(), ..staged("the Key Vault", "Microsoft.KeyVault/vaults") });
    }
    all.extend(outputs(subject));
    all
}

/// The template, and the images that it makes.
fn outputs(subject: &Subject<'_>) -> Vec<Made> {
    let Some(template) = subject.template else { return Vec::new() };
    let made = |what, kind, group: Option<String>, location: Option<String>, tags: &Tags| Made {
        what,
        kind,
        is_indexed: true,
        is_staged: false,
        group,
        location,
        tags: Some(tags.clone()),
        aliases: Vec::new(),
    };
    let inventory = subject.network.as_ref().map(|network| network.inventory);
    let own = inventory.and_then(|inventory| inventory.of_type(image_template::RESOURCE_TYPE).next());
    let own = own.and_then(|own| group(own.id.as_str()));
    let kind = image_template::RESOURCE_TYPE;
    let own = made("the image template", kind, own, subject.location(), &template.tags);
    let images = template.distribute.iter().filter_map(|target| match target {
        Distribute::ManagedImage { location, artifact_tags, image_id, .. } => {
            let location = location.known().map(str::to_owned);
            let group = group(image_id.as_str());
            Some(made("the managed image", "Microsoft.Compute/images", group, location, artifact_tags))
        }
        Distribute::SharedImage(image) => {
            let kind = "Microsoft.Compute/galleries/images/versions";
            let group = group(image.gallery_image_id.as_str());
            Some(made("the gallery image version", kind, group, subject.location(), &image.artifact_tags))
        }
        Distribute::Vhd { .. } => None,
    });
    std::iter::once(own).chain(images).collect()
}

/// Id of the resource group around a resource.
fn group(id: &str) -> Option<String> {
    let id = ResourceId::parse(id).ok()?;
    Some(format!("/subscriptions/{}/resourceGroups/{}", id.subscription()?, id.resource_group()?))
}

fn either(values: &[Option<&str>]) -> Vec<Term> {
    values.iter().map(|value| value.map_or(Term::Absent, |text| Term::Text(text.to_owned()))).collect()
}

/// No firewall, and shared keys.
fn storage() -> Vec<(&'static str, Vec<Term>)> {
    vec![
        ("Microsoft.Storage/storageAccounts/publicNetworkAccess", either(&[None, Some("Enabled")])),
        ("Microsoft.Storage/storageAccounts/networkAcls.defaultAction", either(&[None, Some("Allow")])),
        ("Microsoft.Storage/storageAccounts/allowSharedKeyAccess", either(&[None, Some("true")])),
    ]
}

fn vault() -> Vec<(&'static str, Vec<Term>)> {
    vec![
        ("Microsoft.KeyVault/vaults/publicNetworkAccess", either(&[None, Some("Enabled")])),
        ("Microsoft.KeyVault/vaults/networkAcls.defaultAction", either(&[None, Some("Allow")])),
        ("Microsoft.KeyVault/vaults/createMode", either(&[None, Some("default")])),
    ]
}

/// Size and source of the build VM, as the template tells them.
fn machine(subject: &Subject<'_>) -> Vec<(&'static str, Vec<Term>)> {
    let Some(template) = subject.template else { return Vec::new() };
    let text = |text: &image_template::Text| {
        vec![text.known().map_or_else(
            || Term::Open(format!("{} of the template", quote(text.as_str()))),
            |text| Term::Text(text.to_owned()),
        )]
    };
    let mut aliases = Vec::new();
    if let Some(size) = &template.vm_profile.vm_size {
        aliases.push(("Microsoft.Compute/virtualMachines/sku.name", text(size)));
    }
    if let Source::PlatformImage { publisher, offer, sku, .. } = &template.source {
        let parts = [
            ("Microsoft.Compute/imagePublisher", publisher),
            ("Microsoft.Compute/imageOffer", offer),
            ("Microsoft.Compute/imageSku", sku),
        ];
        aliases.extend(parts.map(|(alias, part)| (alias, text(part))));
    }
    aliases
}

impl Made {
    /// Every way in which it may be made.
    pub fn ways(&self) -> Vec<Way<'_>> {
        let mut all = vec![Vec::new()];
        for (alias, values) in &self.aliases {
            let longer = |way: Vec<_>| {
                values
                    .iter()
                    .map(move |value| way.iter().copied().chain([(*alias, value)]).collect::<Vec<_>>())
            };
            all = all.into_iter().flat_map(longer).collect();
        }
        all.into_iter().map(|aliases| Way { made: self, aliases }).collect()
    }

    fn tag(&self, name: &str) -> Term {
        let Some(tags) = &self.tags else {
            return Term::Open(format!(
                "the tag {} of {}: no image template was given",
                quote(name),
                self.what
            ));
        };
        let own = tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        own.map_or(Term::Absent, |(_, value)| match value.known() {
            Some(text) => Term::Text(text.to_owned()),
            None => Term::Open(format!("the tag {} of the template", quote(name))),
        })
    }
}

impl Way<'_> {
    /// The value of a field; one that is not known where nothing tells.
    pub fn field(&self, name: &str) -> Term {
        let Made { what, kind, location, .. } = self.made;
        if let Some(tag) = tag_name(name) {
            return self.made.tag(tag);
        }
        if name.eq_ignore_ascii_case("type") {
            return Term::Text((*kind).to_owned());
        }
        if name.eq_ignore_ascii_case("location") {
            let open = || {
                Term::Open("the region of the build, which neither environment nor template says".to_owned())
            };
            return location.clone().map_or_else(open, Term::Text);
        }
        let own = self.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        own.map_or_else(
            || Term::Open(format!("`{name}` of {what}, which no page tells")),
            |(_, value)| (*value).clone(),
        )
    }
}

/// The tag that a field names: `tags.name`, `tags[name]` or `tags['name']`.
fn tag_name(field: &str) -> Option<&str> {
    let rest = field.get(..4).filter(|start| start.eq_ignore_ascii_case("tags")).map(|_| &field[4..])?;
    if let Some(name) = rest.strip_prefix('.') {
        return Some(name);
    }
    let inner = rest.strip_prefix('[')?.strip_suffix(']')?;
    Some(inner.strip_prefix('\'').and_then(|name| name.strip_suffix('\'')).unwrap_or(inner))
}
