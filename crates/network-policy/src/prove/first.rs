//! First match in two dimensions: where rules differ in their addresses only, their diagrams are written down directly.
//!
//! The destinations are halved until every rule matches all of a block or nothing. On the way down, each rule that
//! matches all is laid over a tree of the sources, whose leaves say which rule is first. Trees of neighbouring blocks
//! share what the rules between them do not touch.

use super::bdd::{ALL, Bdd, Bits, NONE, Set};

/// A rule: how early it is asked, and its addresses.
#[derive(Clone, Copy)]
pub(super) struct Rule<'a> {
    pub rank: u32,
    pub source: &'a [(u128, u128)],
    pub destination: &'a [(u128, u128)],
}

/// A node of [`Sources`], or a leaf: [`LEAF`] and a rank.
type Tree = u32;
const LEAF: Tree = 1 << 31;
/// The leaf where no rule matches.
const NOBODY: Tree = Tree::MAX;

/// Halves of a block of sources, and the first and the last leaf below.
#[derive(Clone, Copy)]
struct Node {
    zero: Tree,
    one: Tree,
    least: Tree,
    most: Tree,
}

/// Some numbers that begin with the same bits.
#[derive(Clone, Copy)]
struct Block {
    depth: u32,
    start: u128,
    last: u128,
}

/// What is left of a rule in a block of destinations.
type Left<'a> = (&'a Rule<'a>, &'a [(u128, u128)]);

/// Trees that say which rule is first.
pub(super) struct Sources<'a> {
    bdd: &'a mut Bdd,
    bits: Bits,
    /// By rank, whether it is one of the rules in question.
    wanted: &'a [bool],
    nodes: Vec<Node>,
    /// The diagrams of nodes, as far as they are known.
    written: Vec<Option<Set>>,
}

