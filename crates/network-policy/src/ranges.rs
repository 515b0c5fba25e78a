//! Sets as sorted, disjoint, non-adjacent ranges, over ports, protocols, addresses and names alike.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A point of one field of a packet.
pub(crate) trait Point: Copy + Ord + fmt::Debug + 'static {
    const MIN: Self;
    const MAX: Self;
    /// The point after this one; `MAX` has none.
    fn next(self) -> Option<Self>;
    /// The point before this one; `MIN` has none.
    fn previous(self) -> Option<Self>;
    fn number(self) -> u128;
}

macro_rules! points {
    ($($kind:ty),*) => {$(
        impl Point for $kind {
            const MIN: Self = <$kind>::MIN;
            const MAX: Self = <$kind>::MAX;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
            #[allow(clippy::cast_lossless, reason = "one of the kinds is u128 itself")]
            fn number(self) -> u128 {
                self as u128
            }
        }
    )*};
}
points!(u8, u16, u32, u128);

/// A set of points. Clones share their ranges.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ranges<T> {
    ranges: Arc<[(T, T)]>,
    /// Whether it is every point: most fields of most rules are, and this is told without a look at the ranges.
    all: bool,
}

impl<T: Point> Ranges<T> {
    fn new(ranges: Arc<[(T, T)]>) -> Self {
        let all = *ranges == [(T::MIN, T::MAX)];
        Self { ranges, all }
    }

    pub fn empty() -> Self {
        Self::new(Arc::from([]))
    }

    pub fn all() -> Self {
        Self::range(T::MIN, T::MAX)
    }

    /// First to last, both included.
    pub fn range(first: T, last: T) -> Self {
        debug_assert!(first <= last);
        Self::new(Arc::from([(first, last)]))
    }

    pub fn single(point: T) -> Self {
        Self::range(point, point)
    }

    /// The union of ranges in any order.
    pub fn union_of(mut ranges: Vec<(T, T)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(end) if end.1.next().is_none_or(|after| first <= after) => end.1 = end.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self::new(merged.into())
    }

    pub fn as_slice(&self) -> &[(T, T)] {
        &self.ranges
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether both are the same value, told without looking at the ranges.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ranges, &other.ranges)
    }

    pub fn first(&self) -> Option<T> {
        self.ranges.first().map(|range| range.0)
    }

    /// From the first point to the last; of nothing, a span that holds nothing.
    pub fn hull(&self) -> (T, T) {
        match &*self.ranges {
            [] => (T::MAX, T::MIN),
            [only] => *only,
            [first, .., last] => (first.0, last.1),
        }
    }

    pub fn contains(&self, point: T) -> bool {
        if self.all {
            return true;
        }
        let ranges = &*self.ranges;
        let holds = |range: &(T, T)| range.0 <= point && point <= range.1;
        // Few ranges are faster looked at than searched.
        if ranges.len() <= 8 {
            return ranges.iter().any(holds);
        }
        let index = ranges.partition_point(|range| range.1 < point);
        ranges.get(index).is_some_and(holds)
    }

    /// Number of points; `None` when it does not fit.
    pub fn size(&self) -> Option<u128> {
        self.ranges.iter().try_fold(0u128, |sum, range| {
            sum.checked_add((range.1.number() - range.0.number()).checked_add(1)?)
        })
    }

    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        Self::union_of(self.ranges.iter().chain(&*other.ranges).copied().collect())
    }

    /// Gallops through the longer list, so that a short list costs little.
    pub fn intersection(&self, other: &Self) -> Self {
        if self.is_same(other) || other.is_all() {
            return self.clone();
        }
        if self.is_all() {
            return other.clone();
        }
        let mut both = Vec::new();
        self.meet(other, |first, last| {
            both.push((first, last));
            true
        });
        Self::new(both.into())
    }

    pub fn intersects(&self, other: &Self) -> bool {
        let mut found = false;
        self.meet(other, |_, _| {
            found = true;
            false
        });
        found
    }

    pub fn is_subset(&self, other: &Self) -> bool {
        if self.is_same(other) || other.is_all() {
            return true;
        }
        let ranges = &*other.ranges;
        let mut from = 0;
        self.ranges.iter().all(|&(first, last)| {
            from = gallop(ranges, from, first);
            ranges.get(from).is_some_and(|range| range.0 <= first && last <= range.1)
        })
    }

    pub fn difference(&self, other: &Self) -> Self {
        if self.is_same(other) || other.is_all() {
            return Self::empty();
        }
        let (mut left, ranges, mut from) = (Vec::new(), &*other.ranges, 0);
        for &(first, last) in &*self.ranges {
            let mut start = Some(first);
            from = gallop(ranges, from, first);
            for &(low, high) in &ranges[from..] {
                let Some(at) = start else { break };
                if low > last {
                    break;
                }
                if at < low {
                    left.extend(low.previous().map(|end| (at, end)));
                }
                start = high.next().filter(|next| *next <= last);
            }
            left.extend(start.map(|at| (at, last)));
        }
        if left.len() == self.ranges.len() && *left == *self.ranges {
            self.clone()
        } else {
            Self::new(left.into())
        }
    }

    pub fn is_all(&self) -> bool {
        self.all
    }

    /// Calls `visit` with each common range until it returns false.
    fn meet(&self, other: &Self, mut visit: impl FnMut(T, T) -> bool) {
        let (a, b) = (&*self.ranges, &*other.ranges);
        let (mut i, mut j) = (0, 0);
        while let (Some(&left), Some(&right)) = (a.get(i), b.get(j)) {
            let (first, last) = (left.0.max(right.0), left.1.min(right.1));
            if first <= last && !visit(first, last) {
                return;
            }
            match left.1.cmp(&right.1) {
                Ordering::Less => i = gallop(a, i + 1, right.0),
                Ordering::Greater => j = gallop(b, j + 1, left.0),
                Ordering::Equal => (i, j) = (i + 1, j + 1),
            }
        }
    }
}

