//! Reduced ordered binary decision diagrams (Bryant 1986), hash-consed: equal sets are the same node.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::ranges::{Point, Ranges};

/// A set of bit vectors, as a node of a [`Bdd`].
pub(crate) type Set = u32;
pub(crate) const NONE: Set = 0;
pub(crate) const ALL: Set = 1;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    /// The bit that is asked: smaller ones first.
    bit: u32,
    zero: Set,
    one: Set,
}

/// Some consecutive bits that hold a number, highest first, and the smallest number they can hold.
#[derive(Clone, Copy)]
pub(crate) struct Bits {
    pub first: u32,
    pub count: u32,
    pub base: u128,
}

impl Bits {
    /// Ranges as numbers of these bits.
    pub fn numbers<T: Point>(self, ranges: &Ranges<T>) -> Vec<(u128, u128)> {
        let number = |point: T| point.number() - self.base;
        ranges.as_slice().iter().map(|&(first, last)| (number(first), number(last))).collect()
    }
}

/// The nodes of all sets of one question.
pub(crate) struct Bdd {
    nodes: Vec<Node>,
    unique: HashMap<Node, Set, BuildHasherDefault<Mix>>,
    /// Results of [`Bdd::choose`], overwritten when places collide.
    known: Vec<(Set, Set, Set, Set)>,
    bits: u32,
}

impl Bdd {
    /// Sets of vectors of so many bits.
    pub fn new(bits: u32) -> Self {
        let end = Node { bit: bits, zero: NONE, one: NONE };
        Self {
            nodes: vec![end, Node { one: ALL, ..end }],
            unique: HashMap::default(),
            known: vec![(NONE, NONE, NONE, NONE); 1 << 10],
            bits,
        }
    }

    /// Vectors of `one` or `zero`, which ask later bits only, by a bit.
    pub fn node(&mut self, bit: u32, zero: Set, one: Set) -> Set {
        if zero == one {
            return zero;
        }
        let node = Node { bit, zero, one };
        let next = Set::try_from(self.nodes.len()).unwrap_or(Set::MAX);
        if self.nodes.len() > self.known.len() && self.known.len() < 1 << 20 {
            self.known = vec![(NONE, NONE, NONE, NONE); 4 * self.known.len()];
        }
        *self.unique.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            next
        })
    }

    /// `then` where `condition` holds, `otherwise` elsewhere.
    pub fn choose(&mut self, condition: Set, then: Set, otherwise: Set) -> Set {
        let (mut condition, mut then, mut otherwise) = (condition, then, otherwise);
        if then == condition {
            then = ALL;
        }
        if otherwise == condition {
            otherwise = NONE;
        }
        // Both orders of "and" and of "or" are one question.
        if otherwise == NONE && then > ALL && then < condition {
            std::mem::swap(&mut condition, &mut then);
        } else if then == ALL && otherwise > ALL && otherwise < condition {
            std::mem::swap(&mut condition, &mut otherwise);
        }
        match (condition, then, otherwise) {
            (ALL, ..) => return then,
            (NONE, ..) => return otherwise,
            (_, ALL, NONE) => return condition,
            _ if then == otherwise => return then,
            _ => {}
        }
        let key = mix(u64::from(condition) << 32 ^ u64::from(then) << 16 ^ u64::from(otherwise)) >> 32;
        let place = |known: usize| key as usize & (known - 1);
        let known = self.known[place(self.known.len())];
        if (known.0, known.1, known.2) == (condition, then, otherwise) {
            return known.3;
        }
        let [x, y, z] = [condition, then, otherwise].map(|set| self.nodes[set as usize]);
        let bit = x.bit.min(y.bit).min(z.bit);
        let half = |node: Node, set: Set, one: bool| match node.bit == bit {
            false => set,
            true if one => node.one,
            true => node.zero,
        };
        let sides =
            [false, true].map(|one| (half(x, condition, one), half(y, then, one), half(z, otherwise, one)));
        let [zero, one] = sides.map(|(a, b, c)| self.choose(a, b, c));
        let result = self.node(bit, zero, one);
        let place = place(self.known.len());
        self.known[place] = (condition, then, otherwise, result);
        result
    }

    pub fn and(&mut self, a: Set, b: Set) -> Set {
        self.choose(a, b, NONE)
    }

    pub fn or(&mut self, a: Set, b: Set) -> Set {
        self.choose(a, ALL, b)
    }

    pub fn not(&mut self, a: Set) -> Set {
        self.choose(a, NONE, ALL)
    }

    /// Vectors whose bits hold a number of `ranges`, and that are in `rest`, which asks later bits only.
    pub fn field<T: Point>(&mut self, bits: Bits, ranges: &Ranges<T>, rest: Set) -> Set {
        self.block(bits, 0, 0, &bits.numbers(ranges), rest)
    }

    /// The same within the block of numbers that begin with the first `depth` bits of `start`.
    fn block(&mut self, bits: Bits, depth: u32, start: u128, ranges: &[(u128, u128)], rest: Set) -> Set {
        let free = bits.count - depth;
        let end = start | low_bits(free);
        match ranges {
            [] => return NONE,
            [(first, last)] if *first <= start && end <= *last => return rest,
            _ => {}
        }
        let middle = start | 1 << (free - 1);
        let low = ranges.partition_point(|range| range.0 < middle);
        let high = ranges.partition_point(|range| range.1 < middle);
        let zero = self.block(bits, depth + 1, start, &ranges[..low], rest);
        let one = self.block(bits, depth + 1, middle, &ranges[high..], rest);
        self.node(bits.first + depth, zero, one)
    }

    /// Vectors that are in a set whatever some of their bits are.
    pub fn whatever(&mut self, bits: Bits, set: Set) -> Set {
        self.whatever_below(bits, set, &mut HashMap::default())
    }

    fn whatever_below(&mut self, bits: Bits, set: Set, known: &mut HashMap<Set, Set>) -> Set {
        let node = self.nodes[set as usize];
        if node.bit >= bits.first + bits.count {
            return set;
        }
        if let Some(result) = known.get(&set) {
            return *result;
        }
        let [zero, one] = [node.zero, node.one].map(|side| self.whatever_below(bits, side, known));
        let result = if node.bit < bits.first { self.node(node.bit, zero, one) } else { self.and(zero, one) };
        known.insert(set, result);
        result
    }

    /// Number of vectors; `None` when it does not fit.
    pub fn count(&self, set: Set) -> Option<u128> {
        let mut known = HashMap::<Set, Option<u128>, BuildHasherDefault<Mix>>::default();
        let below = self.count_below(set, &mut known)?;
        shifted(below, self.nodes[set as usize].bit)
    }

    /// Vectors of the bits from the node's own.
    fn count_below(
        &self,
        set: Set,
        known: &mut HashMap<Set, Option<u128>, BuildHasherDefault<Mix>>,
    ) -> Option<u128> {
        if set <= ALL {
            return Some(u128::from(set));
        }
        if let Some(count) = known.get(&set) {
            return *count;
        }
        let node = self.nodes[set as usize];
        let side = |side: Set, known: &mut _| {
            let skipped = self.nodes[side as usize].bit - node.bit - 1;
            shifted(self.count_below(side, known)?, skipped)
        };
        let count = side(node.zero, known)
            .and_then(|zero| side(node.one, known).and_then(|one| zero.checked_add(one)));
        known.insert(set, count);
        count
    }

    /// A vector of a set that is not empty: bits that do not matter are zero.
    pub fn pick(&self, set: Set) -> Vec<bool> {
        let mut vector = vec![false; self.bits as usize];
        let mut at = set;
        while at > ALL {
            let node = self.nodes[at as usize];
            let one = node.zero == NONE;
            vector[node.bit as usize] = one;
            at = if one { node.one } else { node.zero };
        }
        vector
    }
}

