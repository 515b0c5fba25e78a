//! Three-valued matching, and decisions that borrow from the policy.

use crate::flow::{Decision, Layer, Verdict};

/// What a rule does with the flows it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Lets them pass this layer.
    Allow,
    /// Refuses them.
    Deny,
}

/// Whether a rule matches a flow. The order makes `min` the conjunction and `max` the disjunction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    No,
    Maybe,
    Yes,
}

impl Match {
    pub(crate) fn from_bool(matches: bool) -> Self {
        if matches { Self::Yes } else { Self::No }
    }
}

/// A decision that still borrows from the policy, so that nothing is allocated before it is handed out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ruling<'a> {
    pub verdict: Verdict,
    pub layer: Layer,
    pub resource: &'a str,
    pub rule: &'a str,
}

impl Ruling<'_> {
    pub(crate) fn to_decision(self) -> Decision {
        Decision {
            verdict: self.verdict,
            layer: self.layer,
            resource: self.resource.to_owned(),
            rule: self.rule.to_owned(),
        }
    }
}

/// Sorts a list that is a union and drops repetitions, so that equal meaning has one text.
pub(crate) fn unique<T: Ord>(union: &mut Vec<T>) {
    union.sort_unstable();
    union.dedup();
}
