//! The space that packets live in: addresses of both families on one line, and sets known between two bounds.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::ranges::{Point, Ranges};

/// Where version 4 begins: version 4 addresses are points of `::ffff:0:0/96`, which no version 6 packet has.
pub(crate) const VERSION_4: u128 = 0xffff << 32;
const VERSION_4_LAST: u128 = VERSION_4 | 0xffff_ffff;

/// An address as a point.
pub(crate) fn point(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => VERSION_4 | u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of a point.
pub(crate) fn address(point: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(point)).to_canonical()
}

/// First and last point of a prefix.
fn ends(prefix: &IpNet) -> (u128, u128) {
    (point(prefix.network()), point(prefix.broadcast()))
}

/// All version 4 addresses.
pub(crate) fn version_4() -> Ranges<u128> {
    Ranges::range(VERSION_4, VERSION_4_LAST)
}

/// All version 6 addresses.
pub(crate) fn version_6() -> Ranges<u128> {
    Ranges::all().difference(&version_4())
}

/// The union of prefixes.
pub(crate) fn prefixes(prefixes: &[IpNet]) -> Ranges<u128> {
    let all = Ranges::union_of(prefixes.iter().map(ends).collect());
    // A short version 6 prefix covers the place of version 4, which it does not mean.
    let covers_both = prefixes.iter().any(|prefix| prefix.addr().is_ipv6() && prefix.prefix_len() < 96);
    if !covers_both || !all.intersects(&version_4()) {
        return all;
    }
    let old = prefixes.iter().filter(|prefix| prefix.addr().is_ipv4()).map(ends).collect();
    all.difference(&version_4()).union(&Ranges::union_of(old))
}

/// First to last address, of one family.
pub(crate) fn addresses(first: IpAddr, last: IpAddr) -> Ranges<u128> {
    Ranges::range(point(first), point(last))
}

/// A set that certainly holds `lo` and at most `hi`; `lo` is part of `hi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds<T> {
    pub lo: Ranges<T>,
    pub hi: Ranges<T>,
}

impl<T: Point> Bounds<T> {
    pub fn exact(set: Ranges<T>) -> Self {
        Self { lo: set.clone(), hi: set }
    }

    pub fn all() -> Self {
        Self::exact(Ranges::all())
    }

    pub fn empty() -> Self {
        Self::exact(Ranges::empty())
    }

    /// A set of which only the most is known.
    pub fn at_most(hi: Ranges<T>) -> Self {
        Self { lo: Ranges::empty(), hi }
    }

    pub fn is_exact(&self) -> bool {
        self.lo.is_same(&self.hi) || self.lo == self.hi
    }

    pub fn union(&self, other: &Self) -> Self {
        if self.is_exact() && other.is_exact() {
            return Self::exact(self.hi.union(&other.hi));
        }
        Self { lo: self.lo.union(&other.lo), hi: self.hi.union(&other.hi) }
    }

    pub fn intersection(&self, set: &Ranges<T>) -> Self {
        if self.is_exact() {
            return Self::exact(self.hi.intersection(set));
        }
        Self { lo: self.lo.intersection(set), hi: self.hi.intersection(set) }
    }
}