fn low_bits(count: u32) -> u128 {
    1u128.checked_shl(count).map_or(u128::MAX, |bit| bit - 1)
}

fn shifted(number: u128, bits: u32) -> Option<u128> {
    if number == 0 { Some(0) } else { number.checked_mul(1u128.checked_shl(bits)?) }
}

/// Mixes nodes' numbers into places of a table; nobody chooses them to collide.
#[derive(Default)]
struct Mix(u64);

fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (number ^ number >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = mix(self.0.rotate_left(20) ^ u64::from(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(mask: u64) -> Ranges<u8> {
        Ranges::union_of((0..64).filter(|bit| mask >> bit & 1 == 1).map(|bit| (bit, bit)).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn diagrams_agree_with_bit_masks(a in any::<u64>(), b in any::<u64>(), c in any::<u64>()) {
            let mut bdd = Bdd::new(6);
            let bits = Bits { first: 0, count: 6, base: 0 };
            let [x, y, z] = [a, b, c].map(|mask| bdd.field(bits, &set(mask), ALL));
            let chosen = bdd.choose(x, y, z);
            let expected = bdd.field(bits, &set(a & b | !a & c), ALL);
            prop_assert_eq!(chosen, expected);
            prop_assert_eq!(bdd.count(x), Some(u128::from(a.count_ones())));
            let inner = Bits { first: 1, count: 2, base: 0 };
            let always = |point: u64| (0..4).all(|inner| a >> (point & 0b10_0111 | inner << 3) & 1 == 1);
            let expected = (0..64).filter(|point| always(*point)).fold(0, |mask, point| mask | 1 << point);
            let expected = bdd.field(bits, &set(expected), ALL);
            prop_assert_eq!(bdd.whatever(inner, x), expected);
            if a != 0 {
                let picked = bdd.pick(x).iter().fold(0u32, |number, bit| number << 1 | u32::from(*bit));
                prop_assert_eq!(a >> picked & 1, 1);
            }
        }
    }
}
