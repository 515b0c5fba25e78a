//! Network security groups and firewall rules, decided in Azure's order.
//!
//! [`NetworkPolicy`] is the description; [`NetworkPolicy::decide`] is its one meaning. The egress gateway of a
//! local build and whatever explains a flow to a person both call it. The crate is pure: it knows no file, clock
//! or socket, and every answer follows from the values it is given.
//!
//! Answers are three-valued. What a description leaves open (a service tag whose prefixes are not known, an IP
//! group that was not given) makes a rule match *maybe*; a decision stays [`Verdict::Undecided`] only when the
//! open point could change it.

mod address;
mod admin;
mod certificate;
mod check;
mod compiled;
mod contract;
mod defaults;
mod emit;
mod excess;
mod firewall;
mod flow;
mod fqdn;
mod matching;
mod near_miss;
mod normal;
mod nsg;
mod policy;
mod proof;
mod prove;
mod ranges;
mod read;
mod repair;
mod route;
mod snippet;
mod space;
mod suggestion;
mod tag;

pub use address::{Address, AddressError, PortRange, RuleProtocol};
pub use admin::{AdminAction, AdminRule};
pub use certificate::{Certificate, CertifiedBox, NameRange, Requests};
pub use check::CheckError;
pub use compiled::CompiledPolicy;
pub use contract::{Contract, ContractEnd, ContractError};
pub use defaults::{Endpoint, EndpointError};
pub use excess::Excess;
pub use firewall::{
    ApplicationRule, Firewall, FirewallPolicy, FirewallRule, NatRule, NetworkRule, RuleCollection,
    RuleCollectionGroup, Target,
};
pub use flow::{Application, Decision, Destination, Direction, Flow, Layer, Protocol, Verdict};
pub use fqdn::{FqdnPattern, PatternError};
pub use matching::Access;
pub use nsg::{NetworkSecurityGroup, RuleError, RuleFault, SecurityRule};
pub use policy::{Context, FarSubnet, NO_RULE, NetworkPolicy, Origin};
pub use proof::{Decider, FieldMatch, LayerDecision, Lost, NearMiss, Packet, Proof, ProofVerdict};
pub use read::{NO_NETWORK, Reading, read, read_service_tags};
pub use repair::{Beyond, NewRule, Obstacle, Renumbered, Repair};
pub use route::{NextHop, Outbound, Route, RouteDestination, RouteSource, RouteTable, ServiceEndpoint};
pub use snippet::{list as terraform_list, literal as terraform_literal};
pub use tag::{ServiceTag, Tags};
