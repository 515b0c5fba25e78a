//! Proofs: whether a contract holds for every packet it describes.
//!
//! A contract is a few regions of packets. Each is walked through the layers as boxes; what comes out is a partition of
//! the region, which is answer, explanation and certificate at once. Where rules are so entangled that the boxes would
//! be too many, decision diagrams answer instead.

mod bdd;
mod classes;
mod cube;
mod first;
mod region;
mod symbolic;
mod walk;
mod why;
mod witness;

use crate::certificate::{Certificate, CertifiedBox};
use crate::compiled::CompiledPolicy;
use crate::contract::Contract;
use crate::flow::{Direction, Verdict};
use crate::matching::Access;
use crate::normal::Found;
use crate::proof::{Lost, Proof, ProofVerdict};
use crate::ranges::Ranges;
use crate::{PortRange, near_miss, space};

use cube::{Cube, Region};
use walk::{Budget, End, Piece};

/// How often a proof looks at a box before decision diagrams take over: some milliseconds.
const BUDGET: usize = 40_000;

/// What came out of one region.
struct Finding {
    region: Region,
    /// Packets that break the contract.
    broken: Part,
    /// Packets among them that the contract certainly describes, wherever its tags and names are.
    certain: Vec<(Cube, Option<Found>)>,
    /// Packets that might.
    open: Part,
    /// Number of packets that are exempt from all rules.
    exempt: Option<u128>,
    /// The whole partition; `None` when it is too large.
    pieces: Option<Vec<Piece>>,
}

/// Some packets of a region, and who decides about them.
struct Part {
    cubes: Vec<(Cube, Option<Found>)>,
    /// Number of packets; `None` when it does not fit.
    volume: Option<u128>,
    /// Whether the cubes are all of it, or a few examples.
    whole: bool,
    empty: bool,
}

impl Part {
    fn whole(cubes: Vec<(Cube, Option<Found>)>) -> Self {
        let volume = volume(cubes.iter().map(|(cube, _)| cube));
        Self { empty: cubes.is_empty(), cubes, volume, whole: true }
    }
}

/// A part of a part: its region, a cube, and who decides about it.
type Shown<'a> = (&'a Region, Cube, Option<Found>);

pub(crate) fn prove(policy: &CompiledPolicy, contract: &Contract) -> Proof {
    let mut budget = Budget(BUDGET);
    let findings: Vec<_> = region::regions(&policy.policy, &policy.normal, contract)
        .into_iter()
        .map(|region| find(policy, contract, region, &mut budget))
        .collect();
    conclude(policy, contract, &findings)
}

/// The same by decision diagrams alone.
pub(crate) fn second_opinion(policy: &CompiledPolicy, contract: &Contract) -> Proof {
    let regions = region::regions(&policy.policy, &policy.normal, contract).into_iter();
    let findings: Vec<_> = regions.map(|region| symbolic::find(policy, contract, region)).collect();
    conclude(policy, contract, &findings)
}

/// The partition of everything a contract describes, however large it is.
pub(crate) fn certify(policy: &CompiledPolicy, contract: &Contract) -> Certificate {
    let layers = policy.normal.layers(contract.direction);
    let regions = region::regions(&policy.policy, &policy.normal, contract);
    let pieces = regions
        .iter()
        .flat_map(|region| walk::walk(region, layers, &mut Budget(usize::MAX)).unwrap_or_default());
    certificate(policy, contract, pieces.collect::<Vec<_>>().iter())
}

/// The partition of what a contract describes and others do not, each part with the number of its packets.
///
/// Of a tag whose prefixes are not all known, only those that are count as described by the others.
pub(crate) fn beside(
    policy: &CompiledPolicy,
    contract: &Contract,
    others: &[Contract],
) -> Vec<(CertifiedBox, u128)> {
    let regions = |contract| region::regions(&policy.policy, &policy.normal, contract);
    let mut left: Vec<Cube> = regions(contract).into_iter().map(|region| region.cube).collect();
    for other in others.iter().flat_map(regions) {
        // Who asks for a name asks for it wherever it is.
        let taken =
            if other.named { Cube { destination: Ranges::all(), ..other.meant } } else { other.meant };
        left = left.iter().flat_map(|cube| remainder(cube, &taken)).collect();
    }
    let layers = policy.normal.layers(contract.direction);
    let pieces = left.into_iter().flat_map(|cube| {
        let region = Region {
            meant: cube.clone(),
            certain: cube.clone(),
            cube,
            source_tag: None,
            destination_tag: None,
            named: false,
        };
        walk::walk(&region, layers, &mut Budget(usize::MAX)).unwrap_or_default()
    });
    let sized = pieces.map(|piece| {
        let volume = piece.cube.volume().unwrap_or(u128::MAX);
        certificate(policy, contract, std::iter::once(&piece))
            .boxes
            .into_iter()
            .map(move |part| (part, volume))
    });
    sized.flatten().collect()
}

