//! What several logs say together.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use document::Position;
use ipnet::IpNet;
use jiff::Timestamp;
use network_policy::{Direction, Endpoint, Protocol};

use crate::classify::{Class, Classifier, is_public};
use crate::error::LogError;
use crate::event::{Event, Peer};
use crate::record::{self, Read};
use crate::scan::Scanner;

/// The most different denials that are kept apart; a port scan has more.
pub const MAX_GROUPS: usize = 50_000;

/// Azure has a handful for each kind of resource.
const MAX_CATEGORIES: usize = 100;

/// What is asked of the logs.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Prefixes of the build subnet; empty for every flow of the logs.
    pub subnet: Vec<IpNet>,
    /// The first instant that counts.
    pub since: Option<Timestamp>,
    /// The first instant that counts no more.
    pub until: Option<Timestamp>,
    /// What the build contacts beyond what every build does.
    pub endpoints: Vec<Endpoint>,
}

/// Denials that differ in nothing but their time and source port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Seen from the build subnet.
    pub direction: Direction,
    /// The far end: where an outbound flow went, or where an inbound one came from.
    pub peer: Peer,
    /// Destination port; 0 where the protocol has none.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// What denied it, as the log names it.
    pub resource: String,
    /// The rule that denied it, or a phrase where none allowed it.
    pub rule: String,
    /// How often it is in the logs.
    pub count: u64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// Whether a build needs it.
    pub class: Class,
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of the logs.
    pub records: u64,
    /// Entries in them about any flow.
    pub entries: u64,
    /// Those of the subnet in the window.
    pub of_subnet: u64,
    /// Those of them that were denied.
    pub denied: u64,
}

/// What a reader of the answer should know about the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A log breaks off in the middle: it was still being written, or was copied in part.
    BreaksOff {
        /// The log.
        file: String,
        /// Where.
        position: Position,
    },
    /// Records of a category that holds no decision, or that is not read.
    PassedOver {
        /// The category.
        category: String,
        /// How many.
        records: u64,
    },
    /// There were more different denials than are kept apart.
    TooMany {
        /// Entries that are counted but not listed.
        entries: u64,
    },
}

/// What the logs say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What was denied: needed first, then unclassified, then noise; most frequent first.
    pub denied: Vec<Denied>,
    /// How much was read.
    pub counts: Counts,
    /// What to know about the logs.
    pub findings: Vec<Finding>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    inbound: bool,
    peer: Peer,
    port: u16,
    protocol: Protocol,
    resource: String,
    rule: String,
}

struct Seen {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

/// Takes logs in and gives one answer.
pub struct Analysis {
    query: Query,
    classifier: Classifier,
    groups: HashMap<Key, Seen>,
    counts: Counts,
    passed_over: BTreeMap<String, u64>,
    not_listed: u64,
    findings: Vec<Finding>,
}

/// One log on its way in.
pub struct LogFile<'a> {
    name: String,
    scanner: Scanner,
    analysis: &'a mut Analysis,
}

impl Analysis {
    /// Nothing read yet.
    pub fn new(query: Query) -> Self {
        let classifier = Classifier::new(query.endpoints.clone());
        Self {
            query,
            classifier,
            groups: HashMap::new(),
            counts: Counts::default(),
            passed_over: BTreeMap::new(),
            not_listed: 0,
            findings: Vec::new(),
        }
    }

