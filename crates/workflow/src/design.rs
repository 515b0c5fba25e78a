//! What is to be made in Azure: settings and an image template, completed until nothing in it is open.

use arm::ResourceId;
use image_template::{
    Distribute, Identity, ImageTemplate, Regions, SharedImage, Tags, TargetRegion, Text, Versioning,
    VmProfile, VnetConfig,
};
use sha2::{Digest, Sha256};

/// What is told of the place of a build, from `jumpbox.toml` and the command line. Names and ids are as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The subscription's id, a GUID.
    pub subscription: Option<String>,
    /// Region of the template.
    pub location: Option<String>,
    /// Resource group of the template, and of what else is made.
    pub resource_group: Option<String>,
    /// Resource group of the finished managed image.
    pub image_resource_group: Option<String>,
    /// Name or resource id of the gallery.
    pub gallery: Option<String>,
    /// Name of the image definition in the gallery.
    pub definition: Option<String>,
    /// Resource id of the build subnet.
    pub build_subnet: Option<String>,
    /// Resource id of the container instance subnet.
    pub container_subnet: Option<String>,
    /// Name or resource id of the template's identity.
    pub identity: Option<String>,
    /// Beginning of the template's name; a digest of what it says follows.
    pub template_name: Option<String>,
    /// What the finished image becomes; none asks for what the other settings say.
    pub becomes: Option<Becomes>,
    /// Roles that Azure brings are assigned in place of ones with exactly what is needed.
    pub built_in_roles: bool,
    /// The resource group that the build works in.
    pub staging_resource_group: Option<String>,
    /// A new version of the source starts a run by itself.
    pub trigger: bool,
}

/// What a finished image becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// A version of an image definition in a gallery.
    GalleryVersion,
    /// A managed image, which cannot have Trusted Launch.
    ManagedImage,
    /// A VHD in the staging storage account, which goes with the template.
    Vhd,
}

/// A gallery and the image definition in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gallery {
    /// Resource id of the gallery.
    pub id: String,
    /// Resource id of the image definition.
    pub definition: String,
    /// Publisher, offer and sku that the definition is known by.
    pub identifier: [String; 3],
}

/// What is to be made, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Design {
    /// `/subscriptions/{guid}`.
    pub subscription: String,
    /// Region of everything that is made.
    pub location: String,
    /// Name of the resource group of the template.
    pub group: String,
    /// Other resource groups that a target needs, by name.
    pub other_groups: Vec<String>,
    /// Resource id of the template's identity.
    pub identity: String,
    /// The gallery that takes the image; none when it becomes something else, or is named by the template itself.
    pub gallery: Option<Gallery>,
    /// The template, with its name.
    pub template: ImageTemplate,
    /// Roles that Azure brings are assigned.
    pub built_in_roles: bool,
    /// A new version of the source starts a run by itself.
    pub trigger: bool,
}

/// A setting that is missing or that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The setting, as `[azure]` of `jumpbox.toml` spells it.
    pub setting: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Open {
    fn missing(setting: &'static str, what: &str) -> Self {
        Self { setting, why: format!("{what} is not said") }
    }
}

const DEFAULT_GROUP: &str = "rg-imagebuilder";

impl Design {
    /// Completes a template by settings. `written` says that the template stands in a file of its own: its targets stay,
    /// and settings fill or replace its place alone.
    ///
    /// # Errors
    /// Every setting that is missing or wrong.
    pub fn new(settings: &Settings, template: &ImageTemplate, written: bool) -> Result<Self, Vec<Open>> {
        let mut open = Vec::new();
        let guid = settings.subscription.clone().filter(|id| uuid::Uuid::parse_str(id).is_ok());
        match (&settings.subscription, &guid) {
            (None, _) => open.push(Open::missing("subscription", "the subscription")),
            (Some(given), None) => open.push(Open {
                setting: "subscription",
                why: format!("{given} is not the id of a subscription, which is a GUID"),
            }),
            _ => {}
        }
        let location = settings.location.clone().or_else(|| template.location.known().map(str::to_owned));
        if location.is_none() {
            open.push(Open::missing("location", "the region"));
        }
        let (Some(guid), Some(location)) = (guid, location) else { return Err(open) };
        let place = Place {
            subscription: format!("/subscriptions/{guid}"),
            location: image_template::region_slug(&location),
            group: settings.resource_group.clone().unwrap_or_else(|| DEFAULT_GROUP.to_owned()),
        };
        place.complete(settings, template, written)
    }

