//! The shapes of a build's network.

use std::fmt;

use image_template::{Customizer, ImageTemplate, Source};

/// Which subnets a template brings (Azure Image Builder networking).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// None: the service makes a network.
    Managed,
    /// The build VM's alone: the service reaches it by a proxy VM, an internal load balancer and a private link
    /// service. Microsoft advises against it.
    PrivateLink,
    /// The build VM's and the container instance's: what Microsoft recommends.
    Isolated,
}

impl Topology {
    /// The shape that a template asks for.
    pub fn of(template: &ImageTemplate) -> Self {
        match &template.vm_profile.vnet_config {
            None => Self::Managed,
            Some(network) if network.container_instance_subnet_id.is_some() => Self::Isolated,
            Some(_) => Self::PrivateLink,
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Managed => "managed",
            Self::PrivateLink => "private-link",
            Self::Isolated => "isolated",
        })
    }
}

/// The operating system of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Reached by SSH, port 22; its proxy listens on 60001.
    Linux,
    /// Reached by `WinRM`, port 5986; its proxy listens on 60000.
    Windows,
}

impl Os {
    /// The system of a template, by its steps and its source. A source that does not tell is Linux.
    pub fn of(template: &ImageTemplate) -> Self {
        let windows_step = |step: &Customizer| {
            use Customizer::{PowerShell, WindowsRestart, WindowsUpdate};
            matches!(step, PowerShell(_) | WindowsRestart { .. } | WindowsUpdate { .. })
        };
        let windows_source = match &template.source {
            Source::PlatformImage { publisher, offer, .. } => {
                publisher.as_str().starts_with("MicrosoftWindows")
                    || offer.as_str().to_ascii_lowercase().contains("windows")
            }
            Source::ManagedImage { .. } | Source::SharedImageVersion { .. } => false,
        };
        if windows_source || template.customize.iter().any(windows_step) {
            Self::Windows
        } else {
            Self::Linux
        }
    }
}
