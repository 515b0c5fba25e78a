//! The image template as plain values: what a template says, without where it says it.
//!
//! Defaults are the service's own, so that an absent field and its default are one value.

use std::collections::BTreeMap;

use crate::{ApiVersion, Text};

/// Tags: names and values, in the order of the names.
pub type Tags = BTreeMap<String, Text>;

/// An image template: the resource `Microsoft.VirtualMachineImages/imageTemplates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTemplate {
    /// The API version that the template is written for.
    pub api_version: ApiVersion,
    /// The resource's name, where the file gives one: 1 to 64 of `A-Z a-z 0-9 - _ .`.
    pub name: Option<Text>,
    /// The Azure region of the template resource.
    pub location: Text,
    /// Tags of the template resource.
    pub tags: Tags,
    /// The identity that the service acts with. Only templates of preview versions lack it.
    pub identity: Option<Identity>,
    /// What the build starts from.
    pub source: Source,
    /// The steps that change the image, in order. The first failure fails the run.
    pub customize: Vec<Customizer>,
    /// What the service does to make VMs of the image start sooner.
    pub optimize: Optimize,
    /// Checks that run in a machine made from the finished image.
    pub validate: Option<Validate>,
    /// Where the finished image goes; at least one target, each with its own run output name.
    pub distribute: Vec<Distribute>,
    /// What happens to the build VM when a step fails.
    pub error_handling: ErrorHandling,
    /// Minutes for the whole build, customizing to distributing: 0, or 6 to 960. 0 means 240.
    pub build_timeout_minutes: u32,
    /// The machine that builds.
    pub vm_profile: VmProfile,
    /// Empty data disks that become part of the image.
    pub additional_data_disks: Vec<DataDisk>,
    /// Resource id of the resource group that holds the build's resources; `None` lets the service make one.
    pub staging_resource_group: Option<Text>,
    /// Whether creating the template also starts a build.
    pub auto_run: AutoRun,
    /// Tags for the resources that the service makes.
    pub managed_resource_tags: Tags,
}

/// The one user-assigned identity of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Resource id of the identity.
    pub user_assigned: Text,
}

/// What a build starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An image of the Azure Marketplace.
    PlatformImage {
        /// Such as `Debian`.
        publisher: Text,
        /// Such as `debian-13`.
        offer: Text,
        /// Such as `13-gen2`.
        sku: Text,
        /// A version, or `latest`, which is resolved when the build runs.
        version: Text,
        /// The purchase plan, for images that are sold.
        plan_info: Option<PlanInfo>,
    },
    /// A managed image.
    ManagedImage {
        /// Its resource id.
        image_id: Text,
    },
    /// A version of an image in a gallery.
    SharedImageVersion {
        /// Its resource id; the last segment is `x.y.z` or `latest`.
        image_version_id: Text,
    },
}

/// The purchase plan of a marketplace image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInfo {
    /// The plan's name.
    pub name: Text,
    /// The plan's product.
    pub product: Text,
    /// The plan's publisher.
    pub publisher: Text,
}

/// A script, given in place or by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// Lines that are joined into one script, under `/bin/sh -e` unless the first starts with `#!`.
    Inline(Vec<String>),
    /// A script that is fetched and run under its own `#!` line.
    Uri {
        /// Where it is.
        uri: Text,
        /// SHA-256 of its content, 64 lowercase hexadecimal digits; `None` is unchecked.
        sha256: Option<Text>,
    },
}

/// A script for a Linux shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellStep {
    /// The step's label.
    pub name: Option<String>,
    /// What runs.
    pub script: Script,
}

/// A script for Windows PowerShell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerShellStep {
    /// The step's label.
    pub name: Option<String>,
    /// What runs.
    pub script: Script,
    /// Whether it runs elevated.
    pub run_elevated: bool,
    /// Whether it runs as the Local System user; requires `run_elevated`.
    pub run_as_system: bool,
    /// Exit codes that mean success; empty means only 0.
    pub valid_exit_codes: Vec<i32>,
}

