//! The walk of whole regions through the layers: what single flows do in [`crate::CompiledPolicy::decide`], boxes of
//! flows do here.
//!
//! Each rule splits what it matches off the boxes that no earlier rule decided. First match is not monotone, so what is
//! only known between bounds is bounded here, rule by rule: what a rule may match stays, with a note of what the rule
//! could have decided.

use crate::normal::{Answer, Doubts, Found, Layer, NO_RULE, State, Step};

use super::cube::{Cube, Region, Slice};

/// Packets that meet the same rules.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub cube: Cube,
    pub state: State,
    /// Who decided in each layer on the way.
    pub trail: Vec<Found>,
    pub end: End,
}

/// How a piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Allowed,
    /// Exempt from all rules.
    Exempt,
    Denied(Found),
    Open(Found),
}

/// The rules are too entangled for boxes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooMany;

/// How often a proof may look at a box.
pub(crate) struct Budget(pub usize);

impl Budget {
    fn spend(&mut self, boxes: usize) -> Result<(), TooMany> {
        self.0 = self.0.checked_sub(boxes).ok_or(TooMany)?;
        Ok(())
    }
}

/// The terms of a layer that matter within a region, up to the first that decides all of it.
pub(crate) fn slices(region: &Region, layer: &Layer) -> Vec<Slice> {
    let mut slices = Vec::new();
    for term in &layer.terms {
        let Some(slice) = region.slice(term) else { continue };
        let last = slice.exact && slice.hi.contains(&region.cube);
        slices.push(slice);
        if last {
            break;
        }
    }
    slices
}

/// Where every packet of a region ends. The pieces are disjoint and make up the region.
pub(crate) fn walk(region: &Region, layers: &[Layer], budget: &mut Budget) -> Result<Vec<Piece>, TooMany> {
    let start =
        Piece { cube: region.cube.clone(), state: State::START, trail: Vec::new(), end: End::Allowed };
    let (mut going, mut ended) = (vec![start], Vec::new());
    for (index, layer) in layers.iter().enumerate() {
        let (met, mut next): (Vec<_>, Vec<_>) =
            going.into_iter().partition(|piece| piece.state.meets(&layer.stage));
        if !met.is_empty() {
            let slices = slices(region, layer);
            for piece in met {
                for (cube, answer) in ask(layer, &slices, piece.cube, budget)? {
                    let mut state = piece.state;
                    let mut trail = piece.trail.clone();
                    trail.push(Found { layer: index, rule: answer.rule });
                    match state.take(&layer.stage, index, answer) {
                        Step::On => next.push(Piece { cube, state, trail, end: End::Allowed }),
                        Step::Passed => ended.push(Piece { cube, state, trail, end: End::Exempt }),
                        Step::Denied(found) => {
                            ended.push(Piece { cube, state, trail, end: End::Denied(found) });
                        }
                    }
                }
            }
        }
        going = next;
    }
    for piece in &mut going {
        piece.end = piece.state.open.map_or(End::Allowed, End::Open);
    }
    ended.extend(going);
    Ok(ended)
}

/// The layer's answers to the packets of a cube.
fn ask(
    layer: &Layer,
    slices: &[Slice],
    cube: Cube,
    budget: &mut Budget,
) -> Result<Vec<(Cube, Answer)>, TooMany> {
    let mut answers = Vec::new();
    let mut undecided = vec![(cube, Doubts::NONE)];
    for slice in slices {
        if undecided.is_empty() {
            break;
        }
        budget.spend(undecided.len())?;
        let mut left = Vec::with_capacity(undecided.len());
        for (cube, doubts) in undecided {
            let Some(matched) = cube.intersection(&slice.hi) else {
                left.push((cube, doubts));
                continue;
            };
            cube.without(&matched, |rest| left.push((rest, doubts)));
            let mut doubtful = doubts;
            doubtful.add(slice.effect, slice.rule);
            let certain = match &slice.lo {
                Some(_) if slice.exact => Some(matched.clone()),
                Some(lo) => matched.intersection(lo),
                None => None,
            };
            match certain {
                None => left.push((matched, doubtful)),
                Some(certain) => {
                    matched.without(&certain, |rest| left.push((rest, doubtful)));
                    answers.push((certain, doubts.settled(slice.effect, slice.rule)));
                }
            }
        }
        undecided = left;
    }
    for (cube, doubts) in undecided {
        answers.push((cube, doubts.settled(layer.otherwise, NO_RULE)));
    }
    budget.spend(answers.len())?;
    Ok(answers)
}
