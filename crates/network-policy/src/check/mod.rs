//! An independent look at certificates.
//!
//! Shares nothing with the prover but the description. A certificate is right when its boxes are disjoint, lie within
//! what the contract describes and make up all of it, and when in each box every packet meets the decision that the
//! contract asks for: asked rule by rule, where a rule counts as decisive only if it covers the whole box.

mod layers;
mod requests;
mod sets;
mod world;

use crate::address::{Address, PortRange, RuleProtocol};
use crate::certificate::{Certificate, CertifiedBox};
use crate::contract::{Contract, ContractEnd};
use crate::flow::{Direction, Protocol, Verdict};
use crate::matching::Access;
use crate::policy::NetworkPolicy;
use crate::tag::ServiceTag;

use ipnet::IpNet;
use sets::{Natural, Set, apart, common, of, within};
use world::{OLD, number};

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A box holds packets that the contract does not describe.
    #[error("box {0} holds packets that the contract does not describe")]
    Outside(usize),
    /// Two boxes share packets.
    #[error("boxes {0} and {1} share packets")]
    Overlap(usize, usize),
    /// The boxes do not make up everything.
    #[error("the boxes do not make up everything that the contract describes")]
    Incomplete,
    /// The decision of a box is another.
    #[error("box {index} is said to be {claimed}, but its packets are {found}")]
    Decision {
        /// Position of the box.
        index: usize,
        /// What the certificate says.
        claimed: &'static str,
        /// What the rules say.
        found: &'static str,
    },
    /// A box whose packets break the contract, or might.
    #[error("the packets of box {0} are not what the contract asks for")]
    Broken(usize),
    /// Nothing is described.
    #[error("the contract describes no packets")]
    Empty,
}

/// A box as plain sets.
pub(super) struct Plain {
    protocol: Set,
    source: Set,
    source_ports: Set,
    destination: Set,
    ports: Set,
    requests: Set,
}

impl Plain {
    fn fields(&self) -> [&Set; 6] {
        [&self.protocol, &self.ports, &self.destination, &self.source, &self.source_ports, &self.requests]
    }

    fn is_within(&self, other: &Self) -> bool {
        self.fields().iter().zip(other.fields()).all(|(own, other)| !own.is_empty() && within(own, other))
    }

    fn is_apart(&self, other: &Self) -> bool {
        self.fields().iter().zip(other.fields()).any(|(own, other)| apart(own, other))
    }

    fn size(&self) -> Natural {
        self.fields().iter().fold(Natural::one(), |size, set| size.times(set))
    }
}

impl Certificate {
    /// Checks that this proves `contract` under `policy`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, policy: &NetworkPolicy, contract: &Contract) -> Result<(), CheckError> {
        let names = requests::Names::of(policy, contract, self);
        let regions = regions(policy, contract, &names);
        if regions.is_empty() {
            return Err(CheckError::Empty);
        }
        let boxes: Vec<_> = self.boxes.iter().map(|one| plain(one, &names)).collect();
        for (index, one) in boxes.iter().enumerate() {
            if !regions.iter().any(|region| one.is_within(region)) {
                return Err(CheckError::Outside(index));
            }
        }
        for (index, one) in boxes.iter().enumerate() {
            if let Some(other) = boxes[..index].iter().position(|other| !one.is_apart(other)) {
                return Err(CheckError::Overlap(other, index));
            }
        }
        let sum = |plains: &[Plain]| {
            plains.iter().fold(Natural::default(), |mut sum, one| {
                sum.add(&one.size());
                sum
            })
        };
        if sum(&boxes) != sum(&regions) {
            return Err(CheckError::Incomplete);
        }
        let reader = layers::Reader { policy, contract, names: &names };
        for (index, (one, claimed)) in boxes.iter().zip(&self.boxes).enumerate() {
            let found = reader.decide(one);
            if found.exempt != claimed.exempt || found.verdict != claimed.verdict {
                let claimed = word(claimed.verdict, claimed.exempt);
                let found = word(found.verdict, found.exempt);
                return Err(CheckError::Decision { index, claimed, found });
            }
            let wanted = match contract.access {
                Access::Allow => Verdict::Allowed,
                Access::Deny => Verdict::Denied,
            };
            let uncounted = found.exempt && contract.access == Access::Deny;
            if found.verdict != wanted && !uncounted {
                return Err(CheckError::Broken(index));
            }
        }
        Ok(())
    }
}

fn word(verdict: Verdict, exempt: bool) -> &'static str {
    match verdict {
        _ if exempt => "exempt",
        Verdict::Allowed => "allowed",
        Verdict::Denied => "denied",
        Verdict::Undecided => "undecided",
    }
}