/// One file that is put into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStep {
    /// The step's label.
    pub name: Option<String>,
    /// Where the file is.
    pub source_uri: Text,
    /// SHA-256 of its content, 64 lowercase hexadecimal digits; `None` is unchecked.
    pub sha256: Option<Text>,
    /// Absolute path, file name included. On Linux it is below `/tmp/`.
    pub destination: Text,
}

/// A step that changes the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Customizer {
    /// Runs a shell script (Linux).
    Shell(ShellStep),
    /// Runs a PowerShell script (Windows).
    PowerShell(PowerShellStep),
    /// Puts a file into the image.
    File(FileStep),
    /// Restarts the build VM (Windows).
    WindowsRestart {
        /// The step's label.
        name: Option<String>,
        /// The command that restarts; `None` is the service's own.
        restart_command: Option<String>,
        /// The command that shows that the restart succeeded.
        restart_check_command: Option<String>,
        /// How long the restart may take, such as `5m` or `2h`; `None` is 5 minutes.
        restart_timeout: Option<String>,
    },
    /// Installs Windows updates (Windows).
    WindowsUpdate {
        /// The step's label.
        name: Option<String>,
        /// Which updates are searched for; `None` is the recommended ones.
        search_criteria: Option<String>,
        /// `include:` and `exclude:` filters; the first that is true wins.
        filters: Vec<String>,
        /// The most updates that one pass installs; 0 means 1000.
        update_limit: u32,
    },
}

impl Customizer {
    /// The label of the step, where it has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Shell(step) => step.name.as_deref(),
            Self::PowerShell(step) => step.name.as_deref(),
            Self::File(step) => step.name.as_deref(),
            Self::WindowsRestart { name, .. } | Self::WindowsUpdate { name, .. } => name.as_deref(),
        }
    }

    /// The type as the template spells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Shell(_) => "Shell",
            Self::PowerShell(_) => "PowerShell",
            Self::File(_) => "File",
            Self::WindowsRestart { .. } => "WindowsRestart",
            Self::WindowsUpdate { .. } => "WindowsUpdate",
        }
    }
}

/// A check inside a machine made from the finished image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validator {
    /// Runs a shell script (Linux).
    Shell(ShellStep),
    /// Runs a PowerShell script (Windows).
    PowerShell(PowerShellStep),
    /// Puts a file into the machine.
    File(FileStep),
}

impl Validator {
    /// The label of the check, where it has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Shell(step) => step.name.as_deref(),
            Self::PowerShell(step) => step.name.as_deref(),
            Self::File(step) => step.name.as_deref(),
        }
    }

    /// The type as the template spells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Shell(_) => "Shell",
            Self::PowerShell(_) => "PowerShell",
            Self::File(_) => "File",
        }
    }
}

/// Checks of the finished image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validate {
    /// The checks, in order. The first failure ends them.
    pub in_vm_validations: Vec<Validator>,
    /// Whether the image is distributed although a check failed. The run is reported failed either way.
    pub continue_distribute_on_failure: bool,
    /// Whether the source is checked as it is, and nothing is built.
    pub source_validation_only: bool,
}

/// What the service does to make VMs of the image start sooner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Optimize {
    /// Whether the boot of VMs is optimised.
    pub vm_boot: bool,
    /// A workload to optimise for.
    pub workload: Option<Workload>,
}

/// A workload that the image is optimised for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Whether the optimisation is on.
    pub enabled: bool,
    /// The script that runs the workload.
    pub script_uri: Option<Text>,
    /// SHA-256 of the script, 64 lowercase hexadecimal digits; `None` is unchecked.
    pub sha256: Option<Text>,
}

/// Where a finished image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distribute {
    /// A fixed VHD.
    Vhd {
        /// Name of the output, unique in the template.
        run_output_name: Text,
        /// Tags of what is made.
        artifact_tags: Tags,
        /// Where the VHD goes; `None` is the staging storage account.
        uri: Option<Text>,
    },
    /// A managed image.
    ManagedImage {
        /// Name of the output, unique in the template.
        run_output_name: Text,
        /// Tags of what is made.
        artifact_tags: Tags,
        /// Resource id of the image.
        image_id: Text,
        /// Region of the image.
        location: Text,
    },
    /// A version of an image in a gallery.
    SharedImage(SharedImage),
}

