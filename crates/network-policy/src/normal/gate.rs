//! What most rules fail, told without a look at them: a compact copy of the fields in which rules differ most.

use std::collections::HashMap;

use crate::ranges::Ranges;
use crate::space;

use super::{End, Query, Term};

/// Lets the terms of a layer pass that a flow may match. The copy is close together and holds version 4 only.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    hulls: Vec<Hull>,
    /// Version 4 addresses of all terms, first to last.
    spans: Vec<(u32, u32)>,
}

/// The smallest spans that hold a term's ports and protocols, and where its addresses are among those of the gate.
#[derive(Clone, Copy, Debug)]
struct Hull {
    ports: (u16, u16),
    source_ports: (u16, u16),
    protocols: (u8, u8),
    source: (u32, u32),
    destination: (u32, u32),
}

impl Gate {
    pub fn new(terms: &[Term]) -> Self {
        let (mut spans, mut known) = (Vec::new(), HashMap::new());
        let mut place = |set: &Ranges<u128>| {
            *known.entry(set.as_slice().as_ptr()).or_insert_with(|| {
                let start = index(spans.len());
                spans.extend(old(set));
                (start, index(spans.len()))
            })
        };
        let hulls = terms.iter().map(|term| Hull {
            ports: term.ports.hull(),
            source_ports: term.source_ports.hull(),
            protocols: term.protocol.hi.hull(),
            source: place(&term.source.bounds.hi),
            destination: place(&term.destination.bounds.hi),
        });
        Self { hulls: hulls.collect(), spans }
    }

    /// Positions of the terms that are left.
    pub fn open(&self, query: &Query<'_>) -> impl Iterator<Item = usize> {
        let (source, destination) = (old_point(query.source), old_point(query.destination));
        let (port, source_port, protocol) = (query.port, query.source_port, query.protocol);
        let open = move |hull: &Hull| {
            within(hull.ports, port)
                && within(hull.source_ports, source_port)
                && within(hull.protocols, protocol)
                && self.holds(hull.destination, destination)
                && self.holds(hull.source, source)
        };
        self.hulls.iter().enumerate().filter(move |(_, hull)| open(hull)).map(|(position, _)| position)
    }

    /// Whether addresses may hold a point; only version 4 can be told.
    fn holds(&self, (start, end): (u32, u32), point: Option<u32>) -> bool {
        let Some(point) = point else { return true };
        let spans = &self.spans[start as usize..end as usize];
        if spans.len() <= 8 {
            return spans.iter().fold(false, |held, span| held | within(*span, point));
        }
        spans.get(spans.partition_point(|span| span.1 < point)).is_some_and(|span| within(*span, point))
    }
}

fn within<T: Ord + Copy>((first, last): (T, T), point: T) -> bool {
    first <= point && point <= last
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The version 4 part of a set.
fn old(set: &Ranges<u128>) -> Vec<(u32, u32)> {
    let old = set.intersection(&space::version_4());
    old.as_slice().iter().map(|(first, last)| (low(*first), low(*last))).collect()
}

fn old_point(end: End<'_>) -> Option<u32> {
    match end {
        End::At(point) if point >> 32 == space::VERSION_4 >> 32 => Some(low(point)),
        _ => None,
    }
}

/// The version 4 address of a point.
fn low(point: u128) -> u32 {
    u32::try_from(point & u128::from(u32::MAX)).unwrap_or(u32::MAX)
}
