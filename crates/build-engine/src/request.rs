//! What a build is asked to do, and what it answers.

use std::path::PathBuf;

use image_template::ImageTemplate;
use network_policy::{Endpoint, NetworkPolicy};
use recipe::SmokeTest;

use crate::base::GivenBase;
use crate::isolation::Isolation;
use crate::manifest::Manifest;
use crate::network::Outbound;

/// One build.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "holds a proxy's credentials")]
pub struct BuildRequest {
    /// What to build.
    pub template: ImageTemplate,
    /// Folder the template was read from; none when it came from a recipe.
    pub template_folder: Option<PathBuf>,
    /// What to build on in place of the template's source.
    pub base: Option<GivenBase>,
    /// Name of the image, and of its file without the ending.
    pub name: String,
    /// What `try` is to run in the image.
    pub smoke_tests: Vec<SmokeTest>,
    /// The network policy; none for the default one.
    pub policy: Option<NetworkPolicy>,
    /// What the default policy allows beside the base's own archive.
    pub allow: Vec<Endpoint>,
    /// How the outside is reached.
    pub outbound: Outbound,
    /// Folder of the cache.
    pub cache: PathBuf,
    /// Folder of the results.
    pub output: PathBuf,
    /// What differs from an ordinary build.
    pub options: BuildOptions,
}

impl BuildRequest {
    /// `osDiskSizeGB`, where the template states it.
    pub(crate) fn disk_gib(&self) -> Option<u32> {
        Some(self.template.vm_profile.os_disk_size_gb).filter(|&size| size > 0)
    }
}

/// What differs from an ordinary build.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct BuildOptions {
    /// What the customizers run in.
    pub isolation: Isolation,
    /// Make the base anew, and every layer whose step uses the network.
    pub refresh: bool,
    /// Use no cached layer.
    pub no_cache: bool,
    /// Record every connection and refuse none.
    pub learn: bool,
    /// Open a shell in what a failed step left.
    pub shell_on_error: bool,
    /// Stop after this step (its number, or its name) and write no disk.
    pub until: Option<String>,
    /// Compute the SHA-256 of the whole image file too.
    pub sha256: bool,
    /// End the build after this long; none for the template's `buildTimeoutInMinutes`.
    pub time_limit: Option<std::time::Duration>,
}

/// What a build that ended well made.
#[derive(Clone, Debug)]
pub struct BuildReport {
    /// The manifest, as written.
    pub manifest: Manifest,
    /// The image; none with `until`.
    pub image: Option<PathBuf>,
    /// Bytes the image takes on this machine's disk.
    pub allocated_bytes: u64,
    /// Every connection.
    pub connections: Vec<egress_gateway::Connection>,
    /// Seconds from start to end.
    pub seconds: f64,
    /// The image was there already and nothing had changed.
    pub unchanged: bool,
}