/// What is left of a cube, as disjoint cubes.
fn remainder(cube: &Cube, taken: &Cube) -> Vec<Cube> {
    let Some(both) = cube.intersection(taken) else { return vec![cube.clone()] };
    let mut left = Vec::new();
    cube.without(&both, |rest| left.push(rest));
    left
}

fn find(policy: &CompiledPolicy, contract: &Contract, region: Region, budget: &mut Budget) -> Finding {
    let layers = policy.normal.layers(contract.direction);
    let Ok(pieces) = walk::walk(&region, layers, budget) else {
        return symbolic::find(policy, contract, region);
    };
    let (mut broken, mut open) = (Vec::new(), Vec::new());
    for piece in &pieces {
        let last = piece.state.last;
        match (piece.end, contract.access) {
            (End::Denied(found), Access::Allow) => broken.push((piece.cube.clone(), Some(found))),
            (End::Allowed, Access::Deny) => broken.push((piece.cube.clone(), last)),
            (End::Open(found), _) => open.push((piece.cube.clone(), Some(found))),
            (End::Allowed | End::Exempt, Access::Allow) | (End::Denied(_) | End::Exempt, Access::Deny) => {}
        }
    }
    let certain = if region.named {
        let kept = pieces.iter().filter(|piece| !breaks(piece.end, contract.access)).map(|piece| &piece.cube);
        at_every_address(&region, &broken, kept)
    } else {
        let certain = |(cube, found): &(Cube, _)| Some((cube.intersection(&region.certain)?, *found));
        broken.iter().filter_map(certain).collect()
    };
    let exempt = pieces.iter().filter(|piece| piece.end == End::Exempt);
    let exempt = volume(exempt.map(|piece| &piece.cube));
    let (broken, open) = (Part::whole(broken), Part::whole(open));
    Finding { region, broken, certain, open, exempt, pieces: Some(pieces) }
}

fn breaks(end: End, access: Access) -> bool {
    matches!((end, access), (End::Denied(_), Access::Allow) | (End::Allowed, Access::Deny))
}

/// What is broken whichever address of the region a name has.
fn at_every_address<'a>(
    region: &Region,
    broken: &[(Cube, Option<Found>)],
    kept: impl Iterator<Item = &'a Cube>,
) -> Vec<(Cube, Option<Found>)> {
    let mut left = vec![region.cube.clone()];
    for cube in kept {
        let somewhere = Cube { destination: region.cube.destination.clone(), ..cube.clone() };
        left = left.iter().flat_map(|cube| remainder(cube, &somewhere)).collect();
    }
    let parts = |whole: &Cube| -> Vec<_> {
        broken.iter().filter_map(|(cube, found)| Some((cube.intersection(whole)?, *found))).collect()
    };
    left.iter().flat_map(parts).collect()
}

