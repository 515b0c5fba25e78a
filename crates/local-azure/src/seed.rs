//! Resources that an environment's documents describe, so that a network exists to build in.

use std::collections::BTreeSet;

use arm::{Inventory, Resource};
use rusqlite::Transaction;
use serde_json::{Map, Value, json};

use crate::LocalAzure;
use crate::deployments::{json as to_json, unknown};
use crate::error::{ArmError, Error};
use crate::generic;
use crate::groups::{self, GROUP};
use crate::identity::{Kind, Principal};
use crate::path::{Address, Path};
use crate::providers;
use crate::store::Row;
use crate::transport::Request;
use crate::types::Writer;

/// What became of an environment's resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seeded {
    /// How many were made.
    pub made: usize,
    /// How many were there already, and stay as they are.
    pub kept: usize,
    /// What was left out, and why, for people.
    pub left: Vec<String>,
}

/// Namespaces whose resources the endpoint makes itself: a deployment or a run is more than its document.
const LEFT: [&str; 3] = ["Microsoft.Resources", "Microsoft.VirtualMachineImages", "Microsoft.Features"];
/// Roles and their assignments are written as a client writes them, behind everything else.
const ROLES: &str = "Microsoft.Authorization";

const ROLES_VERSION: &str = "2022-04-01";
/// The version of the interface that documents are taken to be of when they do not say.
const VERSION: &str = "2024-05-01";

/// A resource on its way in.
struct Wanted {
    address: Address,
    version: String,
    body: Value,
}

impl LocalAzure {
    /// Makes the resources of documents that are not there yet, with their resource groups, and registers their providers:
    /// all of them or, after an error, none. `location` is the region of what does not say its own.
    ///
    /// A network resource that is not wholly known is an error, since builds would meet other rules than the documents';
    /// others are left out. Networks of other subscriptions are met by builds and seen by no client.
    ///
    /// # Errors
    /// When a resource cannot be made; the text names it.
    pub fn seed(&self, inventory: &Inventory, location: Option<&str>) -> Result<Seeded, Error> {
        let mut seeded = Seeded::default();
        let mut wanted = Vec::new();
        for resource in inventory.resources() {
            match wanted_of(resource) {
                Ok(Some(one)) => wanted.push(one),
                Ok(None) => {}
                Err(why) if is_network(resource) => {
                    return Err(Error::Seed(format!("{}: {why}", resource.label())));
                }
                Err(why) => seeded.left.push(format!("{}: {why}", resource.label())),
            }
        }
        // What is inside comes after what it is in, and an assignment after its role.
        wanted.sort_by_key(|one| {
            (one.address.pairs.len(), one.address.resource_type().ends_with("roleAssignments"))
        });
        let (roles, wanted): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|one| one.address.namespace.eq_ignore_ascii_case(ROLES));
        let owner = self.secrets().object_id.clone();
        let done = self.store.write(|transaction| {
            let owner =
                Principal::find(transaction, &owner)?.ok_or_else(|| ArmError::internal("no owner"))?;
            self.make_places(transaction, inventory, &wanted, location)?;
            self.make_all(transaction, &owner, wanted, &mut seeded)?;
            Ok(owner)
        });
        let owner = done.map_err(|error| Error::Seed(error.internal.unwrap_or(error.message)))?;
        for role in roles {
            self.make_role(&owner, &role, &mut seeded)?;
        }
        Ok(seeded)
    }

    /// Writes a role or an assignment. One that cannot be, such as of somebody who is not in this directory, is left out:
    /// nobody may more than the documents say.
    fn make_role(&self, owner: &Principal, role: &Wanted, seeded: &mut Seeded) -> Result<(), Error> {
        let id = role.address.id();
        let there = self.store.read(|connection| Row::find(connection, &id.to_ascii_lowercase()));
        match there {
            Ok(Some(_)) => seeded.kept += 1,
            Ok(None) => match self.perform(Request::put(&id, ROLES_VERSION, &role.body, ""), owner.clone()) {
                Ok(_) => seeded.made += 1,
                Err(error) => seeded.left.push(format!("{id}: {}", error.message)),
            },
            Err(error) => return Err(Error::Seed(error.internal.unwrap_or(error.message))),
        }
        Ok(())
    }

    /// The groups and providers that resources need.
    fn make_places(
        &self,
        transaction: &Transaction<'_>,
        inventory: &Inventory,
        wanted: &[Wanted],
        location: Option<&str>,
    ) -> Result<(), ArmError> {
        let namespaces: BTreeSet<_> = wanted.iter().map(|one| one.address.namespace.as_str()).collect();
        for namespace in namespaces {
            providers::keep_state(transaction, &self.subscription(), namespace, "Registered")?;
        }
        for one in wanted {
            let id = one.address.scope.replacen("/resourcegroups/", "/resourceGroups/", 1);
            let Some((_, name)) = id.split_once("/resourceGroups/") else { continue };
            if Row::find(transaction, &id.to_ascii_lowercase())?.is_some() {
                continue;
            }
            let described =
                inventory.of_type(GROUP).find(|group| group.id.as_str().eq_ignore_ascii_case(&id));
            let described = described.map(|group| to_json(&group.value)).unwrap_or_default();
            let region = [&described["location"], &one.body["location"]].into_iter().find_map(Value::as_str);
            let given = json!({ "location": region.or(location), "tags": described["tags"] });
            Row::put(transaction, &groups::body(&id, name, &given, None)?)?;
        }
        Ok(())
    }

    /// Makes resources, each after those that it names: what cannot be made yet is tried again while others are made.
    fn make_all(
        &self,
        transaction: &Transaction<'_>,
        owner: &Principal,
        mut wanted: Vec<Wanted>,
        seeded: &mut Seeded,
    ) -> Result<(), ArmError> {
        while !wanted.is_empty() {
            let (before, mut later, mut first) = (wanted.len(), Vec::new(), None);
            for mut one in wanted {
                let id = one.address.id();
                if Row::find(transaction, &id.to_ascii_lowercase())?.is_some() {
                    seeded.kept += 1;
                    continue;
                }
                give_region(transaction, &mut one)?;
                let writer = Writer { caller: owner, api_version: &one.version };
                match generic::write(self, transaction, writer, &one.address, one.body.clone()) {
                    Ok((row, _)) => {
                        keep_principal(transaction, &row, &one.body)?;
                        seeded.made += 1;
                    }
                    Err(error) if error.internal.is_some() => return Err(error),
                    Err(error) => {
                        first.get_or_insert_with(|| format!("{id}: {}: {}", error.code, error.message));
                        later.push(one);
                    }
                }
            }
            if let (true, Some(first)) = (later.len() == before, first) {
                return Err(ArmError::bad("InvalidTemplate", first));
            }
            wanted = later;
        }
        Ok(())
    }
}

