//! Parts of answers as JSON, with the contract's field names.

use network_policy::{Application, Destination, Protocol, Requests};
use serde::Serialize;

use super::path::word;

/// Who decided.
#[derive(Serialize)]
pub struct Decider {
    layer: &'static str,
    resource: String,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
}

impl Decider {
    /// The same, in the contract's words.
    pub fn of(decider: &network_policy::Decider) -> Self {
        Self {
            layer: super::layer_id(decider.layer),
            resource: decider.resource.clone(),
            rule: decider.rule.clone(),
            priority: decider.priority,
        }
    }
}

/// The flow that was asked about.
#[derive(Serialize)]
pub struct Flow {
    protocol: String,
    /// Address and port.
    pub from: String,
    /// Address or name, and port.
    pub to: String,
    direction: &'static str,
    /// The name that the address is asked for by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Flow {
    /// The same, in the contract's words.
    pub fn of(flow: &network_policy::Flow) -> Self {
        let to = match &flow.destination {
            Destination::Address(address) | Destination::Named(address, _) => address.to_string(),
            Destination::Name(name) => name.clone(),
        };
        let name = match &flow.destination {
            Destination::Named(_, name) => Some(name.clone()),
            Destination::Address(_) | Destination::Name(_) => None,
        };
        Self {
            name,
            protocol: super::protocol(flow.protocol),
            from: end(&flow.source.to_string(), flow.source_port, flow.protocol),
            to: end(&to, flow.port, flow.protocol),
            direction: super::direction(flow.direction),
        }
    }
}

/// The packet that shows it.
#[derive(Serialize)]
pub struct Packet {
    #[serde(flatten)]
    flow: Flow,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

impl Packet {
    /// The same, in the contract's words.
    pub fn of(packet: &network_policy::Packet) -> Self {
        let flow = Flow {
            protocol: super::protocol(packet.protocol),
            from: end(&packet.from.to_string(), packet.from_port, packet.protocol),
            to: end(&packet.to.to_string(), packet.to_port, packet.protocol),
            direction: super::direction(packet.direction),
            name: packet.name.clone(),
        };
        Self { flow, owner: packet.owner.clone() }
    }
}

/// Address and port, as far as the protocol has one.
fn end(host: &str, port: u16, protocol: Protocol) -> String {
    match protocol {
        Protocol::Icmp | Protocol::Other(_) => host.to_owned(),
        Protocol::Tcp | Protocol::Udp if host.contains(':') => format!("[{host}]:{port}"),
        Protocol::Tcp | Protocol::Udp => format!("{host}:{port}"),
    }
}

/// The rule that nearly decided otherwise.
#[derive(Serialize)]
pub struct NearMiss {
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    fields: Vec<Field>,
}

#[derive(Serialize)]
struct Field {
    #[serde(rename = "field")]
    name: &'static str,
    /// `null` when it is not known.
    matches: Option<bool>,
    rule: String,
    packet: String,
}

impl NearMiss {
    /// The same, in the contract's words.
    pub fn of(near: &network_policy::NearMiss) -> Self {
        let field = |field: &network_policy::FieldMatch| Field {
            name: field.field,
            matches: field.matches,
            rule: field.rule.clone(),
            packet: field.packet.clone(),
        };
        Self {
            rule: near.rule.clone(),
            priority: near.priority,
            fields: near.fields.iter().map(field).collect(),
        }
    }
}

/// One box of a certificate: ranges are `[first, last]`.
#[derive(Serialize)]
pub struct CertifiedBox {
    decision: &'static str,
    protocols: Vec<(u8, u8)>,
    from: Vec<(String, String)>,
    from_ports: Vec<(u16, u16)>,
    to: Vec<(String, String)>,
    to_ports: Vec<(u16, u16)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requests: Vec<Request>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    exempt: bool,
    decided_by: Vec<Decider>,
}

/// What packets ask a firewall for.
#[derive(Serialize)]
struct Request {
    application: Option<&'static str>,
    /// Names from the first up to, but not with, the end, in the order in which they read backwards; `null` where no
    /// name is asked for.
    names: Option<(String, Option<String>)>,
}

impl Request {
    fn of(request: &Requests) -> Self {
        let backwards = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let application = request.application.map(|application| match application {
            Application::Http => "http",
            Application::Https => "https",
            Application::Mssql => "mssql",
        });
        let names = request.names.as_ref();
        let names = names.map(|range| (backwards(&range.first), range.end.as_deref().map(backwards)));
        Self { application, names }
    }