/// The first range at or after `from` that does not end before `point`: doubling steps, then halving ones.
fn gallop<T: Point>(ranges: &[(T, T)], from: usize, point: T) -> usize {
    let mut step = 1;
    let mut low = from;
    while ranges.get(low + step - 1).is_some_and(|range| range.1 < point) {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(ranges.len());
    let low = low.min(high);
    low + ranges[low..high].partition_point(|range| range.1 < point)
}

impl<T: fmt::Debug> fmt::Debug for Ranges<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(set: u64) -> Ranges<u8> {
        Ranges::union_of((0..64).filter(|bit| set >> bit & 1 == 1).map(|bit| (bit, bit)).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sets_agree_with_bit_masks(a in any::<u64>(), b in any::<u64>(), sparse in any::<u64>(), point in 0u8..64) {
            for (a, b) in [(a, b), (a & sparse, b), (a & sparse & (sparse >> 7), b), (a | b, b)] {
                let (left, right) = (bits(a), bits(b));
                prop_assert_eq!(left.intersection(&right), bits(a & b));
                prop_assert_eq!(right.intersection(&left), bits(a & b));
                prop_assert_eq!(left.union(&right), bits(a | b));
                prop_assert_eq!(left.difference(&right), bits(a & !b));
                prop_assert_eq!(left.intersects(&right), a & b != 0);
                prop_assert_eq!(left.is_subset(&right), a & !b == 0);
                prop_assert_eq!(left.contains(point), a >> point & 1 == 1);
                prop_assert_eq!(left.size(), Some(u128::from(a.count_ones())));
            }
        }
    }

    #[test]
    fn the_ends_of_a_field_are_points_like_others() {
        let all = Ranges::<u16>::all();
        assert_eq!(all.size(), Some(65_536));
        assert_eq!(all.difference(&Ranges::single(u16::MAX)).as_slice(), &[(0, u16::MAX - 1)]);
        assert_eq!(all.difference(&Ranges::single(0)).as_slice(), &[(1, u16::MAX)]);
        assert!(Ranges::union_of(vec![(0, 7), (8, u16::MAX)]).is_all());
        assert_eq!(Ranges::<u128>::all().size(), None);
        assert!(all.difference(&all).is_empty());
    }
}