/// A resource as a client would write it; none of what the endpoint makes itself.
fn wanted_of(resource: &Resource) -> Result<Option<Wanted>, String> {
    let id = resource.id.as_str();
    if resource.id.is_type(GROUP) {
        return Ok(None);
    }
    let complete = !id.contains(['*', '{']) && id.starts_with("/subscriptions/");
    let address = Path::parse(id).ok().filter(|_| complete).and_then(|path| path.address());
    let Some(address) = address.filter(|address| address.rest.is_none() && !address.pairs.is_empty()) else {
        return Err(
            "its id is not known; `subscription` and the source's `resource_group` make it so".to_owned()
        );
    };
    if LEFT.iter().any(|left| left.eq_ignore_ascii_case(&address.namespace)) {
        return Err("the endpoint makes such resources itself".to_owned());
    }
    let members = resource.value.as_object().into_iter().flatten();
    // Tags decide nothing, and often hold the time of a deployment; one that is not known is null.
    let mut deciding = members.filter(|member| !member.key.eq_ignore_ascii_case("tags"));
    if let Some(why) = resource.doubt.clone().or_else(|| deciding.find_map(|member| unknown(&member.value))) {
        return Err(format!("it is not wholly known: {why}"));
    }
    let mut body = to_json(&resource.value);
    let version = body["apiVersion"].as_str().unwrap_or(VERSION).to_owned();
    body = written(body);
    Ok(Some(Wanted { address, version, body }))
}

