//! The machine that builds, and what the service does around the build.

use document::{Diagnostic, Fields, Node};

use super::context::{Context, FIRST, Field, Reported, optional};
use super::script::{checksum, uri_text};
use crate::{
    ApiVersion, AutoRun, DataDisk, ErrorHandling, OnError, Optimize, Text, VmProfile, VnetConfig, Workload,
};

const PROFILE: [Field; 4] = [
    ("vmSize", FIRST),
    ("osDiskSizeGB", FIRST),
    ("userAssignedIdentities", ApiVersion::V2021_10_01),
    ("vnetConfig", FIRST),
];

const VNET: [Field; 3] = [
    ("subnetId", FIRST),
    ("containerInstanceSubnetId", ApiVersion::V2024_02_01),
    ("proxyVmSize", ApiVersion::V2021_10_01),
];

const WORKLOAD: [Field; 3] = [("state", FIRST), ("scriptUri", FIRST), ("sha256Checksum", FIRST)];

const SWITCH: [(&str, bool); 2] = [("Enabled", true), ("Disabled", false)];

/// The largest disk that Azure gives a VM's operating system, in GiB.
const LARGEST_OS_DISK: u32 = 4095;

const SUBNET_TYPE: &str = "Microsoft.Network/virtualNetworks/subnets";
const SUBNET: &str = "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Network/virtualNetworks/{vnet}/subnets/{subnet}";

pub(super) fn vm_profile(context: &mut Context, node: &Node<'_>) -> Option<VmProfile> {
    const IDENTITY: &str = "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}";
    let fields = context.fields(node, &PROFILE)?;
    let vm_size = optional(&fields, "vmSize").and_then(|size| context.text(&size));
    let os_disk_size_gb = context.integer(&fields, "osDiskSizeGB", 0..=LARGEST_OS_DISK, 0);
    let identities: Vec<_> = match fields.get("userAssignedIdentities") {
        Some(list) => context
            .array(&list)?
            .iter()
            .map(|id| context.resource_id(id, "Microsoft.ManagedIdentity/userAssignedIdentities", IDENTITY))
            .collect(),
        None => Vec::new(),
    };
    let vnet_config = match fields.get("vnetConfig") {
        Some(node) => vnet_config(context, &node).ok()?,
        None => None,
    };
    let user_assigned_identities = identities.into_iter().collect::<Option<_>>()?;
    Some(VmProfile { vm_size, os_disk_size_gb, user_assigned_identities, vnet_config })
}

fn vnet_config(context: &mut Context, node: &Node<'_>) -> Result<Option<VnetConfig>, Reported> {
    let fields = context.fields(node, &VNET).ok_or(Reported)?;
    let subnet = optional(&fields, "subnetId");
    let container = optional(&fields, "containerInstanceSubnetId");
    let proxy = optional(&fields, "proxyVmSize");
    if let (None, Some(other)) = (&subnet, container.as_ref().or(proxy.as_ref())) {
        let name = if container.is_some() { "containerInstanceSubnetId" } else { "proxyVmSize" };
        let message = format!("`{name}` works only together with `subnetId`");
        context.error("vnet-without-subnet", other, message, "`subnetId` beside it");
    }
    if let (Some(_), Some(proxy)) = (&container, &proxy) {
        let message = "there is no proxy VM when `containerInstanceSubnetId` is set";
        context.error("proxy-with-container-subnet", proxy, message, "no `proxyVmSize`");
    }
    if subnet.is_none() && (context.version.is_preview() || fields.present().next().is_none()) {
        return Ok(None);
    }
    let subnet_id = subnet.as_ref().and_then(|subnet| context.resource_id(subnet, SUBNET_TYPE, SUBNET));
    let container_id =
        container.as_ref().map(|container| context.resource_id(container, SUBNET_TYPE, SUBNET));
    if let (Some(subnet), Some(Some(other)), Some(node)) = (&subnet_id, &container_id, &container) {
        compare_subnets(context, subnet, other, node);
    }
    let proxy_vm_size = proxy.and_then(|size| context.text(&size));
    let container_instance_subnet_id = match container_id {
        Some(id) => Some(id.ok_or(Reported)?),
        None => None,
    };
    let subnet_id = subnet_id.ok_or(Reported)?;
    Ok(Some(VnetConfig { subnet_id, container_instance_subnet_id, proxy_vm_size }))
}