/// The packets whose first rule is wanted.
pub(super) fn first_match(
    bdd: &mut Bdd,
    destination: Bits,
    source: Bits,
    rules: &[Rule<'_>],
    wanted: &[bool],
) -> Set {
    let mut sources = Sources { bdd, bits: source, wanted, nodes: Vec::new(), written: Vec::new() };
    let left = rules.iter().map(|rule| (rule, rule.destination)).collect();
    sources.destinations(destination, Block::all(destination), left, NOBODY)
}

impl Block {
    fn all(bits: Bits) -> Self {
        let last = 1u128.checked_shl(bits.count).map_or(u128::MAX, |end| end - 1);
        Self { depth: 0, start: 0, last }
    }

    fn halves(self) -> [Self; 2] {
        let middle = self.start + (self.last - self.start) / 2;
        let depth = self.depth + 1;
        [Self { depth, last: middle, ..self }, Self { depth, start: middle + 1, ..self }]
    }

    /// The ranges that reach into the block.
    fn part(self, ranges: &[(u128, u128)]) -> &[(u128, u128)] {
        let from = ranges.partition_point(|range| range.1 < self.start);
        let end = ranges.partition_point(|range| range.0 <= self.last);
        &ranges[from..end]
    }

    fn is_within(self, ranges: &[(u128, u128)]) -> bool {
        matches!(ranges, [(first, last)] if *first <= self.start && self.last <= *last)
    }
}

impl Sources<'_> {
    fn destinations(&mut self, bits: Bits, block: Block, mut left: Vec<Left<'_>>, first: Tree) -> Set {
        let mut tree = first;
        left.retain(|(rule, ranges)| {
            let settled = block.is_within(ranges);
            if settled {
                tree = self.lay(tree, Block::all(self.bits), rule.source, rule.rank | LEAF);
            }
            !settled
        });
        let (_, most) = self.ends(tree);
        left.retain(|(rule, _)| rule.rank | LEAF < most);
        if left.is_empty() {
            return self.write(tree, 0);
        }
        let [zero, one] = block.halves().map(|half| {
            let parts = left.iter().map(|(rule, ranges)| (*rule, half.part(ranges)));
            let left = parts.filter(|(_, ranges)| !ranges.is_empty()).collect();
            self.destinations(bits, half, left, tree)
        });
        self.bdd.node(bits.first + block.depth, zero, one)
    }

    /// The first and the last leaf of a tree.
    fn ends(&self, tree: Tree) -> (Tree, Tree) {
        if tree >= LEAF {
            return (tree, tree);
        }
        let node = self.nodes[tree as usize];
        (node.least, node.most)
    }

    fn halves(&self, tree: Tree) -> [Tree; 2] {
        if tree >= LEAF {
            return [tree; 2];
        }
        let node = self.nodes[tree as usize];
        [node.zero, node.one]
    }

    /// The tree with a leaf laid over some ranges, where it is before what is there.
    fn lay(&mut self, tree: Tree, block: Block, ranges: &[(u128, u128)], leaf: Tree) -> Tree {
        let (least, most) = self.ends(tree);
        if ranges.is_empty() || most <= leaf {
            return tree;
        }
        if leaf <= least && block.is_within(ranges) {
            return leaf;
        }
        let (old, [low, high]) = (self.halves(tree), block.halves());
        let zero = self.lay(old[0], low, low.part(ranges), leaf);
        let one = self.lay(old[1], high, high.part(ranges), leaf);
        if [zero, one] == old {
            return tree;
        }
        if zero == one {
            return zero;
        }
        let (a, b) = (self.ends(zero), self.ends(one));
        self.nodes.push(Node { zero, one, least: a.0.min(b.0), most: a.1.max(b.1) });
        self.written.push(None);
        Tree::try_from(self.nodes.len() - 1).unwrap_or(NOBODY)
    }

    /// The diagram of the sources whose leaf is wanted.
    fn write(&mut self, tree: Tree, depth: u32) -> Set {
        if tree >= LEAF {
            let wanted = self.wanted.get((tree ^ LEAF) as usize).is_some_and(|wanted| *wanted);
            return if wanted { ALL } else { NONE };
        }
        if let Some(set) = self.written[tree as usize] {
            return set;
        }
        let [zero, one] = self.halves(tree).map(|half| self.write(half, depth + 1));
        let set = self.bdd.node(self.bits.first + depth, zero, one);
        self.written[tree as usize] = Some(set);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranges::Ranges;
    use proptest::prelude::*;

    const DESTINATION: Bits = Bits { first: 0, count: 6, base: 0 };
    const SOURCE: Bits = Bits { first: 6, count: 6, base: 0 };

    /// Runs of points, as rules have them.
    fn set() -> impl Strategy<Value = Ranges<u8>> {
        let range =
            (0..64u8, 0..64u8).prop_map(|(first, length)| (first, first.saturating_add(length).min(63)));
        proptest::collection::vec(range, 1..4).prop_map(Ranges::union_of)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_first_rule_decides(given in proptest::collection::vec((set(), set(), any::<bool>()), 0..12)) {
            let mut bdd = Bdd::new(12);
            let mut expected = NONE;
            for (source, destination, wanted) in given.iter().rev() {
                let matched = bdd.field(SOURCE, source, ALL);
                let matched = bdd.field(DESTINATION, destination, matched);
                expected = bdd.choose(matched, if *wanted { ALL } else { NONE }, expected);
            }
            let numbers: Vec<_> = given
                .iter()
                .map(|(source, destination, _)| (SOURCE.numbers(source), DESTINATION.numbers(destination)))
                .collect();
            let rules = numbers.iter().zip(0..);
            let rules: Vec<_> =
                rules.map(|((source, destination), rank)| Rule { rank, source, destination }).collect();
            let wanted: Vec<_> = given.iter().map(|rule| rule.2).collect();
            prop_assert_eq!(first_match(&mut bdd, DESTINATION, SOURCE, &rules, &wanted), expected);
        }
    }
}