fn conclude(policy: &CompiledPolicy, contract: &Contract, findings: &[Finding]) -> Proof {
    let total = volume(findings.iter().map(|finding| &finding.region.cube));
    let broken = Parts::of(findings, |finding| &finding.broken);
    let open = Parts::of(findings, |finding| &finding.open);
    let mut certain: Vec<Shown<'_>> = Vec::new();
    for finding in findings {
        certain.extend(finding.certain.iter().map(|(cube, found)| (&finding.region, cube.clone(), *found)));
    }
    if certain.is_empty() {
        certain = broken.cubes.iter().take(EXAMPLES).flat_map(|part| again(policy, contract, part)).collect();
    }
    // Where nothing that counts can pass, it does not matter which addresses a tag has.
    let exempt = self::total(findings.iter().map(|finding| finding.exempt));
    let counted = total.zip(exempt).map(|(total, exempt)| total - exempt);
    let hopeless = !broken.empty && counted.is_some() && broken.volume == counted;
    let refuted = !certain.is_empty() || hopeless;
    let verdict = match (refuted, broken.empty && open.empty) {
        // A contract about no packet at all is not about this network.
        _ if findings.is_empty() => ProofVerdict::Depends,
        (true, _) => ProofVerdict::Refuted,
        (false, true) => ProofVerdict::Proved,
        (false, false) => ProofVerdict::Depends,
    };
    let pieces: Option<Vec<_>> = findings.iter().map(|finding| finding.pieces.as_ref()).collect();
    let mut proof = Proof {
        verdict,
        packet: None,
        decided_by: None,
        near_miss: None,
        lost: None,
        open: Vec::new(),
        assumptions: why::assumptions(policy, contract),
        certificate: pieces.map(|pieces| certificate(policy, contract, pieces.into_iter().flatten())),
    };
    let (part, shown) = match verdict {
        ProofVerdict::Proved => {
            proof.decided_by = main_decider(policy, contract, findings);
            return proof;
        }
        ProofVerdict::Refuted if !certain.is_empty() => (&broken, &certain),
        ProofVerdict::Refuted => (&broken, &broken.cubes),
        ProofVerdict::Depends if open.empty => (&broken, &broken.cubes),
        ProofVerdict::Depends => (&open, &open.cubes),
    };
    if verdict == ProofVerdict::Depends {
        proof.open = why::open(policy, contract, &open.cubes, !broken.empty || findings.is_empty());
    }
    proof.lost = Some(lost(contract, findings, part, total));
    let Some(witness) = witness::choose(policy, contract, shown) else {
        // Nothing that a person could send.
        if verdict == ProofVerdict::Refuted {
            proof.verdict = ProofVerdict::Depends;
            proof.open = vec!["whether any host name is left that the firewall lets through".to_owned()];
        }
        return proof;
    };
    let names_host = witness.packet.application.is_some();
    proof.decided_by = witness.found.map(|found| policy.decider(contract.direction, found, names_host));
    proof.near_miss = witness.found.and_then(|found| {
        let name = witness.packet.name.as_deref();
        near_miss::of(policy, contract.direction, found.layer, &witness.query(), Some(found.rule), name)
    });
    // Whether an address is in a tag that is not known cannot be shown by one packet.
    let symbolic = verdict == ProofVerdict::Refuted && certain.is_empty();
    if symbolic && let Some(lost) = &mut proof.lost {
        "every packet".clone_into(&mut lost.phrase);
    }
    proof.packet = (!symbolic).then_some(witness.packet);
    proof
}

/// How many broken boxes are looked at again without regard to the contract's tags.
const EXAMPLES: usize = 64;

/// The packets of a part that break the contract even when nothing is known of them but their addresses.
fn again<'a>(policy: &CompiledPolicy, contract: &Contract, part: &Shown<'a>) -> Vec<Shown<'a>> {
    let (region, cube, _) = part;
    if region.named {
        return Vec::new();
    }
    let Some(cube) = cube.intersection(&region.meant) else { return Vec::new() };
    let bare = Region { cube, source_tag: None, destination_tag: None, ..(*region).clone() };
    let mut budget = Budget(BUDGET / EXAMPLES);
    let pieces = walk::walk(&bare, policy.normal.layers(contract.direction), &mut budget).unwrap_or_default();
    let broken = pieces.into_iter().filter_map(|piece| match (piece.end, contract.access) {
        (End::Denied(found), Access::Allow) => Some((*region, piece.cube, Some(found))),
        (End::Allowed, Access::Deny) => Some((*region, piece.cube, piece.state.last)),
        _ => None,
    });
    broken.collect()
}

/// Parts of all regions together.
struct Parts<'a> {
    cubes: Vec<Shown<'a>>,
    volume: Option<u128>,
    whole: bool,
    empty: bool,
}

impl<'a> Parts<'a> {
    fn of(findings: &'a [Finding], which: impl Fn(&'a Finding) -> &'a Part) -> Self {
        let cubes = findings.iter().flat_map(|finding| {
            let region = &finding.region;
            which(finding).cubes.iter().map(move |(cube, found)| (region, cube.clone(), *found))
        });
        let volumes = findings.iter().map(|finding| which(finding).volume);
        Self {
            cubes: cubes.collect(),
            volume: total(volumes),
            whole: findings.iter().all(|finding| which(finding).whole),
            empty: findings.iter().all(|finding| which(finding).empty),
        }
    }
}

/// Number of packets of disjoint cubes; `None` when it does not fit.
fn volume<'a>(cubes: impl Iterator<Item = &'a Cube>) -> Option<u128> {
    total(cubes.map(Cube::volume))
}

fn total(mut volumes: impl Iterator<Item = Option<u128>>) -> Option<u128> {
    volumes.try_fold(0u128, |sum, volume| sum.checked_add(volume?))
}