/// The two subnets are different ones of the same virtual network.
fn compare_subnets(context: &mut Context, build: &Text, container: &Text, node: &Node<'_>) {
    let id = |text: &Text| text.known().and_then(|text| arm::ResourceId::parse(text).ok());
    let (Some(build), Some(container)) = (id(build), id(container)) else { return };
    let expected = "another subnet of the same virtual network";
    if build == container {
        context.error("same-subnet", node, "this is the subnet of the build VM", expected);
    } else if build.parent() != container.parent() {
        context.error(
            "other-vnet",
            node,
            "this subnet is in another virtual network than `subnetId`",
            expected,
        );
    }
}

fn switch(context: &mut Context, fields: &Fields<'_>) -> Option<bool> {
    let state = context.reader.required(fields, "state")?;
    context.one_of(&state, &SWITCH)
}

pub(super) fn optimize(context: &mut Context, node: &Node<'_>) -> Option<Optimize> {
    let fields = context.fields(node, &[("vmBoot", FIRST), ("workload", ApiVersion::V2025_10_01)])?;
    let vm_boot = match fields.get("vmBoot") {
        Some(node) => {
            context.fields(&node, &[("state", FIRST)]).and_then(|fields| switch(context, &fields))?
        }
        None => false,
    };
    let workload = match fields.get("workload") {
        Some(node) => Some(read_workload(context, &node)?),
        None => None,
    };
    Some(Optimize { vm_boot, workload })
}

fn read_workload(context: &mut Context, node: &Node<'_>) -> Option<Workload> {
    let fields = context.fields(node, &WORKLOAD)?;
    let enabled = switch(context, &fields);
    let Some(uri) = optional(&fields, "scriptUri") else {
        if let Some(checksum) = optional(&fields, "sha256Checksum") {
            let message = "a checksum belongs to a `scriptUri`; there is none";
            context.error("checksum-without-uri", &checksum, message, "a `scriptUri` beside it");
        }
        return Some(Workload { enabled: enabled?, script_uri: None, sha256: None });
    };
    let sha256 = checksum(context, &fields, &uri);
    let script_uri = uri_text(context, &uri);
    Some(Workload { enabled: enabled?, script_uri: Some(script_uri?), sha256: sha256.ok()? })
}

pub(super) fn error_handling(context: &mut Context, node: &Node<'_>) -> Option<ErrorHandling> {
    if node.value.as_array().is_some() {
        context.reader.report(
            Diagnostic::error("wrong-type", node.span(), "this is an array")
                .at(&node.path)
                .expecting("an object")
                .hinting(
                    "write `{ \"onCustomizerError\": ..., \"onValidationError\": ... }` without the array",
                ),
        );
        return None;
    }
    let fields = context.fields(node, &[("onCustomizerError", FIRST), ("onValidationError", FIRST)])?;
    let mut choice = |name| match fields.get(name) {
        Some(node) => context.one_of(&node, &[("cleanup", OnError::Cleanup), ("abort", OnError::Abort)]),
        None => Some(OnError::Cleanup),
    };
    let (on_customizer_error, on_validation_error) =
        (choice("onCustomizerError"), choice("onValidationError"));
    Some(ErrorHandling {
        on_customizer_error: on_customizer_error?,
        on_validation_error: on_validation_error?,
    })
}

pub(super) fn auto_run(context: &mut Context, node: &Node<'_>) -> Option<AutoRun> {
    let fields = context.fields(node, &[("state", FIRST)])?;
    switch(context, &fields).map(|on| if on { AutoRun::Enabled } else { AutoRun::Disabled })
}

pub(super) fn data_disks(context: &mut Context, node: &Node<'_>) -> Option<Vec<DataDisk>> {
    let mut disks = Vec::new();
    for item in context.array(node)? {
        let fields = context.fields(&item, &[("sizeGB", FIRST)])?;
        context.reader.required(&fields, "sizeGB")?;
        disks.push(DataDisk { size_gb: context.integer(&fields, "sizeGB", 0..=i32::MAX.unsigned_abs(), 0) });
    }
    Some(disks)
}

/// A resource group's id; the service makes the group when none is given.
pub(super) fn staging_resource_group(context: &mut Context, node: &Node<'_>) -> Option<Text> {
    const RULE: &str = "/subscriptions/{s}/resourceGroups/{name}";
    context.shaped(node, RULE, |text| {
        arm::ResourceId::parse(text).is_ok_and(|id| id.resource_group().is_some() && id.provider().is_none())
    })
}
