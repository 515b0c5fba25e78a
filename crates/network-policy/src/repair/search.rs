//! The search: prove, see which groups stand in the way, add rules there, and prove again until nothing more does.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::certificate::CertifiedBox;
use crate::compiled::CompiledPolicy;
use crate::contract::Contract;
use crate::flow::{Destination, Direction, Flow, Layer, Protocol, Verdict};
use crate::matching::Access;
use crate::nsg::NetworkSecurityGroup;
use crate::policy::NetworkPolicy;
use crate::proof::{Decider, LayerDecision, Packet, Proof, ProofVerdict};

use super::cover::{self, Row};
use super::place::Draft;
use super::{Beyond, NewRule, Obstacle, Renumbered, Repair, setting};

/// Which rules a repair adds to: group, whether inbound, whether to allow.
type Place = (String, bool, bool);

/// What stands in the way of one contract.
enum Culprit {
    /// A rule of a group, before which another one helps.
    Rule(Place, String),
    /// Something else. It may leave the contract open only.
    Other(Obstacle, Verdict),
}

struct Search<'a> {
    policy: &'a NetworkPolicy,
    contracts: &'a [Contract],
    /// What was said of each contract before anything was changed.
    before: Vec<ProofVerdict>,
    /// For each place and contract: the rules that a new rule has to precede.
    needs: BTreeMap<Place, BTreeMap<usize, BTreeSet<String>>>,
    beyond: BTreeMap<usize, BTreeSet<Obstacle>>,
}

pub(super) fn run(policy: &NetworkPolicy, contracts: &[Contract]) -> Repair {
    let compiled = policy.compile();
    let before = contracts.iter().map(|contract| compiled.prove(contract).verdict).collect();
    let mut search = Search { policy, contracts, before, needs: BTreeMap::new(), beyond: BTreeMap::new() };
    loop {
        let drafts = search.drafts();
        let changed = search.changed(&drafts);
        if !search.learn(&changed.compile(), &drafts) {
            return search.conclude(changed, &drafts);
        }
    }
}

