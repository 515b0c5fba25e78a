//! What helps when a build fails all the same.

use arm::{Resource, field};
use document::{Kind, Value};

use super::{BASE, BROUGHT, FLOW_LOGS};
use crate::finding::Asked;
use crate::{Check, Outcome, Place, Repair, Requirement, Severity, Subject};

pub(super) const ALL: &[Requirement] = &[Requirement {
    id: "diagnostics.flow-logs",
    title: "flow logs show what the build subnet's rules refuse",
    topologies: BROUGHT,
    severity: Severity::Advised,
    source: FLOW_LOGS,
    check: Check::Ask(flow_logs),
    ..BASE
}];

fn flow_logs(subject: &Subject<'_>) -> Asked {
    let inventory = subject.inventory()?;
    let subnet = subject.subnet(Place::Build)?;
    let network = subnet.id.parent();
    let is_about = |log: &&Resource| {
        let target = field(&log.value, "targetResourceId").and_then(Value::as_str).unwrap_or_default();
        let own = |id: &str| id.eq_ignore_ascii_case(target);
        own(subnet.id.as_str()) || network.as_ref().is_some_and(|network| own(network.as_str()))
    };
    let all = || inventory.of_type("Microsoft.Network/networkWatchers/flowLogs");
    let own = || all().filter(is_about);
    let enabled = |log: &Resource| field(&log.value, "enabled").map(|told| told.kind.clone());
    if let Some(log) = own().find(|log| enabled(log) == Some(Kind::Bool(true))) {
        return Ok(Outcome::pass(log.label()));
    }
    // The ARM reference makes `enabled` optional, and no page tells what its absence means.
    if let Some(log) = own().find(|log| enabled(log) != Some(Kind::Bool(false))) {
        let detail = format!("{} does not tell whether it is on (`enabled`)", log.label());
        return Ok(Outcome::undecided(detail).at(log.value.span));
    }
    let of_group = all().find(|log| {
        let target = field(&log.value, "targetResourceId").and_then(Value::as_str).unwrap_or_default();
        target.to_ascii_lowercase().contains("/networksecuritygroups/")
    });
    let repair = Repair::in_words("make a virtual network flow log").by(format!(
            "az network watcher flow-log create --name fl-imagebuilder --vnet {} --location LOCATION --storage-account ACCOUNT",
            network.as_ref().map_or_else(String::new, ToString::to_string)
        ));
    Ok(match of_group {
            Some(log) => Outcome::fail(
                "only a network security group has flow logs: no new ones can be made since June 2025, and they end \
                 in September 2027",
            )
            .at(log.value.span)
            .repaired(repair),
            None => Outcome::fail("no document describes a flow log of the virtual network or the subnet").repaired(repair),
        })
}
