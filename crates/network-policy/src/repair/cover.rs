//! The fewest rules for a set of contracts.

use crate::address::{Address, PortRange, RuleProtocol};
use crate::contract::Contract;
use crate::flow::Protocol;

/// What one rule can say: one value for each field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub protocol: RuleProtocol,
    pub source: Address,
    pub source_ports: PortRange,
    pub destination: Address,
    pub ports: PortRange,
    /// Position of the contract.
    pub contract: usize,
}

/// A contract as rows. A rule about any protocol and some ports might match protocols without ports, which the contract
/// does not mean.
pub(super) fn rows(index: usize, contract: &Contract) -> Vec<Row> {
    let protocols = if contract.protocol == RuleProtocol::Any && contract.has_ports() {
        vec![RuleProtocol::Only(Protocol::Tcp), RuleProtocol::Only(Protocol::Udp)]
    } else {
        vec![contract.protocol]
    };
    let row = |protocol| Row {
        protocol,
        source: contract.from.address.clone(),
        source_ports: contract.from.ports,
        destination: contract.to.address.clone(),
        ports: contract.to.ports,
        contract: index,
    };
    protocols.into_iter().map(row).collect()
}

/// Rows that make up one rule.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub protocol: RuleProtocol,
    pub source: Vec<Address>,
    pub source_ports: Vec<PortRange>,
    pub destination: Vec<Address>,
    pub ports: Vec<PortRange>,
    pub contracts: Vec<usize>,
}

/// How many rows are searched for the fewest rules.
const EXACT: usize = 10;

/// The fewest blocks that hold every row and nothing else; of more than [`EXACT`] rows, few blocks.
pub(super) fn blocks(rows: &[Row]) -> Vec<Block> {
    if rows.len() <= EXACT { fewest(rows) } else { few(rows) }
}

/// Rows as one rule, which matches every combination of their values: `None` when that is more than the rows are, or
/// when Azure takes no such rule.
fn together(rows: &[&Row]) -> Option<Block> {
    fn values<T: Clone + Ord>(rows: &[&Row], field: impl Fn(&Row) -> &T) -> Vec<T> {
        let mut values: Vec<T> = rows.iter().map(|row| field(row).clone()).collect();
        crate::matching::unique(&mut values);
        values
    }
    let block = Block {
        protocol: rows.first()?.protocol,
        source: values(rows, |row| &row.source),
        source_ports: values(rows, |row| &row.source_ports),
        destination: values(rows, |row| &row.destination),
        ports: values(rows, |row| &row.ports),
        contracts: values(rows, |row| &row.contract),
    };
    // Several addresses of one side have to be prefixes: the command line and Terraform take a tag by itself only.
    let listable = |list: &[Address]| {
        list.len() == 1 || list.iter().all(|address| matches!(address, Address::Prefix(_)))
    };
    let mut distinct: Vec<_> =
        rows.iter().map(|row| (&row.source, row.source_ports, &row.destination, row.ports)).collect();
    crate::matching::unique(&mut distinct);
    let combinations =
        block.source.len() * block.source_ports.len() * block.destination.len() * block.ports.len();
    let same_protocol = rows.iter().all(|row| row.protocol == block.protocol);
    (same_protocol
        && listable(&block.source)
        && listable(&block.destination)
        && combinations == distinct.len())
    .then_some(block)
}

/// Every set of rows is a number whose bits tell its members; the best way to hold a set begins with a block that holds
/// its first row.
fn fewest(rows: &[Row]) -> Vec<Block> {
    let all = (1usize << rows.len()) - 1;
    let members = |set: usize| {
        rows.iter().enumerate().filter(move |(index, _)| set >> index & 1 == 1).map(|(_, row)| row)
    };
    let valid: Vec<usize> =
        (1..=all).filter(|set| together(&members(*set).collect::<Vec<_>>()).is_some()).collect();
    // For each set: how many blocks, how many rows stand in more than one of them, and the first block.
    let mut best = vec![(0usize, 0u32, 0usize); all + 1];
    for set in 1..=all {
        let first = set & set.wrapping_neg();
        let ways = valid.iter().filter(|block| **block & first != 0).map(|&block| {
            let (blocks, twice, _) = best[set & !block];
            (blocks + 1, twice + (block & !set).count_ones(), block)
        });
        best[set] = ways.min().unwrap_or((usize::MAX, 0, set));
    }
    let (mut chosen, mut left) = (Vec::new(), all);
    while left != 0 {
        let block = best[left].2;
        chosen.extend(together(&members(block).collect::<Vec<_>>()));
        left &= !block;
    }
    chosen
}

/// Joins what can be joined, two at a time.
fn few(rows: &[Row]) -> Vec<Block> {
    let mut sets: Vec<Vec<&Row>> = rows.iter().map(|row| vec![row]).collect();
    let mut at = 0;
    while at < sets.len() {
        let joined = (at + 1..sets.len()).find_map(|other| {
            let both = [&sets[at][..], &sets[other]].concat();
            together(&both).map(|_| (other, both))
        });
        match joined {
            Some((other, both)) => {
                sets.remove(other);
                sets[at] = both;
                at = 0;
            }
            None => at += 1,
        }
    }
    sets.iter().filter_map(|set| together(set)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(lines: &[&str]) -> Vec<Row> {
        let contracts = lines.iter().map(|line| Contract::parse(line).unwrap());
        contracts.enumerate().flat_map(|(index, contract)| rows(index, &contract)).collect()
    }

    #[test]
    fn contracts_that_differ_in_one_field_share_a_rule() {
        for (lines, count) in [
            (&["allow outbound tcp * -> Internet:443", "allow outbound tcp * -> Internet:80"][..], 1),
            (&["allow outbound tcp * -> Internet:443", "allow outbound udp * -> Internet:443"], 2),
            (&["allow outbound tcp * -> Internet:443", "allow outbound tcp * -> Storage:443"], 2),
            (&["allow outbound tcp * -> 10.0.0.0/8:443", "allow outbound tcp * -> 11.0.0.0/8:443"], 1),
            (&["allow outbound tcp * -> 10.0.0.0/8:443", "allow outbound tcp * -> 11.0.0.0/8:80"], 2),
            (&["allow outbound * * -> Internet:443"], 2),
            (&["allow outbound * * -> Internet"], 1),
        ] {
            assert_eq!(fewest(&rows_of(lines)).len(), count, "{lines:?}");
            assert_eq!(few(&rows_of(lines)).len(), count, "{lines:?}");
        }
    }

    /// A cross: its row and its column are two rules, though they share the middle.
    #[test]
    fn the_search_is_exact() {
        let cells = ["10:1", "10:2", "10:3", "11:2", "12:2"];
        let lines = cells.map(|cell| {
            let (address, port) = cell.split_once(':').unwrap();
            format!("allow outbound tcp * -> {address}.0.0.0/8:{port}")
        });
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        assert_eq!(fewest(&rows_of(&lines)).len(), 2);
    }

    #[test]
    fn many_contracts_are_joined_too() {
        let lines: Vec<_> = (1..=40).map(|port| format!("allow outbound tcp * -> Internet:{port}")).collect();
        let rows = rows_of(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(blocks(&rows).len(), 1);
    }
}