impl Search<'_> {
    /// The groups with the rules that are needed by now. Contracts that no rule can be placed for are given up.
    fn drafts(&mut self) -> BTreeMap<String, Draft> {
        loop {
            match self.try_drafts() {
                Ok(drafts) => return drafts,
                Err((nsg, contracts)) => {
                    let setting =
                        format!("NSG '{nsg}' has no priority left: remove a rule that nothing needs");
                    for index in contracts {
                        self.give_up(index, Obstacle { decided_by: None, setting: setting.clone() });
                    }
                }
            }
        }
    }

    fn try_drafts(&self) -> Result<BTreeMap<String, Draft>, (String, Vec<usize>)> {
        let mut drafts = BTreeMap::new();
        for ((nsg, inbound, allow), contracts) in &self.needs {
            let Some(group) = groups(self.policy).find(|group| group.name() == nsg) else { continue };
            let draft = drafts.entry(nsg.clone()).or_insert_with(|| Draft::of(group));
            let rows: Vec<Row> =
                contracts.keys().flat_map(|index| cover::rows(*index, &self.contracts[*index])).collect();
            for block in cover::blocks(&rows) {
                let blockers = block.contracts.iter().flat_map(|index| contracts[index].iter().cloned());
                if !draft.add(&block, direction(*inbound), access(*allow), &blockers.collect()) {
                    return Err((nsg.clone(), block.contracts));
                }
            }
        }
        Ok(drafts)
    }

    /// The policy with changed groups, wherever they are in use.
    fn changed(&self, drafts: &BTreeMap<String, Draft>) -> NetworkPolicy {
        let mut policy = self.policy.clone();
        let own = policy.nic_nsg.iter_mut().chain(&mut policy.subnet_nsg);
        for group in own.chain(policy.far_subnets.iter_mut().map(|subnet| &mut subnet.nsg)) {
            if let Some(draft) = drafts.get(group.name()) {
                *group = draft.group();
            }
        }
        policy
    }

    /// Asks every contract again; true when there is something new to do.
    fn learn(&mut self, compiled: &CompiledPolicy, drafts: &BTreeMap<String, Draft>) -> bool {
        let mut news = false;
        for index in 0..self.contracts.len() {
            let proof = compiled.prove(&self.contracts[index]);
            let left_alone =
                self.before[index] == ProofVerdict::Depends && proof.verdict != ProofVerdict::Refuted;
            if proof.verdict == ProofVerdict::Proved || left_alone || self.beyond.contains_key(&index) {
                continue;
            }
            let contract = &self.contracts[index];
            let flows = examples(compiled, contract, &proof);
            // What held does not because of a rule that was added, in whichever of its groups.
            if self.before[index] == ProofVerdict::Proved
                && let Some(opponent) = flows.iter().find_map(|flow| breaker(compiled, flow, drafts))
            {
                self.contradict(index, opponent);
                return true;
            }
            for culprit in culprits(compiled, contract, &proof, &flows) {
                match culprit {
                    Culprit::Rule(place, blocker) => match opponent(drafts, &place.0, &blocker) {
                        Some(opponent) => {
                            self.contradict(index, opponent);
                            return true;
                        }
                        None => news |= self.need(index, place, blocker),
                    },
                    Culprit::Other(obstacle, Verdict::Denied) => {
                        self.give_up(index, obstacle);
                        news = true;
                    }
                    Culprit::Other(..) => {}
                }
            }
        }
        news
    }

    /// A refuted contract needs a rule before `blocker`; whether that is new.
    fn need(&mut self, index: usize, place: Place, blocker: String) -> bool {
        self.before[index] == ProofVerdict::Refuted
            && !self.beyond.contains_key(&index)
            && self.needs.entry(place).or_default().entry(index).or_default().insert(blocker)
    }

    /// What is added for one contract breaks another. A contract that held is not given up for one that did not.
    fn contradict(&mut self, index: usize, opponent: usize) {
        let (loser, winner) =
            if self.before[index] == ProofVerdict::Refuted { (index, opponent) } else { (opponent, index) };
        let setting = format!("it contradicts the contract `{}`", self.contracts[winner]);
        self.give_up(loser, Obstacle { decided_by: None, setting });
    }

    fn give_up(&mut self, index: usize, obstacle: Obstacle) {
        self.needs.values_mut().for_each(|contracts| {
            contracts.remove(&index);
        });
        self.beyond.entry(index).or_default().insert(obstacle);
    }

    fn conclude(self, policy: NetworkPolicy, drafts: &BTreeMap<String, Draft>) -> Repair {
        let of = |indices: &[usize]| indices.iter().map(|index| self.contracts[*index].clone()).collect();
        let rules = drafts.iter().flat_map(|(nsg, draft)| {
            draft.added().into_iter().map(|(rule, contracts)| NewRule {
                nsg: nsg.clone(),
                rule: rule.clone(),
                contracts: of(contracts),
            })
        });
        let renumbered = drafts.iter().flat_map(|(nsg, draft)| {
            draft.moved().map(|(rule, to)| Renumbered {
                nsg: nsg.clone(),
                rule: rule.name.clone(),
                from: rule.priority,
                to,
            })
        });
        let (rules, renumbered) = (rules.collect(), renumbered.collect());
        let (mut repaired, mut open) = (Vec::new(), Vec::new());
        let compiled = policy.compile();
        for (index, contract) in self.contracts.iter().enumerate() {
            if self.before[index] != ProofVerdict::Refuted || self.beyond.contains_key(&index) {
                continue;
            }
            let proof = compiled.prove(contract);
            match proof.verdict {
                ProofVerdict::Proved => repaired.push(contract.clone()),
                ProofVerdict::Refuted | ProofVerdict::Depends => open.push((contract.clone(), proof.open)),
            }
        }
        let beyond = self.beyond.into_iter().map(|(index, obstacles)| Beyond {
            contract: self.contracts[index].clone(),
            obstacles: obstacles.into_iter().collect(),
        });
        Repair { rules, renumbered, repaired, open, beyond: beyond.collect(), policy }
    }
}

/// The contract that a new rule was added for.
fn opponent(drafts: &BTreeMap<String, Draft>, group: &str, rule: &str) -> Option<usize> {
    let added = drafts.get(group)?.added();
    let (_, contracts) = added.into_iter().find(|(own, _)| own.name == rule)?;
    contracts.first().copied()
}

/// The contract whose new rule decides about a flow somewhere on its way.
fn breaker(compiled: &CompiledPolicy, flow: &Flow, drafts: &BTreeMap<String, Draft>) -> Option<usize> {
    let path = compiled.path(flow);
    path.iter().find_map(|layer| opponent(drafts, &layer.decided_by.resource, &layer.decided_by.rule))
}

/// One packet of each kind that breaks a contract, or may break it; of one about names, the packet that is shown.
fn examples(compiled: &CompiledPolicy, contract: &Contract, proof: &Proof) -> Vec<Flow> {
    if contract.name.is_some() {
        return proof.packet.iter().map(Packet::flow).collect();
    }
    let certificate = match &proof.certificate {
        Some(certificate) => Cow::Borrowed(certificate),
        None => Cow::Owned(compiled.certify(contract)),
    };
    let kept = if contract.access == Access::Allow { Verdict::Allowed } else { Verdict::Denied };
    let wrong = certificate.boxes.iter().filter(|part| part.verdict != kept && !part.exempt);
    wrong.filter_map(|part| example(part, contract.direction)).collect()
}

