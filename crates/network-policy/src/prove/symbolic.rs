//! The same question answered by decision diagrams, for rules that boxes cannot disentangle.
//!
//! For every layer, the packets that a rule of each effect may decide; from them, the packets that may pass and those
//! that may be stopped. A packet that cannot pass is denied, one that cannot be stopped is allowed, and one that is both
//! is open.

use std::collections::HashMap;

use crate::compiled::CompiledPolicy;
use crate::contract::Contract;
use crate::matching::Access;
use crate::normal::{Effect, Layer, Stage};
use crate::ranges::{Point, Ranges};
use crate::space;

use super::bdd::{ALL, Bdd, Bits, NONE, Set};
use super::classes::{Class, classes};
use super::cube::{Cube, Region, Slice};
use super::first::{Rule, first_match};
use super::walk::{self, Budget, End};
use super::witness::wishes;
use super::{Finding, Part};

/// Packets of a region by how they end.
pub(super) struct Ends {
    pub allowed: Set,
    pub denied: Set,
    pub open: Set,
    pub exempt: Set,
}

/// A region's packets as bit vectors.
pub(super) struct Diagrams {
    pub bdd: Bdd,
    fields: [Bits; 6],
    region: Set,
    /// The region itself.
    cube: Cube,
}

/// How many rules are joined before it is asked whether anything is left to decide.
const STRETCH: usize = 16;

/// The packets that rules of an effect may decide, for each effect.
type Possible = [Set; Effect::COUNT];

impl Diagrams {
    pub fn new(cube: &Cube) -> Self {
        let mut next = 0;
        let mut bits = |count: u32, base: u128| {
            let bits = Bits { first: next, count, base };
            next += count;
            bits
        };
        let old = space::version_4();
        let address =
            |set: &Ranges<u128>| if set.is_subset(&old) { (32, space::VERSION_4) } else { (128, 0) };
        let last = cube.speech.as_slice().last().map_or(0, |range| range.1);
        let (destination, source) = (address(&cube.destination), address(&cube.source));
        let fields = [
            bits(8, 0),
            bits(16, 0),
            bits(destination.0, destination.1),
            bits(source.0, source.1),
            bits(16, 0),
            bits(32 - last.leading_zeros(), 0),
        ];
        let mut diagrams = Self { bdd: Bdd::new(next), fields, region: ALL, cube: cube.clone() };
        diagrams.region = diagrams.cube(cube);
        diagrams
    }

    pub fn cube(&mut self, cube: &Cube) -> Set {
        let [protocol, ports, destination, source, source_ports, speech] = self.fields;
        let mut set = self.bdd.field(speech, &cube.speech, ALL);
        set = self.bdd.field(source_ports, &cube.source_ports, set);
        set = self.bdd.field(source, &cube.source, set);
        set = self.bdd.field(destination, &cube.destination, set);
        set = self.bdd.field(ports, &cube.ports, set);
        self.bdd.field(protocol, &cube.protocol, set)
    }

    /// The cube of one packet.
    fn packet(&self, vector: &[bool]) -> Cube {
        let number = |bits: Bits| {
            let own = &vector[bits.first as usize..(bits.first + bits.count) as usize];
            own.iter().fold(0u128, |number, bit| number << 1 | u128::from(*bit)) + bits.base
        };
        let [protocol, ports, destination, source, source_ports, speech] = self.fields.map(number);
        Cube {
            protocol: narrow(protocol, u8::try_from),
            ports: narrow(ports, u16::try_from),
            destination: Ranges::single(destination),
            source: Ranges::single(source),
            source_ports: narrow(source_ports, u16::try_from),
            speech: narrow(speech, u32::try_from),
        }
    }

    /// The packets that rules of each effect may decide.
    fn possible(&mut self, slices: &[Slice], otherwise: Effect) -> Possible {
        // Where nothing is in doubt, what happens otherwise is what no other effect decides.
        let derived = slices.iter().all(|slice| slice.exact).then_some(otherwise);
        let mut possible = match classes(&self.cube, slices) {
            Some(classes) => self.by_class(slices, &classes, otherwise, derived.is_some()),
            None => self.by_stretch(slices, otherwise, derived),
        };
        if derived.is_some() {
            let decided = possible.into_iter().fold(NONE, |all, set| self.bdd.or(all, set));
            possible[otherwise as usize] = self.bdd.choose(decided, NONE, self.region);
        }
        possible
    }

    fn by_stretch(&mut self, slices: &[Slice], otherwise: Effect, derived: Option<Effect>) -> Possible {
        let (mut possible, mut left) = ([NONE; Effect::COUNT], self.region);
        for stretch in slices.chunks(STRETCH) {
            let (later, left_later) = self.stretch(stretch, derived);
            for (set, later) in possible.iter_mut().zip(later) {
                let reached = self.bdd.and(left, later);
                *set = self.bdd.or(*set, reached);
            }
            left = self.bdd.and(left, left_later);
            if left == NONE {
                break;
            }
        }
        if derived.is_none() {
            possible[otherwise as usize] = self.bdd.or(possible[otherwise as usize], left);
        }
        possible
    }

