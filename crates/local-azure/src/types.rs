//! What is known of resource types: one table. Every other type is stored and returned as it is, and says so.

use rusqlite::Transaction;
use serde_json::Value;

use crate::LocalAzure;
use crate::call::{Answer, Call};
use crate::error::ArmError;
use crate::identity::Principal;
use crate::store::Row;
use crate::{compute, deployments, identities, images, interfaces, machines, network, storage};

/// Who writes something, by which version of the interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub caller: &'a Principal,
    pub api_version: &'a str,
}

/// A resource on its way into the store.
pub(crate) struct Edit<'a> {
    pub azure: &'a LocalAzure,
    pub transaction: &'a Transaction<'a>,
    /// Who writes it, by which version of the interface.
    pub writer: Writer<'a>,
    /// Its id as the client wrote it.
    pub id: &'a str,
    /// What is there.
    pub old: Option<&'a Row>,
    /// What is to be there.
    pub new: &'a mut Value,
}

impl Edit<'_> {
    /// The name of the resource.
    pub fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }

    /// Keeps what only the endpoint says from what is there.
    pub fn keep(&mut self, names: &[&str]) {
        for name in names {
            if let Some(value) =
                self.old.map(|old| &old.body["properties"][name]).filter(|value| !value.is_null())
            {
                self.new["properties"][*name] = value.clone();
            }
        }
    }
}

/// A resource that is about to go.
pub(crate) struct Removal<'a> {
    pub transaction: &'a Transaction<'a>,
    pub row: &'a Row,
    pub azure: &'a LocalAzure,
    /// Key of all that goes with it: the resource group, or the resource itself.
    pub going: &'a str,
}

