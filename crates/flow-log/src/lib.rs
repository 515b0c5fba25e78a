//! Flow logs, read into one answer: what was denied to a build subnet, by which rule, and whether a build needs it.
//!
//! Read are virtual network flow logs (version 4), network security group flow logs (versions 1 and 2), and Azure
//! Firewall's structured logs as a diagnostic setting exports them to storage. The crate is pure: the caller brings
//! the text in pieces of any size, and what is kept of it is bounded by the number of different denials, not by the
//! length of the log. No text makes it panic; what is wrong is named with its line and column.
//!
//! Sources: "Virtual network flow logs" (log format, flow encryption), "Flow logging for network security groups"
//! (log format), and the `AZFW*` tables of the Azure Monitor reference, whose columns the exported properties carry.

mod analysis;
mod classify;
mod error;
mod event;
mod firewall;
mod record;
mod scan;
#[cfg(test)]
mod tests;
mod tuples;

pub use analysis::{Analysis, Counts, Denied, Finding, LogFile, MAX_GROUPS, Query, Summary};
pub use classify::{ADDRESSES, AddressRow, Class, NEEDED, NOISE, NeededBy, Noise, Place};
pub use error::LogError;
pub use event::{Event, Peer};
pub use scan::MAX_RECORD_BYTES;
