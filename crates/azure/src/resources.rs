//! The resources that are made and looked at: what is sent, and as much of what is answered as anybody asks for.
//! What a service adds is left out of sight; what it says in words stays words, since a state that is not known is no
//! success.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Versions of the interfaces that are spoken, by what they are about.
pub mod version {
    /// Resource groups, providers.
    pub const RESOURCES: &str = "2021-04-01";
    /// Preview features.
    pub const FEATURES: &str = "2021-07-01";
    /// Deployments.
    pub const DEPLOYMENTS: &str = "2025-04-01";
    /// Galleries, image definitions and versions.
    pub const GALLERIES: &str = "2024-03-03";
    /// Managed images, machines.
    pub const COMPUTE: &str = "2024-07-01";
    /// Disks.
    pub const DISKS: &str = "2024-03-02";
    /// Managed identities.
    pub const IDENTITIES: &str = "2023-01-31";
    /// Role definitions and assignments.
    pub const AUTHORIZATION: &str = "2022-04-01";
    /// Image templates.
    pub const TEMPLATES: &str = "2025-10-01";
    /// Storage accounts.
    pub const STORAGE: &str = "2024-01-01";
    /// Container groups.
    pub const CONTAINERS: &str = "2023-05-01";
    /// Networks.
    pub const NETWORK: &str = "2024-05-01";
}

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// Whatever has an id.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// Its resource id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its tags.
    pub tags: Option<Tags>,
}

/// A resource group, a gallery or an identity as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Located<P> {
    /// Its region.
    pub location: String,
    /// Its tags.
    pub tags: Tags,
    /// What else it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<P>,
}

/// A resource provider.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Provider {
    /// `Registered`, or something else.
    pub registration_state: String,
}

/// A preview feature.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Feature {
    /// What it says.
    pub properties: FeatureProperties,
}

/// What a preview feature says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FeatureProperties {
    /// `Registered`, or something else.
    pub state: String,
}

/// A managed identity.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// What it says.
    pub properties: IdentityProperties,
}

/// What a managed identity says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IdentityProperties {
    /// Its object id in the directory.
    pub principal_id: String,
}

/// What an image definition says (Compute, gallery images).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionProperties {
    /// What kind of system.
    pub os_type: &'static str,
    /// Generalized.
    pub os_state: &'static str,
    /// The generation.
    pub hyper_v_generation: &'static str,
    /// x64.
    pub architecture: &'static str,
    /// What it is known by.
    pub identifier: Identifier,
    /// What its machines may have.
    pub features: Vec<GalleryFeature>,
}

/// What an image definition is known by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identifier {
    /// Who makes it.
    pub publisher: String,
    /// What it is.
    pub offer: String,
    /// Which kind of it.
    pub sku: String,
}

/// Something that machines of an image definition may have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GalleryFeature {
    /// Such as `SecurityType`.
    pub name: &'static str,
    /// Such as `TrustedLaunchSupported`.
    pub value: &'static str,
}

/// A trigger of an image template, as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trigger {
    /// What it says.
    pub properties: TriggerProperties,
}

/// What a trigger says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TriggerProperties {
    /// `SourceImage`: a new version of the source starts a run.
    pub kind: &'static str,
}

/// A role assignment, as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AssignmentRequest {
    /// What it says.
    pub properties: AssignmentProperties,
}

/// What a role assignment says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentProperties {
    /// Id of the role definition.
    pub role_definition_id: String,
    /// Object id of whom it is given to.
    pub principal_id: String,
    /// What it is, so that Azure need not find it in a directory that has not heard of it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_type: Option<&'static str>,
}

/// A deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// What it says.
    pub properties: DeploymentState,
}

/// How a deployment stands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentState {
    /// `Succeeded`, `Failed`, `Canceled`, or something that goes on.
    pub provisioning_state: String,
}

/// An image template, as the service tells of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Template {
    /// Its resource id.
    pub id: String,
    /// Its tags.
    pub tags: Option<Tags>,
    /// What it acts as.
    pub identity: TemplateIdentity,
    /// What it says.
    pub properties: TemplateProperties,
}

