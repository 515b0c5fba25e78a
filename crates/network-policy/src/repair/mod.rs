//! Repairs: the fewest and narrowest security rules that make contracts hold.
//!
//! A rule that is added describes contracts and nothing else, so that it changes nothing but what they are about. It
//! stands as late as it can: right before the first rule that decides otherwise. What is shown has been proved again.

mod cover;
mod place;
mod search;
mod setting;

use crate::contract::Contract;
use crate::nsg::SecurityRule;
use crate::policy::NetworkPolicy;
use crate::proof::Decider;

/// What makes contracts hold that do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Rules to add, by group, direction and priority.
    pub rules: Vec<NewRule>,
    /// Rules that must move to make room, because no priority number is free where one is needed.
    pub renumbered: Vec<Renumbered>,
    /// The contracts that hold then.
    pub repaired: Vec<Contract>,
    /// Contracts that every network security group keeps then, while what is named here leaves them open.
    pub open: Vec<(Contract, Vec<String>)>,
    /// Contracts that no rule of a network security group can repair. No rule is added for them.
    pub beyond: Vec<Beyond>,
    /// The policy with all of this done.
    pub policy: NetworkPolicy,
}

/// A security rule to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule {
    /// Name or id of the group it belongs into.
    pub nsg: String,
    /// The rule.
    pub rule: SecurityRule,
    /// The contracts it is for.
    pub contracts: Vec<Contract>,
}

/// A rule that moves to another priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renumbered {
    /// Name or id of its group.
    pub nsg: String,
    /// Its name.
    pub rule: String,
    /// Its priority.
    pub from: u16,
    /// Its new priority.
    pub to: u16,
}

/// A contract that no security rule repairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// The contract.
    pub contract: Contract,
    /// What stands in the way; in the order in which packets meet it.
    pub obstacles: Vec<Obstacle>,
}

/// What stands in the way of a contract, and can be changed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle {
    /// Who decides; `None` when nobody is there who could.
    pub decided_by: Option<Decider>,
    /// Which setting can change it.
    pub setting: String,
}

impl NetworkPolicy {
    /// The fewest, narrowest security rules that make every refuted contract hold.
    ///
    /// Contracts that hold, or that depend on something, are left alone; those that hold still do. The priority of a
    /// rule is the largest free number below that of the rules that decide otherwise. Up to ten contracts of a group
    /// and direction are combined into the fewest rules there are; of more, pairs are.
    pub fn repair(&self, contracts: &[Contract]) -> Repair {
        search::run(self, contracts)
    }
}
