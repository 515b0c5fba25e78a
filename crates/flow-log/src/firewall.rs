//! Azure Firewall's structured logs.
//!
//! Source: the tables `AZFWNetworkRule`, `AZFWApplicationRule`, `AZFWNatRule`, `AZFWThreatIntel` and
//! `AZFWIdpsSignature` of the Azure Monitor reference. Exported to storage, a record holds the common `time`,
//! `category` and `resourceId`, and the table's columns as `properties`.

use std::net::IpAddr;

use document::{Kind, Value};
use network_policy::Protocol;

use crate::event::{Event, Peer};
use crate::record::{Step, last_segment, member, refuse, string, text, wrong};

/// Categories that hold decisions.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Category {
    Network,
    Application,
    Nat,
    ThreatIntelligence,
    IntrusionDetection,
}

/// The category of this name, when it holds decisions.
pub(crate) fn category(name: &str) -> Option<Category> {
    Some(match name {
        "AZFWNetworkRule" => Category::Network,
        "AZFWApplicationRule" => Category::Application,
        "AZFWNatRule" => Category::Nat,
        "AZFWThreatIntel" => Category::ThreatIntelligence,
        "AZFWIdpsSignature" => Category::IntrusionDetection,
        _ => return None,
    })
}

pub(crate) fn event(record: &Value, category: Category) -> Step<Event> {
    let properties = member(record, "properties")?;
    let time = member(record, "time")?;
    let time = string(time)?.parse().map_err(|_| {
        refuse(time, string(time).unwrap_or_default(), "a time such as 2025-01-31T12:00:00.0000000Z")
    })?;
    let said = |name: &str| properties.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let firewall = record.get("resourceId").and_then(Value::as_str).map_or("", last_segment);
    Ok(Event {
        time,
        direction: None,
        protocol: protocol(properties)?,
        source: source(properties)?,
        destination: destination(properties)?,
        port: port(properties)?,
        denied: denied(properties, category)?,
        resource: said("Policy").map_or(firewall, last_segment).to_owned(),
        rule: rule(category, &said),
    })
}

/// Group, collection and rule, or why there is none.
fn rule<'a>(category: Category, said: &dyn Fn(&str) -> Option<&'a str>) -> String {
    match category {
        Category::ThreatIntelligence => {
            format!("threat intelligence: {}", said("ThreatDescription").unwrap_or("no description"))
        }
        Category::IntrusionDetection => format!(
            "intrusion detection signature {}: {}",
            said("SignatureId").unwrap_or("without a number"),
            said("Description").unwrap_or("no description")
        ),
        Category::Network | Category::Application | Category::Nat => {
            let named: Vec<_> =
                ["RuleCollectionGroup", "RuleCollection", "Rule"].into_iter().filter_map(said).collect();
            match (named.is_empty(), said("ActionReason")) {
                (false, _) => named.join("/"),
                (true, Some(reason)) => format!("no rule allows it ({reason})"),
                (true, None) => "no rule allows it".to_owned(),
            }
        }
    }
}

fn denied(properties: &Value, category: Category) -> Step<bool> {
    // A NAT rule that matched has translated the flow: the table has no action.
    if category == Category::Nat && properties.get("Action").is_none() {
        return Ok(false);
    }
    let action = text(properties, "Action")?;
    match action.to_ascii_lowercase().as_str() {
        "allow" | "alert" => Ok(false),
        "deny" | "drop" | "alert and deny" => Ok(true),
        _ => Err(refuse(member(properties, "Action")?, action, "Allow, Deny, Alert or Drop")),
    }
}

fn protocol(properties: &Value) -> Step<Protocol> {
    let name = text(properties, "Protocol")?;
    let number = |text: &str| text.parse().ok().map(Protocol::Other);
    match name.to_ascii_lowercase().as_str() {
        "tcp" | "http" | "https" | "mssql" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        icmp if icmp.starts_with("icmp") => Ok(Protocol::Icmp),
        other => number(other).ok_or_else(|| {
            let value = properties.get("Protocol").unwrap_or(properties);
            refuse(value, name, "TCP, UDP, ICMP, HTTP, HTTPS, MSSQL or a protocol number")
        }),
    }
}

fn source(properties: &Value) -> Step<IpAddr> {
    let value = member(properties, "SourceIp")?;
    let source = string(value)?;
    source.parse().map_err(|_| refuse(value, source, "an IP address"))
}

/// The name where there is one: behind it the address is whatever the firewall resolved.
fn destination(properties: &Value) -> Step<Peer> {
    if let Some(name) = properties.get("Fqdn").and_then(Value::as_str).filter(|name| !name.is_empty()) {
        // Some entries carry the port behind the name.
        let name = name.split(':').next().unwrap_or(name).trim_end_matches('.');
        return Ok(name.parse().map_or_else(|_| Peer::Name(name.to_ascii_lowercase()), Peer::Address));
    }
    let value = member(properties, "DestinationIp")?;
    let address = string(value)?;
    address
        .parse()
        .map(Peer::Address)
        .map_err(|_| refuse(value, address, "an IP address, or a name in `Fqdn`"))
}

/// A number, which some exports write as a string; absent where the protocol has none.
fn port(properties: &Value) -> Step<u16> {
    let Some(value) = properties.get("DestinationPort") else { return Ok(0) };
    let text = match &value.kind {
        Kind::Null => return Ok(0),
        Kind::Number(number) => number.as_str(),
        Kind::String(text) if text.is_empty() => return Ok(0),
        Kind::String(text) => text,
        _ => return Err(wrong(value, value.describe(), "a port")),
    };
    text.parse().map_err(|_| refuse(value, text, "a port from 0 to 65535"))
}