/// Who decided about most packets.
fn main_decider(
    policy: &CompiledPolicy,
    contract: &Contract,
    findings: &[Finding],
) -> Option<crate::Decider> {
    let pieces = findings.iter().flat_map(|finding| finding.pieces.iter().flatten());
    let decided = pieces.filter_map(|piece| {
        let found = match piece.end {
            End::Denied(found) | End::Open(found) => Some(found),
            End::Allowed | End::Exempt => piece.state.last,
        };
        Some((piece.cube.volume().unwrap_or(u128::MAX), std::cmp::Reverse(found?)))
    });
    let (_, found) = decided.max()?;
    Some(policy.decider(contract.direction, found.0, contract.name.is_some()))
}

fn lost(contract: &Contract, findings: &[Finding], part: &Parts<'_>, total: Option<u128>) -> Lost {
    let peers = |cube: &Cube| match contract.direction {
        Direction::Outbound => cube.destination.clone(),
        Direction::Inbound => cube.source.clone(),
    };
    let size = |cubes: &mut dyn Iterator<Item = &Cube>| {
        let ranges = cubes.flat_map(|cube| peers(cube).as_slice().to_vec()).collect();
        Ranges::union_of(ranges).size()
    };
    let what = match contract.direction {
        Direction::Outbound => "destinations",
        Direction::Inbound => "sources",
    };
    let packets = part.volume.unwrap_or(u128::MAX);
    let affected = size(&mut part.cubes.iter().map(|(_, cube, _)| cube)).filter(|_| part.whole);
    let all = size(&mut findings.iter().map(|finding| &finding.region.cube));
    let asked = |cubes: &mut dyn Iterator<Item = &Cube>| {
        Ranges::union_of(cubes.flat_map(|cube| cube.speech.as_slice().to_vec()).collect())
    };
    let all_asked = asked(&mut findings.iter().map(|finding| &finding.region.cube));
    let some_asked = asked(&mut part.cubes.iter().map(|(_, cube, _)| cube)) != all_asked;
    let phrase = match (affected, all) {
        _ if part.volume.is_some() && part.volume == total => "every packet".to_owned(),
        _ if contract.name.is_some() && some_asked => "some of the names".to_owned(),
        (Some(affected), Some(all)) if affected == all => {
            let ranges = part.cubes.iter().flat_map(|(_, cube, _)| cube.ports.as_slice().to_vec());
            let ports = Ranges::union_of(ranges.collect()).size().unwrap_or(0);
            let ports = if ports == 1 { "1 port".to_owned() } else { format!("{} ports", grouped(ports)) };
            format!("every one of {} {what}, on {ports}", grouped(all))
        }
        (Some(affected), Some(all)) => format!("{} of {} {what}", grouped(affected), grouped(all)),
        _ => format!("{} of {} packets", grouped(packets), grouped(total.unwrap_or(u128::MAX))),
    };
    Lost { packets, total: total.unwrap_or(u128::MAX), phrase }
}

/// A number with its thousands set apart.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn certificate<'a>(
    policy: &CompiledPolicy,
    contract: &Contract,
    pieces: impl Iterator<Item = &'a Piece>,
) -> Certificate {
    let addresses = |set: &Ranges<u128>| {
        let ranges = set.as_slice().iter();
        ranges.map(|(first, last)| (space::address(*first), space::address(*last))).collect()
    };
    let ports =
        |set: &Ranges<u16>| set.as_slice().iter().map(|&(first, last)| PortRange { first, last }).collect();
    let mut boxes: Vec<_> = pieces
        .map(|piece| CertifiedBox {
            protocols: piece.cube.protocol.as_slice().to_vec(),
            source: addresses(&piece.cube.source),
            source_ports: ports(&piece.cube.source_ports),
            destination: addresses(&piece.cube.destination),
            destination_ports: ports(&piece.cube.ports),
            requests: policy.normal.names.requests(&piece.cube.speech),
            verdict: match piece.end {
                End::Allowed | End::Exempt => Verdict::Allowed,
                End::Denied(_) => Verdict::Denied,
                End::Open(_) => Verdict::Undecided,
            },
            exempt: piece.end == End::Exempt,
            deciders: {
                let layers = policy.normal.layers(contract.direction);
                let named = piece.trail.iter().filter(|found| !layers[found.layer].is_beside(found.rule));
                named.map(|found| policy.decider(contract.direction, *found, false)).collect()
            },
        })
        .collect();
    boxes.sort_by(|a, b| {
        let key = |one: &CertifiedBox| {
            (one.protocols.clone(), one.destination.clone(), one.destination_ports.clone())
        };
        key(a).cmp(&key(b))
    });
    Certificate { boxes }
}

#[cfg(test)]
mod tests;