    /// The same, class by class: within one, rules differ in their addresses only. Classes that the same rules match are
    /// one question.
    fn by_class(
        &mut self,
        slices: &[Slice],
        classes: &[Class],
        otherwise: Effect,
        derived: bool,
    ) -> Possible {
        let [_, _, destination, source, ..] = self.fields;
        let numbers = |cube: &Cube| Numbers {
            source: source.numbers(&cube.source),
            destination: destination.numbers(&cube.destination),
        };
        let may: Vec<_> = slices.iter().map(|slice| numbers(&slice.hi)).collect();
        let certain = slices.iter().map(|slice| slice.lo.as_ref().filter(|_| !slice.exact).map(numbers));
        let certain: Vec<_> = certain.collect();
        let (mut possible, mut known) = ([NONE; Effect::COUNT], HashMap::new());
        for class in classes {
            let sets = *known.entry((&class.may, &class.certain)).or_insert_with(|| {
                Effect::EVERY.map(|effect| {
                    if derived && effect == otherwise {
                        return NONE;
                    }
                    let mut order = Order::default();
                    for (&index, &sure) in class.may.iter().zip(&class.certain) {
                        let wanted = slices[index].effect == effect;
                        // What a rule may match it decides, unless an earlier one certainly matches.
                        if wanted || slices[index].exact {
                            order.push(&may[index], wanted);
                        }
                        if let Some(certain) = certain[index].as_ref().filter(|_| sure) {
                            order.push(certain, false);
                        }
                    }
                    order.first_match(&mut self.bdd, destination, source, effect == otherwise)
                })
            });
            let here = self.cube(&class.cube);
            for (possible, set) in possible.iter_mut().zip(sets) {
                let set = self.bdd.and(here, set);
                *possible = self.bdd.or(*possible, set);
            }
        }
        possible
    }

    /// The packets that a stretch of rules may decide, and those that may be left to later rules. Halves are joined, so
    /// that most diagrams stay small.
    fn stretch(&mut self, slices: &[Slice], derived: Option<Effect>) -> (Possible, Set) {
        let mut possible = [NONE; Effect::COUNT];
        let slice = match slices {
            [] => return (possible, ALL),
            [slice] => slice,
            _ => {
                let (first, second) = slices.split_at(slices.len() / 2);
                let (mut possible, left) = self.stretch(first, derived);
                let (later, left_later) = self.stretch(second, derived);
                for (set, later) in possible.iter_mut().zip(later) {
                    let reached = self.bdd.and(left, later);
                    *set = self.bdd.or(*set, reached);
                }
                return (possible, self.bdd.and(left, left_later));
            }
        };
        let hi = self.cube(&slice.hi);
        let lo = match &slice.lo {
            _ if slice.exact => hi,
            Some(lo) => self.cube(lo),
            None => NONE,
        };
        if derived != Some(slice.effect) {
            possible[slice.effect as usize] = hi;
        }
        (possible, self.bdd.not(lo))
    }

    /// How the packets of a region end.
    pub fn ends(&mut self, region: &Region, layers: &[Layer]) -> Ends {
        let (mut passes, mut stops, mut exempt, mut maybe_exempt) = (ALL, NONE, NONE, NONE);
        // Whether the network security groups are asked, and whether they may be passed unseen.
        let (mut asked, mut skips) = (ALL, NONE);
        let (mut group_passes, mut group_stops) = (ALL, NONE);
        let (mut route, mut firewall) = (None, None);
        for layer in layers {
            let slices = walk::slices(region, layer);
            let possible = self.possible(&slices, layer.otherwise);
            let may = |effect: Effect| possible[effect as usize];
            let (allow, deny) = (may(Effect::Allow), may(Effect::Deny));
            let bdd = &mut self.bdd;
            match layer.stage {
                Stage::Platform => {
                    maybe_exempt = may(Effect::Skip);
                    let not = bdd.not(allow);
                    exempt = bdd.and(maybe_exempt, not);
                }
                Stage::Admin => {
                    (asked, skips) = (allow, may(Effect::Skip));
                    stops = bdd.or(stops, deny);
                }
                Stage::NicNsg | Stage::SubnetNsg => {
                    group_passes = bdd.and(group_passes, allow);
                    group_stops = bdd.or(group_stops, deny);
                }
                Stage::Route => route = Some(possible),
                Stage::Firewall => firewall = Some((allow, deny)),
                Stage::FarSubnet(_) => {
                    passes = bdd.and(passes, allow);
                    stops = bdd.or(stops, deny);
                }
            }
        }
        let bdd = &mut self.bdd;
        let through = bdd.and(asked, group_passes);
        let through = bdd.or(skips, through);
        passes = bdd.and(passes, through);
        let stopped = bdd.and(asked, group_stops);
        stops = bdd.or(stops, stopped);
        if let Some(possible) = route {
            let may = |effect: Effect| possible[effect as usize];
            let (opens, closes) = firewall.unwrap_or((ALL, NONE));
            let through = bdd.and(may(Effect::Firewall), opens);
            let through = bdd.or(through, may(Effect::Allow));
            let through = bdd.or(through, may(Effect::Unknown));
            passes = bdd.and(passes, through);
            let stopped = bdd.and(may(Effect::Firewall), closes);
            let stopped = bdd.or(stopped, may(Effect::Deny));
            let stopped = bdd.or(stopped, may(Effect::Unknown));
            stops = bdd.or(stops, stopped);
        }
        passes = bdd.or(passes, maybe_exempt);
        let unstopped = bdd.not(stops);
        let ruled = bdd.not(exempt);
        let here = bdd.and(self.region, ruled);
        let allowed = bdd.and(here, unstopped);
        let denied = bdd.choose(passes, NONE, here);
        let open = bdd.and(here, passes);
        let open = bdd.and(open, stops);
        let exempt = bdd.and(self.region, exempt);
        Ends { allowed, denied, open, exempt }
    }

