//! Certificates: a partition of everything a contract describes, each part with the rules that decide it.

use std::net::IpAddr;

use crate::address::PortRange;
use crate::flow::Verdict;
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
    /// What happens to these packets.
    pub verdict: Verdict,
    /// Who decides in each layer they meet, in order.
    pub deciders: Vec<Decider>,
}
