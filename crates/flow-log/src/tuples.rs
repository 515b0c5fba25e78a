//! Flow tuples: the comma-separated lines of virtual network and network security group flow logs.
//!
//! Sources: "Virtual network flow logs", log format; "Flow logging for network security groups", log format.
//! Documentation shows epochs in seconds and in milliseconds; eleven digits or fewer are taken for seconds.

use std::net::IpAddr;

use document::{Kind, Value};
use jiff::Timestamp;
use network_policy::{Direction, Protocol};

use crate::event::{Event, Peer};
use crate::record::{Step, items, last_segment, member, refuse, string, text, wrong};

const VERSION: i64 = 4;

/// `flowRecords.flows[].flowGroups[].flowTuples[]`.
pub(crate) fn virtual_network(record: &Value, each: &mut dyn FnMut(Event)) -> Step<()> {
    let version = member(record, "flowLogVersion")?;
    if !matches!(&version.kind, Kind::Number(number) if number.as_i64() == Some(VERSION)) {
        return Err(wrong(version, "another version of the log", "4"));
    }
    for flow in items(member(record, "flowRecords")?, "flows")? {
        let acl = flow.get("aclID").and_then(Value::as_str).unwrap_or_default();
        for group in items(flow, "flowGroups")? {
            let rule = text(group, "rule")?;
            for tuple in items(group, "flowTuples")? {
                each(network_tuple(tuple, last_segment(acl), rule)?);
            }
        }
    }
    Ok(())
}

/// `properties.flows[].flows[].flowTuples[]`, versions 1 and 2.
pub(crate) fn security_group(record: &Value, each: &mut dyn FnMut(Event)) -> Step<()> {
    let properties = member(record, "properties")?;
    let version = member(properties, "Version")?;
    let states = match &version.kind {
        Kind::Number(number) if number.as_i64() == Some(1) => false,
        Kind::Number(number) if number.as_i64() == Some(2) => true,
        _ => return Err(wrong(version, "another version of the log", "1 or 2")),
    };
    let group = record.get("resourceId").and_then(Value::as_str).unwrap_or_default();
    for flow in items(properties, "flows")? {
        let rule = text(flow, "rule")?;
        for interface in items(flow, "flows")? {
            for tuple in items(interface, "flowTuples")? {
                each(group_tuple(tuple, last_segment(group), rule, states)?);
            }
        }
    }
    Ok(())
}

/// `time,source,destination,source port,destination port,protocol,I|O,B|C|E|D,encryption,statistics...`
fn network_tuple(value: &Value, resource: &str, rule: &str) -> Step<Event> {
    let parts: Vec<_> = string(value)?.split(',').collect();
    let [time, source, destination, _, port, protocol, direction, state, encryption, ..] = parts[..] else {
        return Err(refuse(
            value,
            string(value)?,
            "at least 9 fields: time, addresses, ports, protocol, direction, state, encryption",
        ));
    };
    let protocol = match protocol.parse() {
        Ok(1_u8) => Protocol::Icmp,
        Ok(6) => Protocol::Tcp,
        Ok(17) => Protocol::Udp,
        Ok(number) => Protocol::Other(number),
        Err(_) => return Err(refuse(value, protocol, "a protocol number from 0 to 255")),
    };
    let denied = match state {
        "D" => true,
        "B" | "C" | "E" => false,
        _ => return Err(refuse(value, state, "a flow state: B, C, E or D")),
    };
    // "For traffic that's denied because of encryption, this value is `unspecified`."
    let rule = match rule {
        "unspecified" if denied => format!("virtual network encryption ({encryption})"),
        _ => rule_name(rule).to_owned(),
    };
    let fields = Fields { time, source, destination, port, direction };
    event(value, &fields, protocol, denied, (resource, rule))
}

/// `time,source,destination,source port,destination port,T|U,I|O,A|D`, and in version 2 `,B|C|E,statistics...`
fn group_tuple(value: &Value, resource: &str, rule: &str, states: bool) -> Step<Event> {
    let parts: Vec<_> = string(value)?.split(',').collect();
    let [time, source, destination, _, port, protocol, direction, decision, ref rest @ ..] = parts[..] else {
        return Err(refuse(
            value,
            string(value)?,
            "at least 8 fields: time, addresses, ports, protocol, direction, decision",
        ));
    };
    if states && !matches!(rest.first(), Some(&("B" | "C" | "E"))) {
        return Err(refuse(value, rest.first().unwrap_or(&""), "a flow state in field 9: B, C or E"));
    }
    let protocol = match protocol {
        "T" => Protocol::Tcp,
        "U" => Protocol::Udp,
        _ => return Err(refuse(value, protocol, "a protocol: T or U")),
    };
    let denied = match decision {
        "A" => false,
        "D" => true,
        _ => return Err(refuse(value, decision, "a decision: A or D")),
    };
    let fields = Fields { time, source, destination, port, direction };
    event(value, &fields, protocol, denied, (resource, rule_name(rule).to_owned()))
}

/// What both kinds of tuples write alike.
struct Fields<'a> {
    time: &'a str,
    source: &'a str,
    destination: &'a str,
    port: &'a str,
    direction: &'a str,
}

fn event(
    value: &Value,
    fields: &Fields<'_>,
    protocol: Protocol,
    denied: bool,
    (resource, rule): (&str, String),
) -> Step<Event> {
    Ok(Event {
        time: epoch(value, fields.time)?,
        direction: Some(way(value, fields.direction)?),
        protocol,
        source: address(value, fields.source)?,
        destination: Peer::Address(address(value, fields.destination)?),
        port: port_number(value, fields.port)?,
        denied,
        resource: resource.to_owned(),
        rule,
    })
}

/// Rules are logged with their kind before their name.
fn rule_name(logged: &str) -> &str {
    logged.strip_prefix("UserRule_").or_else(|| logged.strip_prefix("DefaultRule_")).unwrap_or(logged)
}

fn epoch(value: &Value, text: &str) -> Step<Timestamp> {
    let time = text.parse::<i64>().ok().and_then(|number| {
        if text.len() <= 11 { Timestamp::from_second(number) } else { Timestamp::from_millisecond(number) }
            .ok()
    });
    time.ok_or_else(|| refuse(value, text, "a time as seconds or milliseconds since 1970"))
}

fn way(value: &Value, text: &str) -> Step<Direction> {
    match text {
        "I" => Ok(Direction::Inbound),
        "O" => Ok(Direction::Outbound),
        _ => Err(refuse(value, text, "a direction: I or O")),
    }
}

fn address(value: &Value, text: &str) -> Step<IpAddr> {
    text.parse().map_err(|_| refuse(value, text, "an IP address"))
}

/// Protocols without ports leave the field empty or 0.
fn port_number(value: &Value, text: &str) -> Step<u16> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| refuse(value, text, "a port from 0 to 65535"))
}