    /// The packets of a set that the contract certainly describes: of those to a name, which address it has does not
    /// matter.
    fn certain(&mut self, set: Set, region: &Region) -> Set {
        if !region.named {
            let certain = self.cube(&region.certain);
            return self.bdd.and(set, certain);
        }
        let [_, _, destination, ..] = self.fields;
        let public = self.bdd.field(destination, &region.cube.destination, ALL);
        let elsewhere = self.bdd.not(public);
        let all = self.bdd.or(set, elsewhere);
        let all = self.bdd.whatever(destination, all);
        self.bdd.and(set, all)
    }

    /// A packet of a set that fulfils the first wish that any can fulfil.
    fn sample(&mut self, set: Set, wishes: &[Cube]) -> Option<Cube> {
        wishes.iter().find_map(|wish| {
            let wish = self.cube(wish);
            let granted = self.bdd.and(set, wish);
            (granted != NONE).then(|| self.packet(&self.bdd.pick(granted)))
        })
    }
}

fn narrow<T: Point, E>(number: u128, convert: fn(u128) -> Result<T, E>) -> Ranges<T> {
    Ranges::single(convert(number).unwrap_or(T::MAX))
}

/// The addresses of a rule.
struct Numbers {
    source: Vec<(u128, u128)>,
    destination: Vec<(u128, u128)>,
}

/// Rules in the order they are asked, and which of them are wanted to be first.
#[derive(Default)]
struct Order<'a> {
    rules: Vec<Rule<'a>>,
    wanted: Vec<bool>,
}

impl<'a> Order<'a> {
    fn push(&mut self, numbers: &'a Numbers, wanted: bool) {
        let rank = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        self.rules.push(Rule { rank, source: &numbers.source, destination: &numbers.destination });
        self.wanted.push(wanted);
    }

    /// The packets whose first rule is wanted; with `last`, also those that none matches.
    fn first_match(self, bdd: &mut Bdd, destination: Bits, source: Bits, last: bool) -> Set {
        if !last && !self.wanted.contains(&true) {
            return NONE;
        }
        // What no rule matches is told by what it is not.
        let wanted: Vec<_> = self.wanted.iter().map(|wanted| *wanted != last).collect();
        let set = first_match(bdd, destination, source, &self.rules, &wanted);
        if last { bdd.not(set) } else { set }
    }
}

/// What comes out of a region.
pub(super) fn find(policy: &CompiledPolicy, contract: &Contract, region: Region) -> Finding {
    let layers = policy.normal.layers(contract.direction);
    let mut diagrams = Diagrams::new(&region.cube);
    let ends = diagrams.ends(&region, layers);
    let broken = match contract.access {
        Access::Allow => ends.denied,
        Access::Deny => ends.allowed,
    };
    let wishes: Vec<_> =
        wishes(policy, contract).iter().filter_map(|wish| wish.intersection(&region.cube)).collect();
    let certain = diagrams.certain(broken, &region);
    let mut sample = |set: Set| {
        let cube = diagrams.sample(set, &wishes)?;
        let single = Region { cube, ..region.clone() };
        let ended = walk::walk(&single, layers, &mut Budget(usize::MAX)).unwrap_or_default();
        let found = ended.first().and_then(|piece| match piece.end {
            End::Denied(found) | End::Open(found) => Some(found),
            End::Allowed | End::Exempt => piece.state.last,
        });
        Some((single.cube, found))
    };
    let certain: Vec<_> = sample(certain).into_iter().collect();
    let some = if certain.is_empty() { sample(broken).into_iter().collect() } else { certain.clone() };
    let maybe: Vec<_> = sample(ends.open).into_iter().collect();
    let part =
        |cubes, set: Set| Part { cubes, volume: diagrams.bdd.count(set), whole: false, empty: set == NONE };
    let (broken, open) = (part(some, broken), part(maybe, ends.open));
    let exempt = diagrams.bdd.count(ends.exempt);
    Finding { region, broken, certain, open, exempt, pieces: None }
}
