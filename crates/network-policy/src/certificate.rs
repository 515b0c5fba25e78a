//! Certificates: a partition of everything a contract describes, each part with the rules that decide it.

use std::net::IpAddr;

use crate::address::PortRange;
use crate::flow::{Application, Verdict};
use crate::proof::Decider;

/// A partition of a contract's packets into disjoint boxes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The boxes, in a deterministic order.
    pub boxes: Vec<CertifiedBox>,
}

/// A product of sets, one for each field, whose packets all meet the same rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedBox {
    /// IP protocol numbers, first to last.
    pub protocols: Vec<(u8, u8)>,
    /// Source addresses, first to last.
    pub source: Vec<(IpAddr, IpAddr)>,
    /// Source ports.
    pub source_ports: Vec<PortRange>,
    /// Destination addresses, first to last.
    pub destination: Vec<(IpAddr, IpAddr)>,
    /// Destination ports.
    pub destination_ports: Vec<PortRange>,
    /// What they ask a firewall for.
    pub requests: Vec<Requests>,
    /// What happens to these packets.
    pub verdict: Verdict,
    /// Whether Azure exempts them from all rules.
    pub exempt: bool,
    /// Who decides in each layer they meet, in order.
    pub deciders: Vec<Decider>,
}

/// What packets are known to ask for: a range of names, in the order in which they read backwards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requests {
    /// What they speak; `None` when that is not known.
    pub application: Option<Application>,
    /// `None` when they name nothing.
    pub names: Option<NameRange>,
}

/// Host names from `first` up to, but not with, `end`, compared backwards, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameRange {
    /// Read backwards; the empty text stands before all names.
    pub first: Vec<u8>,
    /// Read backwards; `None` stands behind all names.
    pub end: Option<Vec<u8>>,
}
