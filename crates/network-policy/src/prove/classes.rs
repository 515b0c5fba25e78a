//! Packets by protocol, ports and requests, as far as rules tell them apart.
//!
//! Rules name few ports and protocols, and many addresses. Within a class every rule matches all or nothing but for
//! addresses, and first match is a matter of two dimensions.

use std::collections::HashMap;

use crate::ranges::{Point, Ranges};

use super::cube::{Cube, Slice};

/// Some packets of a region, and the rules that match them wherever they come from and go.
pub(super) struct Class {
    /// The packets, with all addresses of the region.
    pub cube: Cube,
    /// Positions of slices that may match.
    pub may: Vec<usize>,
    /// Of each of them, whether it certainly does, as far as addresses let it.
    pub certain: Vec<bool>,
}

/// More classes than this are not worth telling apart.
const MOST: usize = 64;

/// The classes of a region; `None` when they are too many.
pub(super) fn classes(whole: &Cube, slices: &[Slice]) -> Option<Vec<Class>> {
    let cubes = || slices.iter().flat_map(|slice| std::iter::once(&slice.hi).chain(&slice.lo));
    let protocols = atoms(&whole.protocol, cubes().map(|cube| &cube.protocol))?;
    let ports = atoms(&whole.ports, cubes().map(|cube| &cube.ports))?;
    let source_ports = atoms(&whole.source_ports, cubes().map(|cube| &cube.source_ports))?;
    let speech = atoms(&whole.speech, cubes().map(|cube| &cube.speech))?;
    if protocols.len() * ports.len() * source_ports.len() * speech.len() > MOST {
        return None;
    }
    let mut classes = Vec::new();
    for protocol in &protocols {
        for ports in &ports {
            for source_ports in &source_ports {
                for speech in &speech {
                    let cube = Cube {
                        protocol: protocol.clone(),
                        ports: ports.clone(),
                        source_ports: source_ports.clone(),
                        speech: speech.clone(),
                        ..whole.clone()
                    };
                    classes.push(class(cube, slices));
                }
            }
        }
    }
    Some(classes)
}

fn class(cube: Cube, slices: &[Slice]) -> Class {
    let first = |cube: &Cube| {
        Some((cube.protocol.first()?, cube.ports.first()?, cube.source_ports.first()?, cube.speech.first()?))
    };
    // One packet stands for all of the class.
    let one = first(&cube);
    let holds = |other: &Cube| {
        one.is_some_and(|(protocol, ports, source_ports, speech)| {
            other.ports.contains(ports)
                && other.protocol.contains(protocol)
                && other.source_ports.contains(source_ports)
                && other.speech.contains(speech)
        })
    };
    let may: Vec<_> = (0..slices.len()).filter(|index| holds(&slices[*index].hi)).collect();
    let certain = may.iter().map(|index| slices[*index].lo.as_ref().is_some_and(holds)).collect();
    Class { cube, may, certain }
}

/// The largest parts of a set that none of some others tells apart.
fn atoms<'a, T: Point + std::hash::Hash>(
    whole: &Ranges<T>,
    others: impl Iterator<Item = &'a Ranges<T>>,
) -> Option<Vec<Ranges<T>>> {
    // Most fields are the same few sets.
    let mut sets: Vec<&Ranges<T>> = Vec::new();
    for set in others {
        if !set.is_same(whole) && !sets.contains(&set) && set != whole {
            if sets.len() == MOST {
                return None;
            }
            sets.push(set);
        }
    }
    let ends = sets.iter().flat_map(|set| set.as_slice());
    let mut cuts: Vec<T> = ends.flat_map(|range| [Some(range.0), range.1.next()]).flatten().collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut parts: HashMap<u64, Vec<(T, T)>> = HashMap::new();
    let mut order = Vec::new();
    for &(first, last) in whole.as_slice() {
        let mut from = first;
        let inner = cuts.iter().filter(|cut| first < **cut && **cut <= last);
        for until in inner.filter_map(|cut| cut.previous()).chain([last]) {
            let members = sets.iter().enumerate().filter(|(_, set)| set.contains(from));
            let signature = members.fold(0, |signature, (index, _)| signature | 1 << index);
            parts.entry(signature).or_insert_with(|| {
                order.push(signature);
                Vec::new()
            });
            parts.entry(signature).or_default().push((from, until));
            let Some(next) = until.next() else { break };
            from = next;
        }
    }
    Some(order.iter().filter_map(|signature| parts.remove(signature)).map(Ranges::union_of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn atoms_are_what_no_set_tells_apart(
            whole in 1u64..,
            masks in prop::collection::vec(any::<u64>(), 0..6),
        ) {
            let set = |mask: u64| {
                Ranges::<u8>::union_of((0..64).filter(|bit| mask >> bit & 1 == 1).map(|bit| (bit, bit)).collect())
            };
            let sets: Vec<_> = masks.iter().map(|mask| set(mask & whole)).collect();
            let atoms = atoms(&set(whole), sets.iter()).unwrap();
            let mut seen = Vec::new();
            for atom in &atoms {
                let points: Vec<u8> = (0..64).filter(|point| atom.contains(*point)).collect();
                let signature = |point: &u8| sets.iter().map(|set| set.contains(*point)).collect::<Vec<_>>();
                prop_assert!(points.iter().all(|point| signature(point) == signature(&points[0])));
                prop_assert!(!seen.contains(&signature(&points[0])));
                seen.push(signature(&points[0]));
            }
            let sizes: Option<u128> = atoms.iter().map(Ranges::size).sum();
            prop_assert_eq!(sizes, Some(u128::from(whole.count_ones())));
        }
    }
}
