//! Where in a group new rules stand.

use std::collections::BTreeSet;

use crate::address::Address;
use crate::flow::Direction;
use crate::matching::Access;
use crate::nsg::{LAST_PRIORITY, NetworkSecurityGroup, SecurityRule, free_before};

use super::cover::Block;

/// A group that is being changed.
pub(super) struct Draft {
    /// All custom rules, new ones among them.
    rules: Vec<SecurityRule>,
    original: NetworkSecurityGroup,
    /// Names of the new rules, and the contracts they are for.
    added: Vec<(String, Vec<usize>)>,
}

impl Draft {
    pub fn of(original: &NetworkSecurityGroup) -> Self {
        let rules = original.custom_rules().cloned().collect();
        Self { rules, original: original.clone(), added: Vec::new() }
    }

    /// Adds a rule before all of `blockers`; false when there is no room for another rule.
    ///
    /// It gets the largest free number that will do. When none is free, the rules from the first blocker on move up by
    /// one, as far as the next free number: no way moves fewer.
    pub fn add(
        &mut self,
        block: &Block,
        direction: Direction,
        access: Access,
        blockers: &BTreeSet<String>,
    ) -> bool {
        let named = self.rules.iter().filter(|rule| blockers.contains(&rule.name));
        let before = named.map(|rule| rule.priority).min().unwrap_or(LAST_PRIORITY + 1);
        let free = free_before(&self.rules, direction, before);
        let Some(priority) = free.or_else(|| self.make_room(direction, before)) else { return false };
        let name = self.name(block, direction, access);
        self.added.push((name.clone(), block.contracts.clone()));
        self.rules.push(SecurityRule {
            name,
            priority,
            direction,
            access,
            protocol: block.protocol,
            source: block.source.clone(),
            source_ports: block.source_ports.clone(),
            destination: block.destination.clone(),
            destination_ports: block.ports.clone(),
        });
        true
    }

    /// Frees a number by moving the rule that has it, and those right behind it, up by one.
    fn make_room(&mut self, direction: Direction, number: u16) -> Option<u16> {
        let taken = |number: &u16| {
            self.rules.iter().any(|rule| rule.direction == direction && rule.priority == *number)
        };
        let gap = (number..=LAST_PRIORITY).find(|number| !taken(number))?;
        let same = self.rules.iter_mut().filter(|rule| rule.direction == direction);
        same.filter(|rule| (number..gap).contains(&rule.priority)).for_each(|rule| rule.priority += 1);
        Some(number)
    }

    /// The new rules, by priority, and the contracts they are for.
    pub fn added(&self) -> Vec<(&SecurityRule, &[usize])> {
        let mut added: Vec<_> = self
            .added
            .iter()
            .filter_map(|(name, contracts)| {
                let rule = self.rules.iter().find(|rule| rule.name == *name)?;
                Some((rule, &contracts[..]))
            })
            .collect();
        added.sort_by_key(|(rule, _)| rule.priority);
        added
    }

    /// The group as it is to be.
    pub fn group(&self) -> NetworkSecurityGroup {
        NetworkSecurityGroup::of_valid(self.original.name().to_owned(), self.rules.clone())
    }

    /// Rules of the original group that moved, with their new priorities.
    pub fn moved(&self) -> impl Iterator<Item = (&SecurityRule, u16)> {
        self.original.custom_rules().filter_map(|old| {
            let new = self.rules.iter().find(|rule| rule.name == old.name)?;
            (new.priority != old.priority).then_some((old, new.priority))
        })
    }

    /// A name that says what the rule is about and that the group does not have, ignoring case.
    fn name(&self, block: &Block, direction: Direction, access: Access) -> String {
        let side = |list: &[Address]| match list {
            [Address::Any] => "Any".to_owned(),
            [only] => only.to_string(),
            [first, ..] => format!("{first}-and-others"),
            [] => String::new(),
        };
        let peer = match direction {
            Direction::Outbound => side(&block.destination),
            Direction::Inbound => side(&block.source),
        };
        let ports = block.ports.iter().map(|range| match range.to_string().as_str() {
            "*" => String::new(),
            text => format!("-{text}"),
        });
        let ports: String = ports.collect();
        let access = if access == Access::Allow { "Allow" } else { "Deny" };
        let name = crate::emit::rule_name(&format!("{access}-{}-{peer}{ports}", block.protocol));
        let exists = |name: &str| self.rules.iter().any(|rule| rule.name.eq_ignore_ascii_case(name));
        let numbered = (2u32..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.clone()).chain(numbered).find(|name| !exists(name)).unwrap_or(name)
    }
}