/// What keeps a contract from holding, as far as some packets meet it.
fn culprits(compiled: &CompiledPolicy, contract: &Contract, proof: &Proof, flows: &[Flow]) -> Vec<Culprit> {
    if contract.name.is_some() {
        return of_name(compiled, contract.access, proof);
    }
    let found = flows.iter().flat_map(|flow| {
        let path = compiled.path(flow);
        match contract.access {
            Access::Allow => refusals(compiled.policy(), path),
            Access::Deny => vec![permission(compiled.policy(), contract.direction, &path)],
        }
    });
    found.collect()
}

/// What keeps a contract about names from holding, as far as the packet that shows it meets it. Security rules know no
/// names: one that is as narrow as the contract does not exist.
fn of_name(compiled: &CompiledPolicy, access: Access, proof: &Proof) -> Vec<Culprit> {
    let (Some(packet), Some(by)) = (&proof.packet, &proof.decided_by) else { return Vec::new() };
    let asked = packet.name.as_deref().unwrap_or_default();
    let of_group = own_group(compiled.policy(), by).is_some();
    let obstacle = match access {
        Access::Allow if !of_group => setting::that_refuses(compiled.policy(), by.clone()),
        _ if of_group => setting::that_knows_no_names(by, asked),
        _ => setting::that_lets_pass(by, asked),
    };
    vec![Culprit::Other(obstacle, Verdict::Denied)]
}

/// Every layer that does not let a packet pass.
fn refusals(policy: &NetworkPolicy, path: Vec<LayerDecision>) -> Vec<Culprit> {
    let refusing = path.into_iter().filter(|layer| layer.verdict != Verdict::Allowed);
    refusing
        .map(|layer| {
            let by = layer.decided_by;
            match own_group(policy, &by) {
                Some((group, direction)) => {
                    Culprit::Rule((group, direction == Direction::Inbound, true), by.rule)
                }
                None => Culprit::Other(setting::that_refuses(policy, by), layer.verdict),
            }
        })
        .collect()
}

/// The rule of the subnet's group, else of the interface's, that lets a packet pass.
fn permission(policy: &NetworkPolicy, direction: Direction, path: &[LayerDecision]) -> Culprit {
    let layers = [Layer::SubnetNsg, Layer::NicNsg];
    let own = layers.into_iter().find_map(|wanted| {
        path.iter().find(|layer| {
            let by = &layer.decided_by;
            by.layer == wanted && own_group(policy, by).is_some_and(|(_, own)| own == direction)
        })
    });
    match own {
        Some(layer) if layer.verdict != Verdict::Denied => {
            let by = &layer.decided_by;
            Culprit::Rule((by.resource.clone(), direction == Direction::Inbound, false), by.rule.clone())
        }
        _ => Culprit::Other(setting::that_permits(path), Verdict::Denied),
    }
}

/// The group that decided, and the direction of its rule.
fn own_group(policy: &NetworkPolicy, by: &Decider) -> Option<(String, Direction)> {
    if !matches!(by.layer, Layer::NicNsg | Layer::SubnetNsg) {
        return None;
    }
    let group = groups(policy).find(|group| group.name() == by.resource)?;
    let rule = group.rules().iter().find(|rule| rule.name == by.rule)?;
    Some((by.resource.clone(), rule.direction))
}

fn groups(policy: &NetworkPolicy) -> impl Iterator<Item = &NetworkSecurityGroup> {
    let far = policy.far_subnets.iter().map(|subnet| &subnet.nsg);
    policy.nic_nsg.iter().chain(&policy.subnet_nsg).chain(far)
}

/// One packet of a box.
fn example(part: &CertifiedBox, direction: Direction) -> Option<Flow> {
    Some(Flow {
        direction,
        protocol: match part.protocols.first()?.0 {
            1 => Protocol::Icmp,
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            other => Protocol::Other(other),
        },
        source: part.source.first()?.0,
        source_port: part.source_ports.first()?.first,
        destination: Destination::Address(part.destination.first()?.0),
        port: part.destination_ports.first()?.first,
        application: None,
    })
}

fn direction(inbound: bool) -> Direction {
    if inbound { Direction::Inbound } else { Direction::Outbound }
}

fn access(allow: bool) -> Access {
    if allow { Access::Allow } else { Access::Deny }
}
