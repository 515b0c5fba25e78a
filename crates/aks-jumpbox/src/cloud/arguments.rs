//! Arguments that every command about Azure has: each is also a value of the `[azure]` table of `jumpbox.toml`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use workflow::{Becomes, Design, Settings};

use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::input::Input;

/// Where something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// In Azure
    #[default]
    Azure,
    /// In the local Azure of this machine, as `serve` keeps it
    Local,
}

/// What an image is built or tried with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Runner {
    /// This machine
    #[default]
    Local,
    /// Azure, or the endpoint that --cloud names
    Azure,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LoginKind {
    /// The first of those below that this environment has
    #[default]
    Auto,
    /// A service principal of the environment: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`
    Environment,
    /// A federated token, as AKS and pipelines have: `AZURE_FEDERATED_TOKEN_FILE`
    WorkloadIdentity,
    /// The managed identity of this machine
    ManagedIdentity,
    /// Whoever is logged in to the Azure CLI, or to the Azure Developer CLI
    DeveloperTools,
}

/// What the finished image becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageKind {
    /// A version in a gallery, of which machines with Trusted Launch can be made
    Gallery,
    /// A managed image
    Image,
    /// A VHD in the staging storage account, which goes with the template
    Vhd,
}

impl From<ImageKind> for Becomes {
    fn from(kind: ImageKind) -> Self {
        match kind {
            ImageKind::Gallery => Self::GalleryVersion,
            ImageKind::Image => Self::ManagedImage,
            ImageKind::Vhd => Self::Vhd,
        }
    }
}

/// Where things are and go in Azure.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Azure (each is also a value of `[azure]` in jumpbox.toml)")]
pub struct Place {
    /// The subscription's id
    #[arg(long, value_name = "GUID", env = "AZURE_SUBSCRIPTION_ID", hide_env_values = true)]
    subscription: Option<String>,
    /// Region of the template
    #[arg(long, value_name = "REGION")]
    location: Option<String>,
    /// Resource group of the template and of what is made for it [default: rg-imagebuilder]
    #[arg(long, value_name = "NAME")]
    resource_group: Option<String>,
    /// Resource group of the finished managed image
    #[arg(long, value_name = "NAME", conflicts_with = "gallery")]
    image_resource_group: Option<String>,
    /// Name or resource id of the gallery that takes the finished image [default: one of its own]
    #[arg(long, value_name = "GALLERY")]
    gallery: Option<String>,
    /// Resource id of the subnet of the build VM
    #[arg(long, value_name = "ID")]
    build_subnet: Option<String>,
    /// Resource id of the subnet of the container instance: an isolated build, which Microsoft recommends
    #[arg(long, value_name = "ID")]
    container_subnet: Option<String>,
    /// Name or resource id of the template's identity [default: one of its own]
    #[arg(long, value_name = "IDENTITY")]
    identity: Option<String>,
    /// Name or resource id of the resource group that builds work in [default: the service makes one]
    #[arg(long, value_name = "GROUP")]
    staging_resource_group: Option<String>,
    /// What the finished image becomes [default: a gallery version, or a managed image where its group is named]
    #[arg(long = "as", value_name = "KIND", value_enum)]
    becomes: Option<ImageKind>,
    /// Assign roles that Azure brings, for whoever may not define roles; they grant more than is needed
    #[arg(long)]
    built_in_roles: bool,
    /// Let a new version of the source image start a run by itself
    #[arg(long)]
    trigger: bool,
    /// Make things although Azure says that a requirement of the build is not met
    #[arg(long)]
    pub skip_check: bool,
    #[command(flatten)]
    pub endpoint: Endpoint,
}

/// Which Azure, and who asks.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Endpoint")]
pub struct Endpoint {
    /// A cloud by name (public, usgov, china), or the address of a resource manager such as that of `serve` [default: that
    /// of the state file, else public]
    #[arg(long, value_name = "CLOUD", env = "AKS_JUMPBOX_CLOUD", hide_env_values = true)]
    pub(super) cloud: Option<String>,
    /// PEM file of a certificate authority that is trusted beside those of this machine; may be given several times
    #[arg(long, value_name = "FILE", env = "AKS_JUMPBOX_CA_FILE", hide_env_values = true)]
    pub(super) ca_file: Vec<PathBuf>,
    /// Who asks
    #[arg(long, value_name = "LOGIN", value_enum, default_value_t)]
    pub(super) login: LoginKind,
    /// File that says what was made and what goes on [default: jumpbox.azure.json beside jumpbox.toml]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

impl Endpoint {
    /// The state file.
    pub(super) fn state(&self, target: Target, context: &Context) -> Result<PathBuf, Failure> {
        if let Some(file) = &self.state {
            return Ok(file.clone());
        }
        let configuration = context.configuration()?;
        let folder = configuration.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
        let name = match target {
            Target::Azure => "jumpbox.azure.json",
            Target::Local => "jumpbox.local-azure.json",
        };
        Ok(folder.join(name))
    }
}

impl Place {
    /// What the arguments and the configuration say together; arguments come first.
    pub fn settings(&self, input: &Input) -> Settings {
        let own = &input.recipe.azure;
        let name = |kind: &str| own.names.get(kind).cloned();
        let or = |flag: &Option<String>, file: &Option<String>| flag.clone().or_else(|| file.clone());
        // Naming one target on the command line takes the place of another in the file.
        let gallery = self.image_resource_group.is_none().then(|| or(&self.gallery, &own.gallery)).flatten();
        let group = self.gallery.is_none().then(|| or(&self.image_resource_group, &own.image_resource_group));
        Settings {
            subscription: or(&self.subscription, &own.subscription),
            location: or(&self.location, &own.location),
            resource_group: or(&self.resource_group, &own.resource_group),
            image_resource_group: group.flatten(),
            gallery,
            definition: name("definition"),
            build_subnet: or(&self.build_subnet, &own.build_subnet),
            container_subnet: or(&self.container_subnet, &own.container_subnet),
            identity: or(&self.identity, &own.identity),
            template_name: name("template"),
            becomes: self.becomes.map(Becomes::from),
            built_in_roles: self.built_in_roles,
            trigger: self.trigger,
            staging_resource_group: or(&self.staging_resource_group, &name("staging_resource_group")),
        }
    }

    /// The image that is meant, and what would be made of it. `subscription` is the one of the endpoint, where it has one
    /// of its own.
    ///
    /// # Errors
    /// Everything that is missing or wrong.
    pub fn design(
        &self,
        template: Option<&Path>,
        context: &Context,
        subscription: Option<&str>,
    ) -> Result<(Design, Input), Failure> {
        let input = Input::load(template, context)?;
        input.warnings.iter().for_each(|warning| context.output.warn(warning));
        let mut settings = self.settings(&input);
        if settings.subscription.is_none() {
            settings.subscription = subscription.map(str::to_owned);
        }
        let design = Design::new(&settings, &input.template, template.is_some()).map_err(|open| {
            let problem = |open: workflow::Open| {
                let flag = open.setting.replace('_', "-");
                Problem::new(Category::Input, open.why).hint(format!(
                    "say it with --{flag}, or as `{}` in `[azure]` of jumpbox.toml",
                    open.setting
                ))
            };
            Failure::several(open.into_iter().map(problem).collect())
        })?;
        Ok((design, input))
    }
}