    /// Resource id of the resource group of the template.
    pub fn group_id(&self) -> String {
        format!("{}/resourceGroups/{}", self.subscription, self.group)
    }

    /// Name of the template.
    pub fn template_name(&self) -> &str {
        self.template.name.as_ref().map(Text::as_str).unwrap_or_default()
    }

    /// Resource id of the template.
    pub fn template_id(&self) -> String {
        format!("{}/providers/{}/{}", self.group_id(), image_template::RESOURCE_TYPE, self.template_name())
    }

    /// Whether the identity is in the group of the template, so that it is made with it.
    pub fn makes_identity(&self) -> bool {
        let own = format!("{}/", self.group_id()).to_ascii_lowercase();
        self.identity.to_ascii_lowercase().starts_with(&own)
    }
}

struct Place {
    subscription: String,
    location: String,
    group: String,
}

impl Place {
    fn complete(
        self,
        settings: &Settings,
        template: &ImageTemplate,
        written: bool,
    ) -> Result<Design, Vec<Open>> {
        let mut open = Vec::new();
        let name = template.name.as_ref().and_then(Text::known).unwrap_or("aks-jumpbox").to_owned();
        let name = settings.template_name.clone().unwrap_or(name);
        let mut template = template.clone();
        template.location = self.location.as_str().into();
        if let Some(subnet) = &settings.build_subnet {
            let proxy = template.vm_profile.vnet_config.take().and_then(|network| network.proxy_vm_size);
            let container = settings.container_subnet.as_deref().map(Text::from);
            template.vm_profile.vnet_config = Some(VnetConfig {
                subnet_id: subnet.as_str().into(),
                proxy_vm_size: proxy.filter(|_| container.is_none()),
                container_instance_subnet_id: container,
            });
        }
        if let Some(group) = &settings.staging_resource_group {
            let id = if group.starts_with('/') { group.clone() } else { self.group_of(group) };
            template.staging_resource_group = Some(id.into());
        }
        let identity = self.identity(settings, &template, &name);
        template.identity = Some(Identity { user_assigned: identity.as_str().into() });
        let (mut gallery, mut other_groups) = (None, Vec::new());
        if !written || settings.becomes.is_some() || settings.gallery.is_some() {
            let (target, of_gallery) = self.target(settings, &name, &mut other_groups);
            template.distribute = vec![target];
            gallery = of_gallery;
        }
        open.extend(unknown(&template));
        if !open.is_empty() {
            return Err(open);
        }
        template.name = Some(format!("{}-{}", short(&name), digest(&template)).into());
        let Self { subscription, location, group } = self;
        let built_in_roles = settings.built_in_roles;
        Ok(Design {
            subscription,
            location,
            group,
            other_groups,
            identity,
            gallery,
            template,
            built_in_roles,
            trigger: settings.trigger,
        })
    }

    fn group_of(&self, name: &str) -> String {
        format!("{}/resourceGroups/{name}", self.subscription)
    }

    fn identity(&self, settings: &Settings, template: &ImageTemplate, name: &str) -> String {
        let own = template.identity.as_ref().and_then(|own| own.user_assigned.known()).map(str::to_owned);
        let named = settings.identity.clone().or(own).unwrap_or_else(|| format!("id-{name}"));
        if named.starts_with('/') {
            return named;
        }
        let group = self.group_of(&self.group);
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{named}")
    }

    fn target(
        &self,
        settings: &Settings,
        name: &str,
        groups: &mut Vec<String>,
    ) -> (Distribute, Option<Gallery>) {
        let suggested = if settings.image_resource_group.is_some() {
            Becomes::ManagedImage
        } else {
            Becomes::GalleryVersion
        };
        let (run_output_name, artifact_tags) = (Text::from(name), Tags::new());
        match settings.becomes.unwrap_or(suggested) {
            Becomes::Vhd => (Distribute::Vhd { run_output_name, artifact_tags, uri: None }, None),
            Becomes::ManagedImage => {
                let group = settings.image_resource_group.as_ref().unwrap_or(&self.group);
                if !group.eq_ignore_ascii_case(&self.group) {
                    groups.push(group.clone());
                }
                let image_id =
                    format!("{}/providers/Microsoft.Compute/images/{name}", self.group_of(group)).into();
                let location = self.location.as_str().into();
                (Distribute::ManagedImage { run_output_name, artifact_tags, image_id, location }, None)
            }
            Becomes::GalleryVersion => {
                let gallery = self.gallery(settings, name);
                let region =
                    TargetRegion { name: self.location.as_str().into(), replica_count: 1, storage: None };
                let target = SharedImage {
                    run_output_name,
                    artifact_tags,
                    gallery_image_id: gallery.definition.as_str().into(),
                    regions: Regions::Target(vec![region]),
                    exclude_from_latest: false,
                    versioning: Some(Versioning::Latest { major: None }),
                    replication_mode: image_template::ReplicationMode::Full,
                };
                (Distribute::SharedImage(target), Some(gallery))
            }
        }
    }

