//! What was let out and what was refused: the contents of `egress.json`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{Observer, limits};

/// Everything that a gateway saw, as `egress.json` holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressRecord {
    /// One row per step, name, address, port, protocol, decision, layer and rule, in this order.
    pub connections: Vec<Connection>,
}

impl EgressRecord {
    /// The rows that a step was refused (denied, or undecided and not let through).
    pub fn refused(&self, step: u32) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(move |row| row.step == step && row.refused)
    }
}

/// Connections of one step that have everything but their size in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The build step, from 1; 0 is the engine itself.
    pub step: u32,
    /// Name that the connection was meant for, when it is known.
    pub name: Option<String>,
    /// Address that was dialled or, when there is no name, that the client asked for.
    pub address: Option<IpAddr>,
    /// Port that the client asked for; 0 where the protocol has none.
    pub port: u16,
    /// `tcp`, `dns` (a name that was asked for), `udp`, `icmp`, `icmpv6` or `ip-<number>`.
    pub protocol: String,
    /// What was decided.
    pub decision: Outcome,
    /// Who decided it.
    pub layer: Layer,
    /// Name of the deciding rule, or a phrase that stands for it.
    pub rule: String,
    /// Bytes of content from the build to the outside.
    pub bytes_out: u64,
    /// Bytes of content from the outside to the build.
    pub bytes_in: u64,
    /// How many connections, questions or packets the row stands for.
    pub count: u64,
    /// Resource (NSG, firewall policy) that holds the rule; empty for the gateway's own rules.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// What else there is to say about the last of them, such as why an allowed connection failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether it was kept from leaving. An undecided flow is refused unless the build was told otherwise.
    #[serde(default)]
    pub refused: bool,
}

/// What was decided about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It may pass.
    Allowed,
    /// It may not.
    Denied,
    /// The policy does not decide it.
    Undecided,
}

/// Who decided about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The NSG of the network interface.
    NicNsg,
    /// The NSG of the subnet.
    SubnetNsg,
    /// Security admin rules.
    Admin,
    /// The routes of the subnet.
    Route,
    /// A firewall's network rules.
    FirewallNetwork,
    /// A firewall's application rules.
    FirewallApplication,
    /// The platform itself.
    Platform,
    /// The gateway: a local build has rules of its own, whatever the policy says.
    Gateway,
}