/// An action of a resource type.
pub(crate) struct Act {
    /// Its name, as paths end.
    pub name: &'static str,
    /// What it does, for people.
    pub does: &'static str,
    pub run: fn(&mut Call<'_>) -> Answer,
}

/// A resource type.
pub(crate) struct ResourceType {
    /// Its name, spelled as Azure spells it.
    pub name: &'static str,
    /// What the endpoint does with it, for people.
    pub does: &'static str,
    /// Fields of its properties that list its children, and their type.
    pub children: &'static [(&'static str, &'static str)],
    /// Whether it has a location of its own.
    pub has_location: bool,
    /// Status of the answer when one is made.
    pub created: u16,
    /// Status of the answer when one is deleted.
    pub deleted: u16,
    /// Versions of its interface that `provider show` lists, newest first.
    pub versions: &'static [&'static str],
    /// Checks and completes what is written.
    pub write: fn(&mut Edit<'_>) -> Result<(), ArmError>,
    /// Fills in what depends on where the client believes to be.
    pub show: fn(&str, &mut Value),
    /// Checks whether it may go.
    pub remove: fn(&Removal<'_>) -> Result<(), ArmError>,
    /// Actions by name.
    pub actions: &'static [Act],
}

fn nothing_to_write(edit: &mut Edit<'_>) -> Result<(), ArmError> {
    edit.new["properties"]["provisioningState"] = "Succeeded".into();
    Ok(())
}

fn nothing_to_show(_: &str, _: &mut Value) {}

fn nothing_to_remove(_: &Removal<'_>) -> Result<(), ArmError> {
    Ok(())
}

/// What most types have in common, and all of what a type without a row here is.
pub(crate) const PLAIN: ResourceType = ResourceType {
    name: "",
    does: "stored and returned as it is",
    children: &[],
    has_location: true,
    created: 201,
    deleted: 200,
    versions: &["2024-05-01"],
    write: nothing_to_write,
    show: nothing_to_show,
    remove: nothing_to_remove,
    actions: &[],
};

/// A child that lives inside its parent's location.
const CHILD: ResourceType = ResourceType { has_location: false, ..PLAIN };

/// Every type that the endpoint knows.
pub(crate) const TYPES: &[ResourceType] = &[
    ResourceType {
        name: "Microsoft.Network/virtualNetworks",
        does: "prefixes are checked; subnets and peerings are resources of their own",
        children: &[
            ("subnets", "Microsoft.Network/virtualNetworks/subnets"),
            ("virtualNetworkPeerings", "Microsoft.Network/virtualNetworks/virtualNetworkPeerings"),
        ],
        versions: &["2024-07-01", "2024-05-01"],
        write: network::virtual_network,
        show: network::show_virtual_network,
        remove: network::remove_virtual_network,
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.Network/virtualNetworks/subnets",
        does: "inside its network and beside the others; what it names must exist and be joined",
        versions: &["2024-07-01", "2024-05-01"],
        write: network::subnet,
        remove: network::remove_subnet,
        ..CHILD
    },
    ResourceType {
        name: "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
        does: "stored; routes of builds see it",
        ..CHILD
    },
    ResourceType {
        name: "Microsoft.Network/networkSecurityGroups",
        does: "rules are checked, and decide what builds reach",
        children: &[("securityRules", "Microsoft.Network/networkSecurityGroups/securityRules")],
        versions: &["2024-07-01", "2022-01-01"],
        write: network::group,
        show: network::show_group,
        remove: network::remove_joined,
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.Network/networkSecurityGroups/securityRules",
        does: "checked, and decides what builds reach",
        write: network::rule,
        ..CHILD
    },
    ResourceType {
        name: "Microsoft.Network/routeTables",
        does: "decides the next hop of builds",
        children: &[("routes", "Microsoft.Network/routeTables/routes")],
        remove: network::remove_joined,
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.Network/routeTables/routes",
        does: "decides the next hop of builds",
        ..CHILD
    },
    ResourceType {
        name: "Microsoft.Network/azureFirewalls",
        does: "gets a private address; its rules decide what builds reach",
        write: network::firewall,
        ..PLAIN
    },
    ResourceType { name: "Microsoft.Network/firewallPolicies", does: "decides what builds reach", ..PLAIN },
    ResourceType {
        name: "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
        does: "decides what builds reach",
        ..CHILD
    },
    ResourceType { name: "Microsoft.Network/ipGroups", does: "prefixes that firewall rules name", ..PLAIN },
    ResourceType {
        name: "Microsoft.Network/natGateways",
        does: "an explicit way out of a subnet",
        remove: network::remove_joined,
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.Network/publicIPAddresses",
        does: "gets an address of those for documentation",
        write: network::public_address,
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.ManagedIdentity/userAssignedIdentities",
        does: "gets a principal that roles can be assigned to",
        versions: &["2024-11-30", "2023-01-31"],
        write: identities::write,
        remove: identities::remove,
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.Compute/images",
        does: "what builds make of it has a file here",
        versions: &["2024-11-01", "2024-07-01"],
        write: compute::made_here,
        remove: compute::remove_file,
        ..PLAIN
    },
    ResourceType {
        name: compute::MACHINE,
        does: "boots here, emulated and without a network, where a build of this endpoint made its image; one that a failed \
               build left has a folder, which goes with it",
        versions: &["2024-11-01", "2024-07-01"],
        write: compute::made_here,
        remove: machines::remove,
        actions: &[Act {
            name: "runCommand",
            does: "runs a script as root in a machine that runs",
            run: machines::run_command,
        }],
        ..PLAIN
    },
    ResourceType {
        name: machines::DISK,
        does: "stored; that of a machine goes after it, or with it where it says so",
        versions: &["2024-03-02", "2023-10-02"],
        remove: machines::remove_disk,
        ..PLAIN
    },
    ResourceType {
        name: interfaces::INTERFACE,
        does: "joins a subnet and takes an address of it",
        versions: &["2024-07-01", "2024-05-01"],
        write: interfaces::write,
        remove: interfaces::remove,
        actions: &[Act {
            name: "effectiveNetworkSecurityGroups",
            does: "the rules that apply to it, where a machine has it",
            run: interfaces::effective_groups,
        }],
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.Compute/galleries",
        does: "stored; goes when no definition is in it",
        remove: compute::remove_empty,
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.Compute/galleries/images",
        does: "image definitions that builds publish into; go when no version is in them",
        write: compute::definition,
        remove: compute::remove_empty,
        ..PLAIN
    },
    ResourceType {
        name: "Microsoft.Compute/galleries/images/versions",
        does: "what builds publish has a file here",
        write: compute::made_here,
        remove: compute::remove_file,
        ..PLAIN
    },
    ResourceType {
        name: storage::ACCOUNT,
        does: "has containers of blobs",
        created: 200,
        versions: &["2024-01-01", "2023-05-01"],
        write: storage::write,
        show: storage::show,
        remove: storage::remove,
        actions: &[Act { name: "listKeys", does: "the account's keys", run: storage::list_keys }],
        ..PLAIN
    },
    ResourceType {
        name: images::IMAGE_TEMPLATE,
        does: "checked as the service checks it; runs build a real image",
        versions: &[
            "2025-10-01",
            "2024-02-01",
            "2023-07-01",
            "2022-07-01",
            "2022-02-14",
            "2021-10-01",
            "2020-02-14",
        ],
        actions: &[
            Act { name: "run", does: "builds the image", run: images::run },
            Act { name: "cancel", does: "stops a build", run: images::cancel },
        ],
        ..PLAIN
    },
    ResourceType {
        name: deployments::DEPLOYMENT,
        does: "evaluated against what is there; its resources are made as by their own requests",
        versions: &["2025-04-01", "2024-03-01", "2021-04-01"],
        ..CHILD
    },
    ResourceType {
        name: images::TRIGGER,
        does: "checked as the service checks it; never fires",
        versions: &["2025-10-01", "2024-02-01", "2023-07-01", "2022-07-01"],
        write: images::triggers::write,
        deleted: 204,
        ..CHILD
    },
    ResourceType {
        name: images::RUN_OUTPUT,
        does: "what the last run made",
        show: images::show_output,
        ..CHILD
    },
];

/// What is known of a type.
pub(crate) fn find(name: &str) -> Option<&'static ResourceType> {
    TYPES.iter().find(|each| each.name.eq_ignore_ascii_case(name))
}

/// An action on a resource: what its type offers, and no other.
pub(crate) fn act(call: &mut Call<'_>) -> Answer {
    let address = call.path.address().ok_or_else(|| ArmError::internal("no address"))?;
    let (resource_type, action) = (address.resource_type(), address.rest.clone().unwrap_or_default());
    let known = find(&resource_type)
        .and_then(|known| known.actions.iter().find(|act| act.name.eq_ignore_ascii_case(&action)));
    match known {
        Some(act) => (act.run)(call),
        None => Err(ArmError::not_implemented(format!("the action '{action}' of '{resource_type}'"))),
    }
}
