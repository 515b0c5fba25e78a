//! Three-valued matching, and the one walk over rules that every layer shares.

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

    pub(crate) fn any(matches: impl Iterator<Item = Self>) -> Self {
        matches.max().unwrap_or(Self::No)
    }

    pub(crate) fn all<const N: usize>(matches: [Self; N]) -> Self {
        matches.into_iter().min().unwrap_or(Self::Yes)
    }
}

/// A rule as the walk sees it.
pub(crate) struct Candidate<'a> {
    pub matches: Match,
    pub access: Access,
    pub layer: Layer,
    pub rule: &'a str,
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

/// The first rule that matches for certain ends the walk; `last` stands for what happens when none does.
///
/// A rule before it that only may match leaves the answer open when its access differs.
pub(crate) fn first_match<'a>(
    resource: &'a str,
    candidates: impl Iterator<Item = Candidate<'a>>,
    last: Candidate<'a>,
) -> Ruling<'a> {
    let (mut first_allow, mut first_deny) = (None, None);
    let mut end = last;
    for candidate in candidates {
        match candidate.matches {
            Match::No => {}
            Match::Yes => {
                end = candidate;
                break;
            }
            Match::Maybe => {
                let first = match candidate.access {
                    Access::Allow => &mut first_allow,
                    Access::Deny => &mut first_deny,
                };
                first.get_or_insert(candidate);
            }
        }
    }
    let (verdict, opposed) = match end.access {
        Access::Allow => (Verdict::Allowed, first_deny),
        Access::Deny => (Verdict::Denied, first_allow),
    };
    match opposed {
        None => Ruling { verdict, layer: end.layer, resource, rule: end.rule },
        Some(open) => Ruling { verdict: Verdict::Undecided, layer: open.layer, resource, rule: open.rule },
    }
}