impl From<network_policy::Layer> for Layer {
    fn from(layer: network_policy::Layer) -> Self {
        match layer {
            network_policy::Layer::Admin => Self::Admin,
            network_policy::Layer::Route => Self::Route,
            network_policy::Layer::NicNsg => Self::NicNsg,
            network_policy::Layer::SubnetNsg => Self::SubnetNsg,
            network_policy::Layer::FirewallNetwork => Self::FirewallNetwork,
            network_policy::Layer::FirewallApplication => Self::FirewallApplication,
            network_policy::Layer::Platform => Self::Platform,
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    step: u32,
    name: Option<String>,
    address: Option<IpAddr>,
    port: u16,
    protocol: String,
    decision: Outcome,
    layer: Layer,
    rule: String,
}

impl Key {
    fn of(row: &Connection) -> Self {
        Self {
            step: row.step,
            name: row.name.clone(),
            address: row.address,
            port: row.port,
            protocol: row.protocol.clone(),
            decision: row.decision,
            layer: row.layer,
            rule: row.rule.clone(),
        }
    }
}

/// Collects rows and tells the observer about them. Bounded by [`limits::ROWS`].
#[derive(Default)]
pub(crate) struct Recorder {
    rows: Mutex<BTreeMap<Key, Connection>>,
    observer: Option<Observer>,
}

impl Recorder {
    pub(crate) fn new(observer: Option<Observer>) -> Self {
        Self { rows: Mutex::default(), observer }
    }

    /// Adds one connection (or several alike) to its row.
    pub(crate) fn add(&self, connection: Connection) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key::of(&connection);
        let known = rows.contains_key(&key);
        let tell = (!connection.refused || !known).then(|| connection.clone());
        if known || rows.len() < limits::ROWS {
            merge(&mut rows, key, connection);
        } else {
            let connection = beyond(&connection);
            merge(&mut rows, Key::of(&connection), connection);
        }
        drop(rows);
        if let (Some(observer), Some(connection)) = (&self.observer, tell) {
            observer(&connection);
        }
    }

    pub(crate) fn record(&self) -> EgressRecord {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        EgressRecord { connections: rows.values().cloned().collect() }
    }
}

fn merge(rows: &mut BTreeMap<Key, Connection>, key: Key, connection: Connection) {
    match rows.entry(key) {
        std::collections::btree_map::Entry::Vacant(entry) => {
            entry.insert(connection);
        }
        std::collections::btree_map::Entry::Occupied(mut entry) => {
            let row = entry.get_mut();
            row.bytes_out = row.bytes_out.saturating_add(connection.bytes_out);
            row.bytes_in = row.bytes_in.saturating_add(connection.bytes_in);
            row.count = row.count.saturating_add(connection.count);
            row.note = connection.note.or(row.note.take());
        }
    }
}

/// The row that stands for everything beyond the bound.
fn beyond(connection: &Connection) -> Connection {
    Connection {
        name: None,
        address: None,
        port: 0,
        protocol: "other".to_owned(),
        layer: Layer::Gateway,
        rule: format!("the record holds no more than {} different rows", limits::ROWS),
        resource: String::new(),
        note: None,
        ..*connection
    }
}

/// A connection that is recorded when it ends, however it ends.
pub(crate) struct Open {
    pub(crate) connection: Connection,
    pub(crate) out: AtomicU64,
    pub(crate) into: AtomicU64,
    recorder: Arc<Recorder>,
}

impl Open {
    pub(crate) fn new(recorder: &Arc<Recorder>, connection: Connection) -> Self {
        Self { connection, out: AtomicU64::new(0), into: AtomicU64::new(0), recorder: Arc::clone(recorder) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut connection = self.connection.clone();
        connection.bytes_out = self.out.load(Ordering::Relaxed);
        connection.bytes_in = self.into.load(Ordering::Relaxed);
        self.recorder.add(connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, decision: Outcome) -> Connection {
        Connection {
            step: 4,
            name: Some(name.to_owned()),
            address: None,
            port: 443,
            protocol: "tcp".to_owned(),
            decision,
            layer: Layer::FirewallApplication,
            rule: "no rule allows it".to_owned(),
            bytes_out: 10,
            bytes_in: 20,
            count: 1,
            resource: String::new(),
            note: None,
            refused: decision != Outcome::Allowed,
        }
    }

    #[test]
    fn rows_add_up_and_have_the_fields_of_the_contract() {
        let recorder = Recorder::default();
        recorder.add(row("a.example.com", Outcome::Allowed));
        recorder.add(Connection { note: Some("cut".into()), ..row("a.example.com", Outcome::Allowed) });
        recorder.add(row("a.example.com", Outcome::Denied));
        let json = serde_json::to_string(&recorder.record()).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"connections":[{"step":4,"name":"a.example.com","address":null,"port":443,"protocol":"tcp","#,
                r#""decision":"allowed","layer":"firewall-application","rule":"no rule allows it","bytes_out":20,"#,
                r#""bytes_in":40,"count":2,"note":"cut","refused":false},"#,
                r#"{"step":4,"name":"a.example.com","address":null,"port":443,"protocol":"tcp","#,
                r#""decision":"denied","layer":"firewall-application","rule":"no rule allows it","bytes_out":10,"#,
                r#""bytes_in":20,"count":1,"refused":true}]}"#
            )
        );
        assert_eq!(serde_json::from_str::<EgressRecord>(&json).unwrap(), recorder.record());
        assert_eq!(recorder.record().refused(4).count(), 1);
        assert_eq!(recorder.record().refused(3).count(), 0);
    }

    #[test]
    fn the_number_of_rows_is_bounded_and_nothing_is_forgotten() {
        let recorder = Recorder::default();
        for index in 0..limits::ROWS + 5 {
            recorder.add(row(&format!("n{index}.example.com"), Outcome::Denied));
        }
        let record = recorder.record();
        assert_eq!(record.connections.len(), limits::ROWS + 1);
        assert_eq!(record.connections.iter().map(|row| row.count).sum::<u64>(), limits::ROWS as u64 + 5);
        let other = record.connections.iter().find(|row| row.name.is_none()).unwrap();
        assert_eq!((other.count, other.layer), (5, Layer::Gateway));
    }

    #[test]
    fn the_observer_hears_of_every_allowed_connection_and_once_of_each_refusal() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        let recorder = Recorder::new(Some(Arc::new(move |row: &Connection| {
            sink.lock().unwrap().push((row.decision, row.count));
        })));
        for decision in [Outcome::Allowed, Outcome::Denied, Outcome::Denied, Outcome::Allowed] {
            recorder.add(row("a.example.com", decision));
        }
        assert_eq!(
            *heard.lock().unwrap(),
            [(Outcome::Allowed, 1), (Outcome::Denied, 1), (Outcome::Allowed, 1)]
        );
    }
}