    fn gallery(&self, settings: &Settings, name: &str) -> Gallery {
        // Names of galleries have no hyphen.
        let default = format!("gal_{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let named = settings.gallery.clone().unwrap_or(default);
        let id = if named.starts_with('/') {
            named
        } else {
            format!("{}/providers/Microsoft.Compute/galleries/{named}", self.group_of(&self.group))
        };
        let definition = settings.definition.clone().unwrap_or_else(|| name.to_owned());
        let identifier = ["aks-jumpbox".to_owned(), name.to_owned(), definition.clone()];
        Gallery { definition: format!("{id}/images/{definition}"), id, identifier }
    }
}

/// Names of templates have at most 64 characters.
fn short(name: &str) -> String {
    name.chars().take(50).collect()
}

/// A digest of what a template says beside its name and what can be changed in it: one that changed in anything else gets
/// another name, since a template cannot be replaced (azure-image-builder.md 2.1).
fn digest(template: &ImageTemplate) -> String {
    short_digest(&essence(template).to_json())
}

/// Ten hexadecimal digits of the SHA-256 of a text.
pub(crate) fn short_digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .take(5)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A template without what a PATCH can change: tags, identity, the machine, and how a target is distributed. Which targets
/// there are stays, as none can be removed, and so does the shape of the network, as a build of another one is another build.
fn essence(template: &ImageTemplate) -> ImageTemplate {
    let mut own = template.clone();
    (own.name, own.tags, own.identity) = (None, Tags::new(), None);
    let shape = |network: VnetConfig| VnetConfig {
        subnet_id: "".into(),
        container_instance_subnet_id: network.container_instance_subnet_id.map(|_| "".into()),
        proxy_vm_size: None,
    };
    own.vm_profile = VmProfile { vnet_config: own.vm_profile.vnet_config.map(shape), ..VmProfile::default() };
    for target in &mut own.distribute {
        match target {
            Distribute::Vhd { artifact_tags, .. } | Distribute::ManagedImage { artifact_tags, .. } => {
                artifact_tags.clear();
            }
            Distribute::SharedImage(image) => {
                image.artifact_tags.clear();
                image.regions = Regions::Target(Vec::new());
                (image.exclude_from_latest, image.versioning) = (false, None);
                image.replication_mode = image_template::ReplicationMode::Full;
            }
        }
    }
    own
}

/// Values that a deployment cannot do without and that the template leaves open.
fn unknown(template: &ImageTemplate) -> Vec<Open> {
    let mut open = Vec::new();
    let mut look = |setting: &'static str, text: &Text| {
        if text.known().is_none() {
            open.push(Open { setting, why: format!("`{text}` in the template stands for a value") });
        }
    };
    if let Some(network) = &template.vm_profile.vnet_config {
        look("build_subnet", &network.subnet_id);
        if let Some(container) = &network.container_instance_subnet_id {
            look("container_subnet", container);
        }
    }
    for target in &template.distribute {
        match target {
            Distribute::ManagedImage { image_id, .. } => look("image_resource_group", image_id),
            Distribute::SharedImage(image) => look("gallery", &image.gallery_image_id),
            Distribute::Vhd { .. } => {}
        }
    }
    let subnets = template.vm_profile.vnet_config.iter();
    let subnets = subnets
        .flat_map(|network| std::iter::once(&network.subnet_id).chain(&network.container_instance_subnet_id));
    for subnet in subnets.filter_map(Text::known) {
        let is_subnet =
            ResourceId::parse(subnet).is_ok_and(|id| id.is_type("Microsoft.Network/virtualNetworks/subnets"));
        if !is_subnet {
            open.push(Open {
                setting: "build_subnet",
                why: format!("{subnet} is not the resource id of a subnet"),
            });
        }
    }
    open
}
