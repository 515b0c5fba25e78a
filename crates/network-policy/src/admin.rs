//! Security admin rules of Azure Virtual Network Manager, which are asked before any network security group.
//!
//! Source: "Security admin rules in Azure Virtual Network Manager": *deny* and *always allow* end the evaluation,
//! *allow* hands the flow on to the network security groups.

use crate::address::{Address, PortRange, RuleProtocol};
use crate::flow::Direction;

/// One security admin rule. Every list holds at least one entry; several are a union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminRule {
    /// Name.
    pub name: String,
    /// Name or id of the rule collection that holds it.
    pub resource: String,
    /// 1 to 4096; lower is asked first.
    pub priority: u16,
    /// Which flows the rule looks at.
    pub direction: Direction,
    /// What it does with those that match.
    pub action: AdminAction,
    /// Protocol.
    pub protocol: RuleProtocol,
    /// Source addresses.
    pub source: Vec<Address>,
    /// Source ports.
    pub source_ports: Vec<PortRange>,
    /// Destination addresses.
    pub destination: Vec<Address>,
    /// Destination ports.
    pub destination_ports: Vec<PortRange>,
}

/// What a security admin rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdminAction {
    /// Goes on to the network security groups.
    Allow,
    /// Refuses, whatever the groups say.
    Deny,
    /// Lets pass, whatever the groups say.
    AlwaysAllow,
}
