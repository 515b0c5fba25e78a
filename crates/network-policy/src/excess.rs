//! What rules allow beyond what contracts ask for: the report of least privilege.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::address::{Address, PortRange, RuleProtocol};
use crate::certificate::CertifiedBox;
use crate::compiled::CompiledPolicy;
use crate::contract::{Contract, ContractEnd};
use crate::flow::{Direction, Layer, Verdict};
use crate::matching::Access;
use crate::policy::NetworkPolicy;
use crate::proof::Decider;
use crate::prove;

/// What one rule allows, though no contract asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Direction, seen from the build subnet.
    pub direction: Direction,
    /// The rule; of several layers, that of the last one that has a say. `None` where no layer is in the way.
    pub decided_by: Option<Decider>,
    /// Whether the packets are allowed for certain; else what is not known decides.
    pub certain: bool,
    /// Number of packets; `u128::MAX` when it is larger.
    pub packets: u128,
    /// Number of packets of this direction that there are; `u128::MAX` when it is larger.
    pub total: u128,
    /// Whether a contract needs the rule for other packets. A rule that none needs can go.
    pub needed: bool,
    /// The packets, as disjoint boxes, the largest first.
    pub boxes: Vec<CertifiedBox>,
}

impl NetworkPolicy {
    /// What the rules allow beyond the contracts to allow, the largest first; both directions.
    ///
    /// What Azure exempts from rules is not counted. Where a firewall looks at names, a packet counts once for each kind of
    /// request that its rules tell apart; a contract about addresses asks for all of them. Of a tag in a contract, the
    /// prefixes that are known count as asked for.
    pub fn excess(&self, contracts: &[Contract]) -> Vec<Excess> {
        let compiled = self.compile();
        let compiled = compiled.knowing(&contracts.iter().collect::<Vec<_>>());
        let mut excess: Vec<_> = [Direction::Outbound, Direction::Inbound]
            .into_iter()
            .flat_map(|direction| of_direction(&compiled, direction, contracts))
            .collect();
        excess.sort_by_key(|one| Reverse(one.packets));
        excess
    }
}

fn of_direction(compiled: &CompiledPolicy, direction: Direction, contracts: &[Contract]) -> Vec<Excess> {
    let asked: Vec<_> = contracts
        .iter()
        .filter(|contract| contract.access == Access::Allow && contract.direction == direction)
        .collect();
    // What is denied is denied whatever it asks for, and so is described all that may be asked for.
    let described = |contract: &Contract| match contract.name {
        None => Contract { access: Access::Deny, ..contract.clone() },
        Some(_) => contract.clone(),
    };
    let described: Vec<_> = asked.iter().map(|contract| described(contract)).collect();
    let needed: BTreeSet<_> = asked
        .iter()
        .flat_map(|contract| compiled.certify(contract).boxes)
        .filter(|part| part.verdict != Verdict::Denied && !part.exempt)
        .filter_map(|part| last_say(&part))
        .collect();
    let everything = everything(direction);
    let size = |parts: &[(CertifiedBox, u128)]| {
        parts.iter().fold(0u128, |sum, (_, packets)| sum.saturating_add(*packets))
    };
    let total = size(&prove::beside(compiled, &everything, &[]));
    let mut groups: BTreeMap<_, Vec<(CertifiedBox, u128)>> = BTreeMap::new();
    for (part, packets) in prove::beside(compiled, &everything, &described) {
        if part.verdict != Verdict::Denied && !part.exempt {
            let key = (last_say(&part), part.verdict == Verdict::Allowed);
            groups.entry(key).or_default().push((part, packets));
        }
    }
    let excess = groups.into_iter().map(|((decided_by, certain), mut parts)| {
        parts.sort_by_key(|(_, packets)| Reverse(*packets));
        Excess {
            direction,
            certain,
            packets: size(&parts),
            total,
            needed: decided_by.as_ref().is_some_and(|by| needed.contains(by)),
            boxes: parts.into_iter().map(|(part, _)| part).collect(),
            decided_by,
        }
    });
    excess.collect()
}

/// The rule of the last group or firewall that a box meets.
fn last_say(part: &CertifiedBox) -> Option<Decider> {
    let has_a_say = |by: &&Decider| {
        matches!(
            by.layer,
            Layer::Admin
                | Layer::NicNsg
                | Layer::SubnetNsg
                | Layer::FirewallNetwork
                | Layer::FirewallApplication
        )
    };
    part.deciders.iter().rev().find(has_a_say).cloned()
}

fn everything(direction: Direction) -> Contract {
    let any = ContractEnd { address: Address::Any, ports: PortRange::ALL };
    Contract {
        access: Access::Deny,
        direction,
        protocol: RuleProtocol::Any,
        from: any.clone(),
        to: any,
        name: None,
    }
}
