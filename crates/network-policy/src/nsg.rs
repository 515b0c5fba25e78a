//! Network security groups.
//!
//! Source: Azure network security groups overview, and how network security groups filter traffic: custom rules
//! have priorities 100 to 4096, unique per direction, the first match ends the evaluation, and six default rules
//! stand behind them.

use std::sync::Arc;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use crate::address::{Address, PortRange, RuleProtocol};
use crate::flow::Direction;
use crate::matching::{Access, unique};
use crate::tag::ServiceTag;

/// One security rule. Every list holds at least one entry; several are a union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityRule {
    /// Name, unique in its group ignoring case.
    pub name: String,
    /// 100 to 4096 for custom rules; lower is asked first.
    pub priority: u16,
    /// Which flows the rule looks at.
    pub direction: Direction,
    /// What it does with those that match.
    pub access: Access,
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

/// A network security group: custom rules and the default rules behind them, in the order they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSecurityGroup {
    name: String,
    /// Shared by clones.
    rules: Arc<[SecurityRule]>,
}

/// What is wrong with one rule of a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("security rule '{name}': {fault}")]
pub struct RuleError {
    /// Position of the rule in the list that was given.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub fault: RuleFault,
}

/// What can be wrong with a rule beside its own fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// Priority outside 100 to 4096.
    #[error("priority {0} is outside 100 to 4096")]
    Priority(u16),
    /// Another rule of the same direction has the priority.
    #[error("rule '{other}' of the same direction already has priority {priority}")]
    SamePriority {
        /// The shared priority.
        priority: u16,
        /// The rule that came first.
        other: String,
    },
    /// Another rule has the name.
    #[error("the name is used twice")]
    SameName,
    /// A list of addresses or ports is empty; that never means "any".
    #[error("it names no {0}; write '*' for any")]
    Nothing(&'static str),
}

impl NetworkSecurityGroup {
    /// A group of custom rules, in any order; Azure's default rules are added.
    ///
    /// # Errors
    /// Every rule that Azure would not take: its priority, its name, an empty list.
    pub fn new(name: impl Into<String>, custom: Vec<SecurityRule>) -> Result<Self, Vec<RuleError>> {
        let mut earlier = Earlier::default();
        let mut errors = Vec::new();
        for (index, rule) in custom.iter().enumerate() {
            let error = |fault| RuleError { index, name: rule.name.clone(), fault };
            errors.extend(faults(rule, &mut earlier).map(error));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self::of_valid(name.into(), custom))
    }

    /// A group of rules that are valid by construction; [`new`](Self::new) is for all others.
    pub fn of_valid(name: String, mut rules: Vec<SecurityRule>) -> Self {
        rules.extend(default_rules());
        Self::of_effective(name, rules)
    }

    /// A group of rules among which are the default ones, as Azure lists those in effect.
    pub(crate) fn of_effective(name: String, mut rules: Vec<SecurityRule>) -> Self {
        for rule in &mut rules {
            unique(&mut rule.source);
            unique(&mut rule.source_ports);
            unique(&mut rule.destination);
            unique(&mut rule.destination_ports);
        }
        rules.sort_by_key(|rule| rule.priority);
        Self { name, rules: rules.into() }
    }

    /// Name or id of the group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every rule, default rules included, by priority.
    pub fn rules(&self) -> &[SecurityRule] {
        &self.rules
    }

    /// The rules that someone wrote, by priority.
    pub fn custom_rules(&self) -> impl Iterator<Item = &SecurityRule> {
        self.rules.iter().filter(|rule| rule.priority <= LAST_PRIORITY)
    }

    /// The highest priority number that is free before the rule called `blocking`.
    pub(crate) fn free_priority(&self, blocking: &str, direction: Direction) -> Option<u16> {
        let mut same = self.rules.iter().filter(|rule| rule.direction == direction);
        let blocking = same.find(|rule| rule.name == blocking)?;
        free_before(&self.rules, direction, blocking.priority)
    }
}

/// The highest number below `priority` that no rule of a direction has.
pub(crate) fn free_before(rules: &[SecurityRule], direction: Direction, priority: u16) -> Option<u16> {
    let taken = |number| rules.iter().any(|rule| rule.direction == direction && rule.priority == number);
    (FIRST_PRIORITY..priority.min(LAST_PRIORITY + 1)).rev().find(|number| !taken(*number))
}

const FIRST_PRIORITY: u16 = 100;
/// The highest priority number that someone can give a rule; default rules have higher ones.
pub(crate) const LAST_PRIORITY: u16 = 4096;

/// Whether someone can give a rule this number.
pub(crate) fn is_priority(number: u16) -> bool {
    (FIRST_PRIORITY..=LAST_PRIORITY).contains(&number)
}

/// What rules before one took.
#[derive(Default)]
struct Earlier<'a> {
    /// In lower case.
    names: HashSet<String>,
    /// The first rule that has it.
    priorities: HashMap<(Direction, u16), &'a str>,
}

/// What is wrong with a rule; from then on it is an earlier one.
fn faults<'a>(rule: &'a SecurityRule, earlier: &mut Earlier<'a>) -> impl Iterator<Item = RuleFault> + use<> {
    let range = (!is_priority(rule.priority)).then_some(RuleFault::Priority(rule.priority));
    let twin = match earlier.priorities.entry((rule.direction, rule.priority)) {
        Entry::Occupied(other) => {
            Some(RuleFault::SamePriority { priority: rule.priority, other: (*other.get()).to_owned() })
        }
        Entry::Vacant(free) => {
            free.insert(&rule.name);
            None
        }
    };
    let namesake = !earlier.names.insert(rule.name.to_ascii_lowercase());
    let lists = [
        (rule.source.is_empty(), "source address"),
        (rule.source_ports.is_empty(), "source port"),
        (rule.destination.is_empty(), "destination address"),
        (rule.destination_ports.is_empty(), "destination port"),
    ];
    range
        .into_iter()
        .chain(twin)
        .chain(namesake.then_some(RuleFault::SameName))
        .chain(lists.into_iter().filter(|(empty, _)| *empty).map(|(_, what)| RuleFault::Nothing(what)))
}

/// The rules Azure puts behind every group, which no one can remove.
fn default_rules() -> [SecurityRule; 6] {
    use ServiceTag::{AzureLoadBalancer, Internet, VirtualNetwork};
    let rule = |direction, priority, name: &str, source, destination, access| SecurityRule {
        name: name.to_owned(),
        priority,
        direction,
        access,
        protocol: RuleProtocol::Any,
        source: vec![source],
        source_ports: vec![PortRange::ALL],
        destination: vec![destination],
        destination_ports: vec![PortRange::ALL],
    };
    let tag = Address::Tag;
    let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
    [
        rule(inbound, 65000, "AllowVnetInBound", tag(VirtualNetwork), tag(VirtualNetwork), Access::Allow),
        rule(
            inbound,
            65001,
            "AllowAzureLoadBalancerInBound",
            tag(AzureLoadBalancer),
            Address::Any,
            Access::Allow,
        ),
        rule(inbound, 65500, "DenyAllInBound", Address::Any, Address::Any, Access::Deny),
        rule(outbound, 65000, "AllowVnetOutBound", tag(VirtualNetwork), tag(VirtualNetwork), Access::Allow),
        rule(outbound, 65001, "AllowInternetOutBound", Address::Any, tag(Internet), Access::Allow),
        rule(outbound, 65500, "DenyAllOutBound", Address::Any, Address::Any, Access::Deny),
    ]
}