fn plain(one: &CertifiedBox, names: &requests::Names) -> Plain {
    let addresses =
        |list: &[_]| of(list.iter().map(|(first, last)| (number(*first), number(*last))).collect());
    Plain {
        protocol: of(one.protocols.iter().map(|&(first, last)| (first.into(), last.into())).collect()),
        source: addresses(&one.source),
        source_ports: ports(&one.source_ports),
        destination: addresses(&one.destination),
        ports: ports(&one.destination_ports),
        requests: names.of_requests(&one.requests),
    }
}

pub(super) fn ports(ranges: &[PortRange]) -> Set {
    of(ranges.iter().map(|range| (range.first.into(), range.last.into())).collect())
}

/// Everything that a contract describes.
fn regions(policy: &NetworkPolicy, contract: &Contract, names: &requests::Names) -> Vec<Plain> {
    let outbound = contract.direction == Direction::Outbound;
    let source = end(policy, &contract.from, outbound);
    let destination = match contract.name {
        // Which of the public addresses a name has is not known.
        Some(_) => common(&world::tag(policy, &ServiceTag::Internet, false).most, &vec![OLD]),
        None => end(policy, &contract.to, !outbound),
    };
    let portless = contract.from.ports == PortRange::ALL && contract.to.ports == PortRange::ALL;
    let protocols: Vec<(Set, bool)> = match contract.protocol {
        RuleProtocol::Any if portless => {
            vec![(vec![(6, 6)], true), (vec![(17, 17)], true), (vec![(1, 1), (50, 51)], false)]
        }
        RuleProtocol::Any => vec![(vec![(6, 6)], true), (vec![(17, 17)], true)],
        RuleProtocol::Only(Protocol::Tcp) => vec![(vec![(6, 6)], true)],
        RuleProtocol::Only(Protocol::Udp) => vec![(vec![(17, 17)], true)],
        RuleProtocol::Only(Protocol::Icmp) => vec![(vec![(1, 1)], false)],
        RuleProtocol::Only(Protocol::Other(number)) => vec![(vec![(number.into(), number.into())], false)],
    };
    let mut regions = Vec::new();
    for family in families(policy, contract) {
        for (protocol, ported) in &protocols {
            let ports = |end: &ContractEnd| if *ported { ports(&[end.ports]) } else { vec![(0, 0)] };
            let tcp = *protocol == vec![(6, 6)];
            for (asked_at, requests) in names.of_contract(contract, tcp) {
                let region = Plain {
                    protocol: protocol.clone(),
                    source: common(&source, &family),
                    source_ports: ports(&contract.from),
                    destination: common(&destination, &family),
                    ports: common(&ports(&contract.to), &asked_at),
                    requests,
                };
                if region.fields().iter().all(|set| !set.is_empty()) {
                    regions.push(region);
                }
            }
        }
    }
    regions
}

fn end(policy: &NetworkPolicy, end: &ContractEnd, ours: bool) -> Set {
    let most = match &end.address {
        Address::Tag(tag) => world::tag(policy, tag, ours).most,
        other => {
            world::list(policy, std::slice::from_ref(other), ours, &Address::Any, &world::everything()).most
        }
    };
    let subnet = policy.context.build_subnet.filter(|_| ours);
    let Some(subnet) = subnet.filter(|_| matches!(end.address, Address::Any | Address::Tag(_))) else {
        return most;
    };
    let (first, last) = (number(subnet.network()), number(subnet.broadcast()));
    // Azure keeps the first four addresses and the last to itself.
    let usable = if last - first < 7 { (first, last) } else { (first + 4, last - 1) };
    let clipped = common(&most, &vec![usable]);
    if clipped.is_empty() { most } else { clipped }
}

fn families(policy: &NetworkPolicy, contract: &Contract) -> Vec<Set> {
    let written: Vec<&IpNet> = [&contract.from.address, &contract.to.address]
        .into_iter()
        .filter_map(|address| if let Address::Prefix(prefix) = address { Some(prefix) } else { None })
        .collect();
    let mut own = policy.context.virtual_network.iter().chain(&policy.context.build_subnet);
    let old = written.iter().any(|prefix| prefix.addr().is_ipv4());
    let new = written.iter().any(|prefix| prefix.addr().is_ipv6());
    let mut families = Vec::new();
    if old || !new {
        families.push(vec![OLD]);
    }
    if new || (!old && own.any(|prefix| prefix.addr().is_ipv6())) {
        families.push(vec![(0, OLD.0 - 1), (OLD.1 + 1, u128::MAX)]);
    }
    families
}
