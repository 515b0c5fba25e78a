//! What Azure says applies to an interface: effective security rules and effective routes.
//!
//! Source: `az network nic list-effective-nsg`. What Azure expands a tag to is what the tag means there.

use arm::{Environment, ResourceId, label};
use document::Node;

use super::item::{Field, Item, Scan};
use super::{admin, nsg};
use crate::admin::AdminRule;
use crate::nsg::{NetworkSecurityGroup, SecurityRule};
use crate::policy::Context;
use crate::route::{NextHop, RouteDestination};

/// The groups that apply, by where they are attached.
#[derive(Default)]
pub(super) struct Groups {
    pub subnet: Option<NetworkSecurityGroup>,
    pub interface: Option<NetworkSecurityGroup>,
    pub admin: Vec<AdminRule>,
}

/// Reads the effective groups of the build subnet, or of the only interface there is.
pub(super) fn groups(scan: &mut Scan<'_>, environment: &Environment) -> Groups {
    let inventory = scan.inventory;
    let wanted = environment.build_subnet.as_ref().and_then(|named| ResourceId::parse(&named.text).ok());
    let mut groups = Groups::default();
    for (index, value) in inventory.effective_groups().iter().enumerate() {
        let item = Item::new(Node { value, path: format!("effectiveNetworkSecurityGroups[{index}]") });
        let at = |kind: &str| item.inner("association")?.inner(kind)?.text("id");
        let (subnet, interface, manager) = (at("subnet"), at("networkInterface"), at("networkManager"));
        if let Some(manager) = manager {
            for rule in scan.items(&item, "effectiveSecurityRules").known {
                groups.admin.extend(admin::one(scan, &rule, manager));
            }
            continue;
        }
        if let (Some(wanted), Some(subnet)) = (&wanted, subnet)
            && ResourceId::parse(subnet).ok().as_ref() != Some(wanted)
        {
            continue;
        }
        if interface.is_some() && wanted.is_some() {
            let message = "the rules of this interface are not used: the machines of a build have interfaces of their own";
            scan.warn(value.span, message, "rules of the subnet are what counts");
            continue;
        }
        let place = if interface.is_some() { &mut groups.interface } else { &mut groups.subnet };
        let read = group(scan, &item);
        match (place.as_ref(), read) {
            (Some(other), Some(read)) if *other != read => {
                let names = [other.name().to_owned(), read.name().to_owned()];
                let message = format!(
                    "there are effective rules of several groups ({}), and which apply is not said",
                    super::list(&names)
                );
                scan.environment(message, "give those of one interface, or set `build_subnet`");
            }
            (None, Some(read)) => *place = Some(read),
            _ => {}
        }
    }
    groups
}

/// One group with its rules, default rules included.
fn group(scan: &mut Scan<'_>, item: &Item<'_>) -> Option<NetworkSecurityGroup> {
    let name = match scan.reference(item, "networkSecurityGroup") {
        Some(Field::Known(id)) => label(&id),
        _ => "effective security rules".to_owned(),
    };
    let rules = scan.items(item, "effectiveSecurityRules");
    let mut all: Vec<SecurityRule> = Vec::with_capacity(rules.known.len());
    for rule in &rules.known {
        all.extend(nsg::security_rules(scan, rule)?.0);
    }
    for rule in &mut all {
        for kind in ["UserRule_", "DefaultRule_"] {
            if let Some(own) = rule.name.strip_prefix(kind) {
                rule.name = own.to_owned();
            }
        }
    }
    Some(NetworkSecurityGroup::of_effective(name, all))
}

/// Adds what effective routes tell of the addresses around the build subnet.
pub(super) fn complete(scan: &mut Scan<'_>, context: &mut Context) {
    let routes = super::routes::effective(scan);
    if routes.is_empty() {
        return;
    }
    context.unknown_connections.clear();
    (context.peered, context.gateway) = (Vec::new(), Vec::new());
    let mut local = Vec::new();
    for route in routes {
        let RouteDestination::Prefix(prefix) = route.destination else { continue };
        match route.next_hop {
            NextHop::VirtualNetwork => local.push(prefix),
            NextHop::Peering => context.peered.push(prefix),
            NextHop::Gateway => context.gateway.push(prefix),
            _ => {}
        }
    }
    if context.virtual_network.is_empty() {
        context.virtual_network = local;
    }
}
