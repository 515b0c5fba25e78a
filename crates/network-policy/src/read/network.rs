//! Virtual networks, their subnets, and IP groups.

use document::Reader;
use ipnet::IpNet;

use super::item::{Item, expression, unevaluated};
use crate::address::Address;

/// A subnet as far as it matters to a flow.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subnet {
    /// `network/subnet`.
    pub name: String,
    pub id: Option<String>,
    pub prefixes: Vec<IpNet>,
    /// Address space of its virtual network; empty for a subnet given alone.
    pub network: Vec<IpNet>,
    /// Id of its network security group.
    pub nsg: Option<String>,
}

pub(super) fn virtual_network(reader: &mut Reader, item: &Item<'_>) -> Vec<Subnet> {
    let space = item.get("addressSpace").map(Item::new);
    let network = space.and_then(|space| prefixes(reader, &space)).unwrap_or_default();
    let name = item.label();
    let mut subnets = Vec::new();
    for child in item.items(reader, "subnets") {
        subnets.push(Subnet { network: network.clone(), ..subnet(reader, &child, &name) });
    }
    subnets
}

/// The address space of a virtual network whose faults are reported elsewhere.
pub(super) fn address_space(item: &Item<'_>) -> Vec<IpNet> {
    let space = item.get("addressSpace").map(Item::new);
    space.and_then(|space| prefixes(&mut Reader::new(), &space)).unwrap_or_default()
}

pub(super) fn subnet(reader: &mut Reader, item: &Item<'_>, network: &str) -> Subnet {
    let nsg = item.get("networkSecurityGroup").map(Item::new).and_then(|nsg| nsg.get("id"));
    Subnet {
        name: format!("{network}/{}", item.label()),
        id: item.text("id").map(str::to_owned),
        prefixes: prefixes(reader, item).unwrap_or_default(),
        network: Vec::new(),
        nsg: nsg.and_then(|node| {
            if expression(node.value) {
                unevaluated(reader, &node);
                return None;
            }
            reader.string(&node).map(str::to_owned)
        }),
    }
}

fn prefixes(reader: &mut Reader, item: &Item<'_>) -> Option<Vec<IpNet>> {
    item.union(reader, &["addressPrefix", "addressPrefixes"], |text| match Address::parse(text) {
        Ok(Address::Prefix(prefix)) => Ok(prefix),
        Ok(_) => Err(format!("'{text}' is not a CIDR prefix")),
        Err(error) => Err(error.to_string()),
    })
}

/// The id or name of an IP group, and its addresses.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IpGroup {
    pub id: String,
    pub addresses: Vec<Address>,
}

pub(super) fn ip_group(reader: &mut Reader, item: &Item<'_>) -> Option<IpGroup> {
    let addresses = item.union(reader, &["ipAddresses"], |text| match Address::parse(text) {
        Ok(address @ (Address::Prefix(_) | Address::Range(..))) => Ok(address),
        Ok(_) => Err(format!("'{text}' is not an address, prefix or range")),
        Err(error) => Err(error.to_string()),
    })?;
    Some(IpGroup { id: item.text("id").map_or_else(|| item.label(), str::to_owned), addresses })
}
