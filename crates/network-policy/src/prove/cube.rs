//! Products of sets, one for each field of a packet.

use crate::normal::Term;
use crate::ranges::Ranges;

/// All packets whose every field is in its set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cube {
    pub ports: Ranges<u16>,
    pub protocol: Ranges<u8>,
    pub destination: Ranges<u128>,
    pub source: Ranges<u128>,
    pub source_ports: Ranges<u16>,
    pub speech: Ranges<u32>,
}

impl Cube {
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
            || self.protocol.is_empty()
            || self.destination.is_empty()
            || self.source.is_empty()
            || self.source_ports.is_empty()
            || self.speech.is_empty()
    }

    /// What both hold; `None` when that is nothing.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let apart = !self.ports.intersects(&other.ports)
            || !self.protocol.intersects(&other.protocol)
            || !self.destination.intersects(&other.destination)
            || !self.source.intersects(&other.source)
            || !self.source_ports.intersects(&other.source_ports)
            || !self.speech.intersects(&other.speech);
        if apart {
            return None;
        }
        Some(Self {
            ports: self.ports.intersection(&other.ports),
            protocol: self.protocol.intersection(&other.protocol),
            destination: self.destination.intersection(&other.destination),
            source: self.source.intersection(&other.source),
            source_ports: self.source_ports.intersection(&other.source_ports),
            speech: self.speech.intersection(&other.speech),
        })
    }

    /// What is left without `part`, which lies within: at most one cube for each field, disjoint.
    pub fn without(&self, part: &Self, mut visit: impl FnMut(Self)) {
        let mut rest = self.clone();
        macro_rules! split {
            ($($field:ident),*) => {$(
                let left = rest.$field.difference(&part.$field);
                if !left.is_empty() {
                    visit(Self { $field: left, ..rest.clone() });
                    rest.$field = part.$field.clone();
                }
            )*};
        }
        split!(ports, protocol, destination, source, source_ports, speech);
    }

    pub fn contains(&self, other: &Self) -> bool {
        other.ports.is_subset(&self.ports)
            && other.protocol.is_subset(&self.protocol)
            && other.destination.is_subset(&self.destination)
            && other.source.is_subset(&self.source)
            && other.source_ports.is_subset(&self.source_ports)
            && other.speech.is_subset(&self.speech)
    }

    /// Number of packets; `None` when it does not fit.
    pub fn volume(&self) -> Option<u128> {
        let sizes = [
            self.ports.size(),
            self.protocol.size(),
            self.destination.size(),
            self.source.size(),
            self.source_ports.size(),
            self.speech.size(),
        ];
        sizes.into_iter().try_fold(1u128, |product, size| product.checked_mul(size?))
    }
}

/// The part of a term that matters within a region: what it certainly matches, and what it may match.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    pub rule: crate::normal::RuleId,
    pub effect: crate::normal::Effect,
    /// `None` when nothing is certain; the same as `hi` when all is.
    pub lo: Option<Cube>,
    pub hi: Cube,
    pub exact: bool,
}

/// A region of packets in question, and what is known of them beside their fields.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub cube: Cube,
    /// The tag that every source is in, though not all its addresses may be known.
    pub source_tag: Option<crate::ServiceTag>,
    /// The same of destinations.
    pub destination_tag: Option<crate::ServiceTag>,
    /// The part of the region that certainly is in both tags.
    pub certain: Cube,
    /// The part that people mean: all public space outside of the network is the Internet to them, whether Azure counts
    /// it as such or not.
    pub meant: Cube,
    /// Whether the destinations are those of host names: which of them a name has is not known.
    pub named: bool,
}

impl Region {
    /// What is left of a term; `None` when it cannot match here.
    pub fn slice(&self, term: &Term) -> Option<Slice> {
        let cube = &self.cube;
        let ports = term.ports.intersection(&cube.ports);
        let source_ports = term.source_ports.intersection(&cube.source_ports);
        let protocol = term.protocol.intersection(&cube.protocol);
        if ports.is_empty() || source_ports.is_empty() || protocol.hi.is_empty() {
            return None;
        }
        let within = |place: &crate::normal::Place, tag: &Option<crate::ServiceTag>, set: &Ranges<u128>| {
            let hypothesis = tag.as_ref().is_some_and(|tag| place.tags.iter().any(|own| own.same(tag)));
            if hypothesis { crate::space::Bounds::exact(set.clone()) } else { place.bounds.intersection(set) }
        };
        let destination = within(&term.destination, &self.destination_tag, &cube.destination);
        if destination.hi.is_empty() {
            return None;
        }
        let source = within(&term.source, &self.source_tag, &cube.source);
        let speech = term.speech.intersection(&cube.speech);
        if source.hi.is_empty() || speech.hi.is_empty() {
            return None;
        }
        let exact = protocol.is_exact() && destination.is_exact() && source.is_exact() && speech.is_exact();
        let hi = Cube {
            ports,
            source_ports,
            protocol: protocol.hi,
            destination: destination.hi,
            source: source.hi,
            speech: speech.hi,
        };
        let lo = if exact {
            Some(hi.clone())
        } else {
            let lo = Cube {
                protocol: protocol.lo,
                destination: destination.lo,
                source: source.lo,
                speech: speech.lo,
                ..hi.clone()
            };
            Some(lo).filter(|lo| !lo.is_empty())
        };
        Some(Slice { rule: term.rule, effect: term.effect, lo, hi, exact })
    }
}