/// Gives a resource that does not say its region that of its group.
fn give_region(transaction: &Transaction<'_>, one: &mut Wanted) -> Result<(), ArmError> {
    if one.address.pairs.len() == 1 && one.body["location"].is_null() {
        let group = Row::find(transaction, &one.address.scope.to_ascii_lowercase())?;
        one.body["location"] = group.map(|row| row.body["location"].clone()).unwrap_or_default();
    }
    Ok(())
}

fn is_network(resource: &Resource) -> bool {
    resource.id.provider().is_some_and(|provider| provider.eq_ignore_ascii_case("Microsoft.Network"))
}

/// An identity keeps the ids that the documents tell, since role assignments of other documents name them.
fn keep_principal(transaction: &Transaction<'_>, row: &Row, given: &Value) -> Result<(), ArmError> {
    let told = |name: &str| given["properties"][name].as_str().map(str::to_ascii_lowercase);
    let is_identity = row.body["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities";
    let (true, Some(object)) = (is_identity, told("principalId")) else { return Ok(()) };
    let mut body = row.body.clone();
    let made = |name: &str| row.body["properties"][name].as_str().unwrap_or_default().to_owned();
    let client = told("clientId").unwrap_or_else(|| made("clientId"));
    Principal::remove(transaction, &made("principalId"))?;
    body["properties"]["principalId"] = object.clone().into();
    body["properties"]["clientId"] = client.clone().into();
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    Principal { object, client, name, kind: Kind::ManagedIdentity }.keep(transaction)?;
    Row::put(transaction, &body)?;
    Ok(())
}

/// Fields beside `properties`.
const BESIDE: [&str; 12] = [
    "location",
    "tags",
    "identity",
    "sku",
    "zones",
    "kind",
    "plan",
    "managedBy",
    "extendedLocation",
    "id",
    "name",
    "type",
];

/// Lists whose items have `properties` of their own.
const LISTS_OF_RESOURCES: [&str; 6] = [
    "ipConfigurations",
    "frontendIPConfigurations",
    "applicationRuleCollections",
    "networkRuleCollections",
    "natRuleCollections",
    "delegations",
];

/// Fields that documents' common form has as lists, and Azure as one value where there is one.
const SINGULAR: [(&str, &str); 5] = [
    ("sourceAddressPrefixes", "sourceAddressPrefix"),
    ("destinationAddressPrefixes", "destinationAddressPrefix"),
    ("sourcePortRanges", "sourcePortRange"),
    ("destinationPortRanges", "destinationPortRange"),
    ("addressPrefixes", "addressPrefix"),
];

/// The form that clients write, of the flattened one that documents are read into.
fn written(flat: Value) -> Value {
    let Value::Object(flat) = flat else { return flat };
    let (mut outer, mut inner) = (Map::new(), Map::new());
    for (name, value) in flat {
        match name.as_str() {
            "apiVersion" | "dependsOn" | "comments" | "resourceGroup" | "subscriptionId" | "etag" => {}
            "properties" => inner.extend(value.as_object().cloned().unwrap_or_default()),
            own if BESIDE.contains(&own) => drop(outer.insert(name, value)),
            own if LISTS_OF_RESOURCES.contains(&own) => {
                let items = value.as_array().cloned().unwrap_or_default();
                inner.insert(name, items.into_iter().map(written).collect());
            }
            own => {
                let singular = SINGULAR.iter().find(|(list, _)| *list == own);
                match (singular, value.as_array().map(Vec::as_slice)) {
                    (Some((_, one)), Some([only])) => drop(inner.insert((*one).to_owned(), only.clone())),
                    _ => drop(inner.insert(name, value)),
                }
            }
        }
    }
    outer.insert("properties".to_owned(), inner.into());
    outer.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flattened_is_written_as_clients_write_it() {
        let flat = json!({
            "name": "build", "addressPrefixes": ["10.0.0.0/28"], "apiVersion": "2024-05-01",
            "delegations": [{ "name": "aci", "serviceName": "Microsoft.ContainerInstance/containerGroups" }],
        });
        let service = json!({ "serviceName": "Microsoft.ContainerInstance/containerGroups" });
        assert_eq!(
            written(flat),
            json!({ "name": "build", "properties": {
                "addressPrefix": "10.0.0.0/28", "delegations": [{ "name": "aci", "properties": service }],
            } })
        );
        let network = json!({ "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] } });
        assert_eq!(written(network.clone()), json!({ "properties": network }));
    }
}
