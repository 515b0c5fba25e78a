//! What a person decides about a jump box.

use std::collections::BTreeMap;

use crate::{Endpoint, SmokeTest};

/// A jump box: the content of `jumpbox.toml`. The default is the built-in recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// `[image]`
    pub image: Image,
    /// `[tools] packages`: packages from the base's own signed archive, in the order given.
    pub packages: Vec<String>,
    /// `[ssh]`
    pub ssh: Ssh,
    /// `[[file]]`: files that are put into the image before the steps run.
    pub files: Vec<File>,
    /// `[[step]]`: scripts that run after the tools and the SSH settings are in place.
    pub steps: Vec<Step>,
    /// `[[smoke_test]]`: tests beyond those that follow from the other sections.
    pub extra_smoke_tests: Vec<SmokeTest>,
    /// `[build]`
    pub build: Build,
    /// `[network] allow`: what the build may contact beyond what the recipe itself names.
    pub allow: Vec<Endpoint>,
    /// `[local]`
    pub local: Local,
    /// `[azure]`
    pub azure: Azure,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            image: Image::default(),
            packages: crate::tools::DEFAULT_PACKAGES.map(str::to_owned).to_vec(),
            ssh: Ssh::default(),
            files: Vec::new(),
            steps: Vec::new(),
            extra_smoke_tests: Vec::new(),
            build: Build::default(),
            allow: Vec::new(),
            local: Local::default(),
            azure: Azure::default(),
        }
    }
}

/// `[image]`: what is made, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Name of the image: 1 to 64 of `A-Z a-z 0-9 - _ .`; also the template's run output name.
    pub name: String,
    /// The marketplace image that the build starts from.
    pub base: Base,
    /// Size of the disk in GiB; 0 is the base's size in Azure, and the smallest that fits on this machine.
    pub size: u32,
}

impl Default for Image {
    fn default() -> Self {
        let base = Base {
            publisher: "Debian".into(),
            offer: "debian-13".into(),
            sku: "13-gen2".into(),
            version: "latest".into(),
        };
        Self { name: "aks-jumpbox".into(), base, size: 0 }
    }
}

/// A marketplace image, written `publisher:offer:sku` or `publisher:offer:sku:version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Such as `Debian`.
    pub publisher: String,
    /// Such as `debian-13`.
    pub offer: String,
    /// Such as `13-gen2`.
    pub sku: String,
    /// A version, or `latest`.
    pub version: String,
}

impl Base {
    /// Reads `publisher:offer:sku[:version]`.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split(':').collect();
        let (publisher, offer, sku, version) = match parts[..] {
            [publisher, offer, sku] => (publisher, offer, sku, "latest"),
            [publisher, offer, sku, version] => (publisher, offer, sku, version),
            _ => return None,
        };
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        [publisher, offer, sku, version].into_iter().all(plain).then(|| Self {
            publisher: publisher.into(),
            offer: offer.into(),
            sku: sku.into(),
            version: version.into(),
        })
    }
}

/// `[ssh]`: settings of the SSH daemon, written to a drop-in file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ssh {
    /// Whether X11 connections are forwarded.
    pub x11_forwarding: bool,
    /// Attempts per connection, 1 to 100.
    pub max_auth_tries: u32,
    /// Whether a password logs in, asked for directly or by way of keyboard-interactive authentication.
    pub password_authentication: bool,
    /// Whether root may log in.
    pub permit_root_login: bool,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            x11_forwarding: false,
            max_auth_tries: 6,
            password_authentication: false,
            permit_root_login: false,
        }
    }
}

/// `[[step]]`: a script of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The step's name, as the build shows it.
    pub name: String,
    /// What runs.
    pub script: image_template::Script,
}

/// `[[file]]`: a file that is put into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The step's name, as the build shows it.
    pub name: String,
    /// Where the file is: an `http` or `https` URI, or a path inside the folder of `jumpbox.toml`.
    pub source_uri: String,
    /// SHA-256 of its content in lowercase hexadecimal digits.
    pub sha256: Option<String>,
    /// Absolute path below `/tmp/`; a step moves it to where it belongs.
    pub destination: String,
}

/// `[build]`: limits of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// Minutes for the whole build: 0 (the service's 240), or 6 to 960.
    pub timeout_minutes: u32,
}

impl Default for Build {
    fn default() -> Self {
        Self { timeout_minutes: 60 }
    }
}

/// `[local]`: what builds on this machine need; none of it enters the image or the template.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Local {
    /// PEM files of certificate authorities that build steps trust.
    pub certificate_authorities: Vec<String>,
    /// `http://host:port` of the proxy that leads out.
    pub upstream_proxy: Option<String>,
    /// Hosts that stand in for others while building: a name, and where its content is fetched instead.
    pub mirrors: BTreeMap<String, Endpoint>,
}

/// `[azure]`: where the image is built in Azure. Every value may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Azure {
    /// The subscription's id.
    pub subscription: Option<String>,
    /// The region of the template.
    pub location: Option<String>,
    /// The resource group of the template.
    pub resource_group: Option<String>,
    /// The resource group of the finished managed image.
    pub image_resource_group: Option<String>,
    /// Resource id or name of the gallery that takes the finished image.
    pub gallery: Option<String>,
    /// Resource id of the subnet of the build VM.
    pub build_subnet: Option<String>,
    /// Resource id of the subnet of the container instance that drives the build.
    pub container_subnet: Option<String>,
    /// Resource id or name of the template's identity.
    pub identity: Option<String>,
    /// Names of what a deployment makes, by kind.
    pub names: BTreeMap<String, String>,
}
