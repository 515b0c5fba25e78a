//! What a flow has met so far: how the answers of layers combine, for single flows and for boxes of them alike.

use super::{Answer, Effect, RuleId, Stage};

/// A rule of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Found {
    /// Position of the layer on the way.
    pub layer: usize,
    pub rule: RuleId,
}

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    No,
    /// This rule leaves it open.
    Maybe(Found),
    Yes,
}

/// A flow on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Whether the platform lets it pass whatever the rules say.
    exempt: Certainty,
    /// Whether it passes the network security groups unseen.
    skips: Certainty,
    /// Whether it reaches the firewall.
    guarded: Certainty,
    /// The first rule that leaves open whether it passes.
    pub open: Option<Found>,
    /// The last rule that let it pass.
    pub last: Option<Found>,
}

/// Where a layer's answer leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    On,
    /// It passes, and meets nothing more.
    Passed,
    Denied(Found),
}

impl State {
    pub const START: Self =
        Self { exempt: Certainty::No, skips: Certainty::No, guarded: Certainty::No, open: None, last: None };

    /// Whether a layer is on the way.
    pub fn meets(&self, stage: &Stage) -> bool {
        match stage {
            Stage::NicNsg | Stage::SubnetNsg => self.skips != Certainty::Yes,
            Stage::Firewall => self.guarded != Certainty::No,
            Stage::Platform | Stage::Admin | Stage::Route | Stage::FarSubnet(_) => true,
        }
    }

    /// Takes the answer of a layer that is on the way.
    pub fn take(&mut self, stage: &Stage, layer: usize, answer: Answer) -> Step {
        let found = Found { layer, rule: answer.rule };
        let possible = answer.possible;
        let unaware = match stage {
            Stage::Platform if possible.is_only(Effect::Skip) => {
                self.last = Some(found);
                return Step::Passed;
            }
            Stage::Platform => {
                if possible.has(Effect::Skip) {
                    self.exempt = Certainty::Maybe(found);
                }
                return Step::On;
            }
            Stage::NicNsg | Stage::SubnetNsg => self.skips,
            Stage::Firewall => match self.guarded {
                Certainty::Maybe(_) => Certainty::Maybe(found),
                _ => Certainty::No,
            },
            Stage::Admin | Stage::Route | Stage::FarSubnet(_) => Certainty::No,
        };
        if possible.is_only(Effect::Deny) {
            return match (unaware, self.exempt) {
                (Certainty::Maybe(open), _) | (_, Certainty::Maybe(open)) => {
                    self.open.get_or_insert(open);
                    Step::On
                }
                _ => Step::Denied(found),
            };
        }
        if possible.has(Effect::Deny) || possible.has(Effect::Unknown) {
            self.open.get_or_insert(found);
        }
        if possible.is_only(Effect::Skip) {
            self.skips = Certainty::Yes;
            self.last = Some(found);
        } else if possible.has(Effect::Skip) {
            self.skips = Certainty::Maybe(found);
        }
        if possible.has(Effect::Firewall) {
            let elsewhere = possible.has(Effect::Allow) || possible.has(Effect::Unknown);
            self.guarded = if elsewhere { Certainty::Maybe(found) } else { Certainty::Yes };
        }
        if matches!(stage, Stage::NicNsg | Stage::SubnetNsg | Stage::Firewall) {
            self.last = Some(found);
        }
        Step::On
    }
}