impl Distribute {
    /// Name of the output, unique in the template.
    pub fn run_output_name(&self) -> &Text {
        match self {
            Self::Vhd { run_output_name, .. } | Self::ManagedImage { run_output_name, .. } => run_output_name,
            Self::SharedImage(image) => &image.run_output_name,
        }
    }

    /// The type as the template spells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Vhd { .. } => "VHD",
            Self::ManagedImage { .. } => "ManagedImage",
            Self::SharedImage(_) => "SharedImage",
        }
    }
}

/// A version of an image in a gallery, as a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedImage {
    /// Name of the output, unique in the template.
    pub run_output_name: Text,
    /// Tags of what is made.
    pub artifact_tags: Tags,
    /// Resource id of the image definition, or of the version to make (`.../versions/x.y.z`).
    pub gallery_image_id: Text,
    /// Where the version is replicated to.
    pub regions: Regions,
    /// Whether `latest` skips this version.
    pub exclude_from_latest: bool,
    /// How the version number is found; `None` is the service's old scheme.
    pub versioning: Option<Versioning>,
    /// How much of the image each replica holds.
    pub replication_mode: ReplicationMode,
}

/// The regions of a gallery image version: one of two forms, never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// Not given.
    Unspecified,
    /// `targetRegions` (from 2022-07-01).
    Target(Vec<TargetRegion>),
    /// `replicationRegions`, the only form up to 2022-02-14.
    Replication {
        /// Names of regions.
        names: Vec<Text>,
        /// Storage of every replica; `None` is `Standard_LRS`.
        storage: Option<StorageAccountType>,
    },
}

/// A region that a gallery image version is replicated to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRegion {
    /// Name of the region.
    pub name: Text,
    /// Number of replicas, at least 1.
    pub replica_count: u32,
    /// Storage of the replicas; `None` is `Standard_LRS`.
    pub storage: Option<StorageAccountType>,
}

/// Storage of a gallery image version's replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageAccountType {
    /// `Standard_LRS`: locally redundant.
    StandardLrs,
    /// `Standard_ZRS`: redundant over zones.
    StandardZrs,
    /// `Premium_LRS` (from 2022-07-01).
    PremiumLrs,
}

/// How much of the image each replica holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplicationMode {
    /// The whole image.
    #[default]
    Full,
    /// A reference: quick to make, for tests.
    Shallow,
}

/// How the number of a gallery image version is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// One more than the highest published version.
    Latest {
        /// Only within this major version; `None` is any.
        major: Option<u32>,
    },
    /// Derived from the version of the source.
    Source,
}

/// What happens to the build VM when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorHandling {
    /// When a customizer fails.
    pub on_customizer_error: OnError,
    /// When a validator fails.
    pub on_validation_error: OnError,
}

/// What happens to the build VM after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Everything is removed.
    #[default]
    Cleanup,
    /// The VM stays, for a look inside.
    Abort,
}

/// The machine that builds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VmProfile {
    /// Size of the VM; `None` is the service's choice.
    pub vm_size: Option<Text>,
    /// Size of the operating system disk in GiB; 0 keeps the source's. It can only grow.
    pub os_disk_size_gb: u32,
    /// Resource ids of identities that the build VM and the validation VM carry.
    pub user_assigned_identities: Vec<Text>,
    /// The network that the build is placed in; `None` lets the service make one.
    pub vnet_config: Option<VnetConfig>,
}

/// The network that a build is placed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VnetConfig {
    /// Resource id of the subnet of the build VM.
    pub subnet_id: Text,
    /// Resource id of the subnet of the container instance that drives the build.
    pub container_instance_subnet_id: Option<Text>,
    /// Size of the proxy VM; only without a container instance subnet.
    pub proxy_vm_size: Option<Text>,
}

/// An empty data disk that becomes part of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataDisk {
    /// Size in GiB.
    pub size_gb: u32,
}

/// Whether creating the template also starts a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoRun {
    /// A build starts with the template.
    Enabled,
    /// A build starts only when asked.
    #[default]
    Disabled,
}