/// What an image template acts as.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateIdentity {
    /// By resource id; one.
    pub user_assigned_identities: BTreeMap<String, serde_json::Value>,
}

/// What an image template says, as far as it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateProperties {
    /// `Succeeded`, `Failed`, or something that goes on.
    pub provisioning_state: String,
    /// Why it failed.
    pub provisioning_error: Option<ProvisioningError>,
    /// How the last run stands.
    pub last_run_status: Option<RunStatus>,
    /// Id of the resource group that the build works in.
    pub exact_staging_resource_group: Option<String>,
    /// The steps, as far as their labels go.
    pub customize: Vec<StepLabel>,
}

/// What a step is called.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StepLabel {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its label.
    pub name: Option<String>,
}

/// Why a template could not be made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProvisioningError {
    /// A word for it (azure-image-builder.md 2.4).
    pub provisioning_error_code: String,
    /// What happened.
    pub message: String,
}

/// How a run stands (azure-image-builder.md 2.3).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunStatus {
    /// `Running`, `Canceling`, `Succeeded`, `PartiallySucceeded`, `Failed`, `Canceled`.
    pub run_state: String,
    /// `Queued`, `Building`, `Customizing`, `Optimizing`, `Validating`, `Distributing`.
    pub run_sub_state: Option<String>,
    /// What the service says of it.
    pub message: Option<String>,
    /// When it began, with up to nine digits of a second.
    pub start_time: Option<String>,
    /// When it ended.
    pub end_time: Option<String>,
}

impl RunStatus {
    /// Whether the run goes on.
    pub fn goes_on(&self) -> bool {
        ["running", "canceling"].contains(&self.run_state.to_ascii_lowercase().as_str())
    }
}

/// What a run made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RunOutput {
    /// Its name in the template.
    pub name: String,
    /// What it says.
    pub properties: RunOutputProperties,
}

/// What a run output says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunOutputProperties {
    /// Resource id of a managed image or gallery image version.
    pub artifact_id: Option<String>,
    /// Address of a VHD.
    pub artifact_uri: Option<String>,
}

/// A storage account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StorageAccount {
    /// Its resource id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it says.
    pub properties: StorageProperties,
}

/// What a storage account says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageProperties {
    /// Where its data is.
    pub primary_endpoints: Endpoints,
}

/// Addresses of a storage account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// The blob service.
    pub blob: Option<String>,
}

/// A network, as far as a machine in it needs it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Its region.
    pub location: String,
}

/// A network interface in a subnet, without a public address, as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceProperties {
    /// Its one configuration.
    pub ip_configurations: [Named<IpConfiguration>; 1],
}

/// Something with a name inside of a resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named<P> {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub properties: P,
}

/// Addresses of a network interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IpConfiguration {
    /// `Dynamic`.
    #[serde(rename = "privateIPAllocationMethod")]
    pub allocation: &'static str,
    /// Its subnet.
    pub subnet: Reference,
}

/// A resource that is named by another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reference {
    /// Its resource id.
    pub id: String,
}

/// What a script that was run in a machine came to (Compute, run command).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Ran {
    /// One for all that was printed.
    pub value: Vec<RanStatus>,
}

/// What a script printed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RanStatus {
    /// `ProvisioningState/succeeded`, or something else.
    pub code: String,
    /// The ends of both streams, after `[stdout]` and `[stderr]`.
    pub message: String,
}

/// What a deployment would do (Deployments, what-if).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct WhatIf {
    /// What it says.
    pub properties: WhatIfProperties,
}

/// What a deployment would do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct WhatIfProperties {
    /// Each resource.
    pub changes: Vec<Change>,
}

/// What a deployment would do with a resource.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Change {
    /// Which.
    pub resource_id: String,
    /// `Create`, `Modify`, `NoChange` and so on.
    pub change_type: String,
}
