//! A template as the JSON that `az image builder create --image-template` takes.

use document::Value;

use crate::{
    AutoRun, Customizer, Distribute, FileStep, ImageTemplate, OnError, Optimize, PowerShellStep,
    RESOURCE_TYPE, Regions, ReplicationMode, Script, SharedImage, ShellStep, Source, StorageAccountType,
    Tags, Text, Validate, Validator, Versioning, VmProfile,
};

/// Members in the order in which they are written.
#[derive(Default)]
struct Members(Vec<(&'static str, Value)>);

impl Members {
    fn add(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push((key, value.into()));
    }

    /// Adds the member when there is a value.
    fn add_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    /// Adds the member unless the list is empty.
    fn add_list(&mut self, key: &'static str, items: Vec<Value>) {
        if !items.is_empty() {
            self.add(key, Value::array(items));
        }
    }

    fn add_tags(&mut self, key: &'static str, tags: &Tags) {
        if !tags.is_empty() {
            self.add(key, Value::object(tags.iter().map(|(name, value)| (name.as_str(), value.into()))));
        }
    }

    /// Adds the member when the value differs from the service's default.
    fn add_unless_default<T: Default + PartialEq + Copy + Into<Value>>(
        &mut self,
        key: &'static str,
        value: T,
    ) {
        if value != T::default() {
            self.add(key, value);
        }
    }

    fn into_value(self) -> Value {
        Value::object(self.0)
    }
}

impl From<&Text> for Value {
    fn from(text: &Text) -> Self {
        Self::from(text.as_str())
    }
}

fn enabled(on: bool) -> Value {
    Value::from(if on { "Enabled" } else { "Disabled" })
}

fn texts(items: &[Text]) -> Vec<Value> {
    items.iter().map(Value::from).collect()
}

impl ImageTemplate {
    /// The template as pretty JSON in a stable order; fields that hold the service's default are left out.
    ///
    /// `type` and `apiVersion` are written for the reader and for ARM; the Azure CLI sends only `location`,
    /// `tags`, `identity` and `properties`. [`crate::parse`] reads the result into an equal template.
    pub fn to_json(&self) -> String {
        let mut members = Members::default();
        members.add("type", RESOURCE_TYPE);
        members.add("apiVersion", self.api_version.as_str());
        members.add_some("name", self.name.as_ref());
        members.add("location", &self.location);
        members.add_tags("tags", &self.tags);
        if let Some(identity) = &self.identity {
            let none: [(&str, Value); 0] = [];
            let ids = Value::object([(identity.user_assigned.as_str(), Value::object(none))]);
            members.add(
                "identity",
                Value::object([("type", Value::from("UserAssigned")), ("userAssignedIdentities", ids)]),
            );
        }
        members.add("properties", self.properties());
        members.into_value().to_json_pretty()
    }

    fn properties(&self) -> Value {
        let mut members = Members::default();
        members.add_unless_default("buildTimeoutInMinutes", i64::from(self.build_timeout_minutes));
        members.add_some("vmProfile", vm_profile(&self.vm_profile));
        members.add_some("stagingResourceGroup", self.staging_resource_group.as_ref());
        members.add("source", source(&self.source));
        members.add_list("customize", self.customize.iter().map(customizer).collect());
        members.add_some("optimize", optimize(&self.optimize));
        members.add_some("validate", self.validate.as_ref().map(validate));
        members.add("distribute", Value::array(self.distribute.iter().map(distribute)));
        members.add_some("errorHandling", self.error_handling());
        let disks = self.additional_data_disks.iter();
        members.add_list(
            "additionalDataDisks",
            disks.map(|disk| Value::object([("sizeGB", Value::from(i64::from(disk.size_gb)))])).collect(),
        );
        if self.auto_run == AutoRun::Enabled {
            members.add("autoRun", Value::object([("state", enabled(true))]));
        }
        members.add_tags("managedResourceTags", &self.managed_resource_tags);
        members.into_value()
    }

    fn error_handling(&self) -> Option<Value> {
        let handling = self.error_handling;
        let mut members = Members::default();
        if handling.on_customizer_error == OnError::Abort {
            members.add("onCustomizerError", "abort");
        }
        if handling.on_validation_error == OnError::Abort {
            members.add("onValidationError", "abort");
        }
        (!members.0.is_empty()).then(|| members.into_value())
    }
}

fn vm_profile(profile: &VmProfile) -> Option<Value> {
    let mut members = Members::default();
    members.add_some("vmSize", profile.vm_size.as_ref());
    members.add_unless_default("osDiskSizeGB", i64::from(profile.os_disk_size_gb));
    members.add_list("userAssignedIdentities", texts(&profile.user_assigned_identities));
    if let Some(vnet) = &profile.vnet_config {
        let mut network = Members::default();
        network.add("subnetId", &vnet.subnet_id);
        network.add_some("containerInstanceSubnetId", vnet.container_instance_subnet_id.as_ref());
        network.add_some("proxyVmSize", vnet.proxy_vm_size.as_ref());
        members.add("vnetConfig", network.into_value());
    }
    (!members.0.is_empty()).then(|| members.into_value())
}

fn source(source: &Source) -> Value {
    let mut members = Members::default();
    match source {
        Source::PlatformImage { publisher, offer, sku, version, plan_info } => {
            members.add("type", "PlatformImage");
            members.add("publisher", publisher);
            members.add("offer", offer);
            members.add("sku", sku);
            members.add("version", version);
            if let Some(plan) = plan_info {
                let plan = [
                    ("planName", &plan.name),
                    ("planProduct", &plan.product),
                    ("planPublisher", &plan.publisher),
                ];
                members.add("planInfo", Value::object(plan.map(|(key, text)| (key, Value::from(text)))));
            }
        }
        Source::ManagedImage { image_id } => {
            members.add("type", "ManagedImage");
            members.add("imageId", image_id);
        }
        Source::SharedImageVersion { image_version_id } => {
            members.add("type", "SharedImageVersion");
            members.add("imageVersionId", image_version_id);
        }
    }
    members.into_value()
}

fn step(type_name: &'static str, name: Option<&str>) -> Members {
    let mut members = Members::default();
    members.add("type", type_name);
    members.add_some("name", name);
    members
}

fn add_script(members: &mut Members, script: &Script) {
    match script {
        Script::Inline(lines) => {
            members.add("inline", Value::array(lines.iter().map(|line| Value::from(line.as_str()))));
        }
        Script::Uri { uri, sha256 } => {
            members.add("scriptUri", uri);
            members.add_some("sha256Checksum", sha256.as_ref());
        }
    }
}

fn shell(shell: &ShellStep) -> Value {
    let mut members = step("Shell", shell.name.as_deref());
    add_script(&mut members, &shell.script);
    members.into_value()
}

fn power_shell(script: &PowerShellStep) -> Value {
    let mut members = step("PowerShell", script.name.as_deref());
    add_script(&mut members, &script.script);
    members.add_unless_default("runElevated", script.run_elevated);
    members.add_unless_default("runAsSystem", script.run_as_system);
    let codes = script.valid_exit_codes.iter();
    members.add_list("validExitCodes", codes.map(|&code| Value::from(i64::from(code))).collect());
    members.into_value()
}

fn file(file: &FileStep) -> Value {
    let mut members = step("File", file.name.as_deref());
    members.add("sourceUri", &file.source_uri);
    members.add_some("sha256Checksum", file.sha256.as_ref());
    members.add("destination", &file.destination);
    members.into_value()
}

fn customizer(customizer: &Customizer) -> Value {
    let mut members = step(customizer.type_name(), customizer.name());
    match customizer {
        Customizer::Shell(step) => return shell(step),
        Customizer::PowerShell(step) => return power_shell(step),
        Customizer::File(step) => return file(step),
        Customizer::WindowsRestart { restart_command, restart_check_command, restart_timeout, .. } => {
            members.add_some("restartCommand", restart_command.as_deref());
            members.add_some("restartCheckCommand", restart_check_command.as_deref());
            members.add_some("restartTimeout", restart_timeout.as_deref());
        }
        Customizer::WindowsUpdate { search_criteria, filters, update_limit, .. } => {
            members.add_some("searchCriteria", search_criteria.as_deref());
            members.add_list("filters", filters.iter().map(|filter| Value::from(filter.as_str())).collect());
            members.add_unless_default("updateLimit", i64::from(*update_limit));
        }
    }
    members.into_value()
}

fn validate(validate: &Validate) -> Value {
    let mut members = Members::default();
    let checks = validate.in_vm_validations.iter().map(|validator| match validator {
        Validator::Shell(step) => shell(step),
        Validator::PowerShell(step) => power_shell(step),
        Validator::File(step) => file(step),
    });
    members.add_list("inVMValidations", checks.collect());
    members.add_unless_default("continueDistributeOnFailure", validate.continue_distribute_on_failure);
    members.add_unless_default("sourceValidationOnly", validate.source_validation_only);
    members.into_value()
}

fn optimize(optimize: &Optimize) -> Option<Value> {
    let mut members = Members::default();
    if optimize.vm_boot {
        members.add("vmBoot", Value::object([("state", enabled(true))]));
    }
    if let Some(workload) = &optimize.workload {
        let mut inner = Members::default();
        inner.add("state", enabled(workload.enabled));
        inner.add_some("scriptUri", workload.script_uri.as_ref());
        inner.add_some("sha256Checksum", workload.sha256.as_ref());
        members.add("workload", inner.into_value());
    }
    (!members.0.is_empty()).then(|| members.into_value())
}

fn distribute(target: &Distribute) -> Value {
    let mut members = Members::default();
    members.add("type", target.type_name());
    members.add("runOutputName", target.run_output_name());
    match target {
        Distribute::Vhd { artifact_tags, uri, .. } => {
            members.add_tags("artifactTags", artifact_tags);
            members.add_some("uri", uri.as_ref());
        }
        Distribute::ManagedImage { artifact_tags, image_id, location, .. } => {
            members.add_tags("artifactTags", artifact_tags);
            members.add("imageId", image_id);
            members.add("location", location);
        }
        Distribute::SharedImage(image) => shared_image(&mut members, image),
    }
    members.into_value()
}

fn shared_image(members: &mut Members, image: &SharedImage) {
    members.add_tags("artifactTags", &image.artifact_tags);
    members.add("galleryImageId", &image.gallery_image_id);
    match &image.regions {
        Regions::Unspecified => {}
        Regions::Target(regions) => {
            let regions = regions.iter().map(|region| {
                let mut inner = Members::default();
                inner.add("name", &region.name);
                inner.add("replicaCount", i64::from(region.replica_count));
                inner.add_some("storageAccountType", region.storage.map(StorageAccountType::as_str));
                inner.into_value()
            });
            members.add("targetRegions", Value::array(regions));
        }
        Regions::Replication { names, storage } => {
            members.add("replicationRegions", Value::array(texts(names)));
            members.add_some("storageAccountType", storage.map(StorageAccountType::as_str));
        }
    }
    members.add_unless_default("excludeFromLatest", image.exclude_from_latest);
    if let Some(versioning) = image.versioning {
        let mut inner = Members::default();
        match versioning {
            Versioning::Latest { major } => {
                inner.add("scheme", "Latest");
                inner.add_some("major", major.map(i64::from));
            }
            Versioning::Source => inner.add("scheme", "Source"),
        }
        members.add("versioning", inner.into_value());
    }
    if image.replication_mode == ReplicationMode::Shallow {
        members.add("replicationMode", "Shallow");
    }
}

impl StorageAccountType {
    /// The name as Azure spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandardLrs => "Standard_LRS",
            Self::StandardZrs => "Standard_ZRS",
            Self::PremiumLrs => "Premium_LRS",
        }
    }
}