    fn says_something(&self) -> bool {
        self.application.is_some() || self.names.is_some()
    }

    fn describe(&self) -> String {
        let application = self.application.unwrap_or("any application");
        match &self.names {
            None => format!("{application} for no name"),
            Some((first, None)) if first.is_empty() => format!("{application} for any name"),
            Some((first, Some(end))) => {
                format!("{application} for names from '{first}' to before '{end}', read backwards")
            }
            Some((first, None)) => format!("{application} for names from '{first}', read backwards"),
        }
    }
}

impl CertifiedBox {
    /// The same, in the contract's words.
    pub fn of(part: &network_policy::CertifiedBox) -> Self {
        let addresses = |list: &[(std::net::IpAddr, std::net::IpAddr)]| {
            list.iter().map(|(first, last)| (first.to_string(), last.to_string())).collect()
        };
        let ports =
            |list: &[network_policy::PortRange]| list.iter().map(|range| (range.first, range.last)).collect();
        Self {
            decision: word(part.verdict),
            protocols: part.protocols.clone(),
            from: addresses(&part.source),
            from_ports: ports(&part.source_ports),
            to: addresses(&part.destination),
            to_ports: ports(&part.destination_ports),
            requests: part.requests.iter().map(Request::of).collect(),
            exempt: part.exempt,
            decided_by: part.deciders.iter().map(Decider::of).collect(),
        }
    }
}

impl CertifiedBox {
    /// The box in one line: what is in it, and who decides.
    pub fn describe(&self) -> String {
        let deciders: Vec<_> =
            self.decided_by.iter().map(|by| format!("{} '{}'", by.layer, by.rule)).collect();
        let by = if deciders.is_empty() { "nothing in the way".to_owned() } else { deciders.join(", ") };
        format!("{}: {}, by {by}", self.decision, self.extent())
    }

    /// What is in the box.
    pub fn extent(&self) -> String {
        let from = format!("{}{}", hosts(&self.from), ports(&self.from_ports));
        let to = format!("{}{}", hosts(&self.to), ports(&self.to_ports));
        let protocols: Vec<_> = self.protocols.iter().map(|range| span(&range.0, &range.1)).collect();
        let requests: Vec<_> = self.requests.iter().filter(|request| request.says_something()).collect();
        let requests: Vec<_> = requests.iter().take(SHOWN).map(|request| request.describe()).collect();
        let asking = if requests.is_empty() { String::new() } else { format!(", {}", requests.join("; ")) };
        format!("protocol {}, {from} -> {to}{asking}", protocols.join(" "))
    }
}

/// Most ranges of addresses that are listed in a line; JSON has all.
const SHOWN: usize = 3;

fn hosts(ranges: &[(String, String)]) -> String {
    let mut shown: Vec<_> = ranges.iter().take(SHOWN).map(|(first, last)| span(first, last)).collect();
    if ranges.len() > SHOWN {
        shown.push(format!("and {} more ranges", ranges.len() - SHOWN));
    }
    shown.join(" ")
}

fn ports(ranges: &[(u16, u16)]) -> String {
    if ranges == [(0, u16::MAX)] || ranges == [(0, 0)] {
        return String::new();
    }
    let shown: Vec<_> = ranges.iter().map(|(first, last)| span(first, last)).collect();
    format!(" ports {}", shown.join(" "))
}

fn span<T: PartialEq + std::fmt::Display>(first: &T, last: &T) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
