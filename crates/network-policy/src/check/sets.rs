//! Plain sorted lists of ranges, written for being read: the prover's sets are not used here.

/// Disjoint ranges in ascending order, both ends included.
pub(super) type Set = Vec<(u128, u128)>;

pub(super) fn of(mut ranges: Set) -> Set {
    ranges.sort_unstable();
    let mut set: Set = Vec::new();
    for (first, last) in ranges {
        match set.last_mut() {
            Some(before) if before.1 == u128::MAX || first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => set.push((first, last)),
        }
    }
    set
}

pub(super) fn union(a: &Set, b: &Set) -> Set {
    of([a.as_slice(), b].concat())
}

pub(super) fn minus(a: &Set, b: &Set) -> Set {
    let mut left = a.clone();
    for &(first, last) in b {
        let mut next = Vec::new();
        for (low, high) in left {
            if high < first || last < low {
                next.push((low, high));
                continue;
            }
            if low < first {
                next.push((low, first - 1));
            }
            if last < high {
                next.push((last + 1, high));
            }
        }
        left = next;
    }
    left
}

pub(super) fn common(a: &Set, b: &Set) -> Set {
    minus(a, &minus(a, b))
}

pub(super) fn apart(a: &Set, b: &Set) -> bool {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i].1 < b[j].0 {
            i += 1;
        } else if b[j].1 < a[i].0 {
            j += 1;
        } else {
            return false;
        }
    }
    true
}

pub(super) fn within(a: &Set, b: &Set) -> bool {
    a.iter().all(|range| {
        let holder = b.partition_point(|other| other.1 < range.0);
        b.get(holder).is_some_and(|other| other.0 <= range.0 && range.1 <= other.1)
    })
}

/// A natural number of any size, in 32 bits each, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Natural(Vec<u32>);

impl Natural {
    pub fn one() -> Self {
        Self(vec![1])
    }

    pub fn add(&mut self, other: &Self) {
        let mut carry = 0u64;
        for index in 0..=self.0.len().max(other.0.len()) {
            let digit = |number: &Self| u64::from(number.0.get(index).copied().unwrap_or(0));
            let sum = digit(self) + digit(other) + carry;
            if index == self.0.len() {
                self.0.push(0);
            }
            self.0[index] = low(sum);
            carry = sum >> 32;
        }
        self.trim();
    }

    /// Times the number of points of a set.
    pub fn times(&self, set: &Set) -> Self {
        let mut product = Self::default();
        for (first, last) in set {
            let size = Self::plus_one(last - first);
            let mut part = vec![0u32; self.0.len() + size.0.len() + 1];
            for (i, a) in self.0.iter().enumerate() {
                let mut carry = 0u64;
                for (j, b) in size.0.iter().chain(&[0]).enumerate() {
                    let sum = u64::from(part[i + j]) + u64::from(*a) * u64::from(*b) + carry;
                    part[i + j] = low(sum);
                    carry = sum >> 32;
                }
            }
            let mut part = Self(part);
            part.trim();
            product.add(&part);
        }
        product
    }

    fn plus_one(number: u128) -> Self {
        let digits =
            (0..4).map(|index| u32::try_from(number >> (32 * index) & 0xffff_ffff).unwrap_or(0)).collect();
        let mut number = Self(digits);
        number.add(&Self::one());
        number
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

fn low(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_beyond_every_register() {
        let all = vec![(0, u128::MAX)];
        let square = Natural::one().times(&all).times(&all);
        assert_eq!(square.0, [0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let mut sum = Natural::default();
        for half in [vec![(0, u128::MAX / 2)], vec![(u128::MAX / 2 + 1, u128::MAX)]] {
            sum.add(&Natural::one().times(&half).times(&all));
        }
        assert_eq!(sum, square);
    }

    #[test]
    fn sets() {
        let set = of(vec![(5, 9), (0, 2), (3, 3), (20, u128::MAX)]);
        assert_eq!(set, [(0, 3), (5, 9), (20, u128::MAX)]);
        assert_eq!(minus(&set, &vec![(2, 6), (30, 40)]), [(0, 1), (7, 9), (20, 29), (41, u128::MAX)]);
        assert_eq!(common(&set, &vec![(2, 6), (30, 40)]), [(2, 3), (5, 6), (30, 40)]);
        assert!(within(&vec![(1, 2), (6, 9)], &set) && !within(&vec![(3, 5)], &set));
        assert!(apart(&vec![(4, 4), (10, 19)], &set) && !apart(&vec![(9, 10)], &set));
    }
}