    /// Begins a log called `name`.
    pub fn file(&mut self, name: impl Into<String>) -> LogFile<'_> {
        LogFile { name: name.into(), scanner: Scanner::new(), analysis: self }
    }

    /// The answer.
    pub fn summary(self) -> Summary {
        let mut findings = self.findings;
        findings.extend(
            self.passed_over.into_iter().map(|(category, records)| Finding::PassedOver { category, records }),
        );
        if self.not_listed > 0 {
            findings.push(Finding::TooMany { entries: self.not_listed });
        }
        let classifier = &self.classifier;
        let mut denied: Vec<_> =
            self.groups.into_iter().map(|(key, seen)| key.denied(&seen, classifier)).collect();
        denied.sort_by(|a, b| {
            let rank = |denied: &Denied| match denied.class {
                Class::Needed(_) => 0,
                Class::Unclassified => 1,
                Class::Noise(_) => 2,
            };
            let key = |denied: &Denied| (rank(denied), std::cmp::Reverse(denied.count));
            key(a).cmp(&key(b)).then_with(|| a.tie().cmp(&b.tie()))
        });
        Summary { denied, counts: self.counts, findings }
    }

    fn pass_over(&mut self, category: String) {
        let known = self.passed_over.contains_key(&category) || self.passed_over.len() < MAX_CATEGORIES;
        let category = if known { category } else { "other categories".to_owned() };
        *self.passed_over.entry(category).or_default() += 1;
    }

    fn event(&mut self, event: Event) {
        self.counts.entries += 1;
        let Query { since, until, .. } = self.query;
        let in_window =
            since.is_none_or(|since| event.time >= since) && until.is_none_or(|until| event.time < until);
        let Some(direction) = self.direction(&event).filter(|_| in_window) else { return };
        self.counts.of_subnet += 1;
        if !event.denied {
            return;
        }
        self.counts.denied += 1;
        let inbound = direction == Direction::Inbound;
        let peer = if inbound { Peer::Address(event.source) } else { event.destination };
        let Event { time, protocol, port, resource, rule, .. } = event;
        let key = Key { inbound, peer, port, protocol, resource, rule };
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            self.not_listed += 1;
            return;
        }
        let seen = self.groups.entry(key).or_insert(Seen { count: 0, first: time, last: time });
        seen.count += 1;
        seen.first = seen.first.min(time);
        seen.last = seen.last.max(time);
    }

    /// The direction seen from the subnet; none for a flow of another subnet. Between two machines of the subnet
    /// each interface logs its own direction.
    fn direction(&self, event: &Event) -> Option<Direction> {
        let whole = self.query.subnet.is_empty();
        let holds =
            |address: IpAddr| whole || self.query.subnet.iter().any(|prefix| prefix.contains(&address));
        let from = holds(event.source);
        let to = matches!(event.destination, Peer::Address(address) if holds(address));
        match event.direction {
            // A firewall has no side of its own.
            None if whole && is_public(event.source) => Some(Direction::Inbound),
            Some(Direction::Outbound) | None if from => Some(Direction::Outbound),
            Some(Direction::Outbound) => None,
            Some(Direction::Inbound) | None => to.then_some(Direction::Inbound),
        }
    }
}

impl Key {
    fn denied(self, seen: &Seen, classifier: &Classifier) -> Denied {
        let direction = if self.inbound { Direction::Inbound } else { Direction::Outbound };
        let class = classifier.class(direction, self.protocol, &self.peer, self.port);
        Denied {
            direction,
            peer: self.peer,
            port: self.port,
            protocol: self.protocol,
            resource: self.resource,
            rule: self.rule,
            count: seen.count,
            first: seen.first,
            last: seen.last,
            class,
        }
    }
}

impl Denied {
    /// What orders denials that are as frequent.
    fn tie(&self) -> (bool, &Peer, u16, Protocol, &str, &str) {
        let inbound = self.direction == Direction::Inbound;
        (inbound, &self.peer, self.port, self.protocol, &self.resource, &self.rule)
    }
}

impl LogFile<'_> {
    /// Takes a piece of the log, of any size.
    ///
    /// # Errors
    /// When the log is no flow log, or a record says something else than documented.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), LogError> {
        let analysis = &mut *self.analysis;
        self.scanner.feed(piece, &mut |found| {
            analysis.counts.records += 1;
            match record::read(&found, &mut |event| analysis.event(event))? {
                Read::Known => {}
                Read::PassedOver(category) => analysis.pass_over(category),
            }
            Ok(())
        })
    }

    /// Ends the log. One that breaks off is a finding.
    ///
    /// # Errors
    /// When what it breaks off in is wrong beside its missing end.
    pub fn finish(self) -> Result<(), LogError> {
        if let Some(position) = self.scanner.finish()? {
            self.analysis.findings.push(Finding::BreaksOff { file: self.name, position });
        }
        Ok(())
    }
}
