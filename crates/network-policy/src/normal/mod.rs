//! The normal form of a policy, from which everything is answered: layers of rules, each rule a few products of
//! sets, each set known exactly or between two bounds.
//!
//! A layer is asked like every list of rules in Azure: the first rule that matches decides. Where a rule only may match,
//! the walk goes on, remembering what it could have decided. Terms are walked point by point here, and box by box in
//! `prove`.

mod compile;
mod gate;
mod names;
mod place;
mod routes;
mod state;

use crate::matching::Match;
use crate::ranges::Ranges;
use crate::space::Bounds;

use gate::Gate;

pub(crate) use compile::{Normal, TCP, UDP, documented_protocols, protocol_number, with_ports};
pub(crate) use place::{Place, Side};
pub(crate) use routes::ASSUMED;
pub(crate) use state::{Found, State, Step};

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Goes on to the next layer.
    Allow,
    Deny,
    /// Passes the network security groups unseen.
    Skip,
    /// Goes on to the firewall.
    Firewall,
    /// Leads where nothing is known.
    Unknown,
}

impl Effect {
    pub const COUNT: usize = 5;
    pub const EVERY: [Self; Self::COUNT] =
        [Self::Allow, Self::Deny, Self::Skip, Self::Firewall, Self::Unknown];
}

/// A set of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Effects(u8);

impl Effects {
    pub fn only(effect: Effect) -> Self {
        Self(1 << effect as u8)
    }

    pub fn with(self, effect: Effect) -> Self {
        Self(self.0 | 1 << effect as u8)
    }

    pub fn has(self, effect: Effect) -> bool {
        self.0 >> effect as u8 & 1 == 1
    }

    pub fn is_only(self, effect: Effect) -> bool {
        self == Self::only(effect)
    }
}

/// What Azure exempts from rules, in the order of the platform's terms.
pub(crate) const EXEMPT: [&str; 4] = [
    "Azure's DNS is exempt",
    "DHCP is exempt",
    "the wire server is exempt",
    "the metadata service is exempt",
];

/// A rule of a layer, by its position; [`NO_RULE`] stands behind all others.
pub(crate) type RuleId = u32;
pub(crate) const NO_RULE: RuleId = RuleId::MAX;

/// What rules that only may match could have decided: the first rule of each effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubts([RuleId; Effect::COUNT]);

impl Doubts {
    pub const NONE: Self = Self([NO_RULE; Effect::COUNT]);

    pub fn add(&mut self, effect: Effect, rule: RuleId) {
        let first = &mut self.0[effect as usize];
        *first = rule.min(*first);
    }

    /// The answer when `rule` matches for certain.
    pub fn settled(self, effect: Effect, rule: RuleId) -> Answer {
        let mut possible = Effects::only(effect);
        let mut doubt = NO_RULE;
        for other in Effect::EVERY {
            let first = self.0[other as usize];
            if first != NO_RULE && other != effect {
                possible = possible.with(other);
                doubt = doubt.min(first);
            }
        }
        Answer { possible, rule: if doubt == NO_RULE { rule } else { doubt } }
    }
}

/// What a layer may do, and the rule that decides, or that leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub possible: Effects,
    pub rule: RuleId,
}

/// Where a layer's rules come from, and when it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// What Azure exempts from every rule.
    Platform,
    Admin,
    NicNsg,
    SubnetNsg,
    Route,
    Firewall,
    /// The NSG of the subnet at the other end of the flow, by its position.
    FarSubnet(usize),
}

/// One layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub stage: Stage,
    /// In the order they are asked.
    pub terms: Vec<Term>,
    gate: Gate,
    /// What happens when no rule matches.
    pub otherwise: Effect,
}

/// A product of sets. A rule is one or more of them, next to each other.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub rule: RuleId,
    pub effect: Effect,
    pub protocol: Bounds<u8>,
    pub source_ports: Ranges<u16>,
    pub ports: Ranges<u16>,
    pub source: Place,
    pub destination: Place,
    pub speech: Bounds<u32>,
}

/// One end of one flow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    /// An address.
    At(u128),
    /// Some address of the Internet or, when it is known, of a service tag.
    Public(Option<&'a str>),
    /// An address of the virtual network, wherever that is.
    Home(u128),
    /// Some address of the virtual network.
    Local,
}

/// One flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub protocol: u8,
    pub source_port: u16,
    pub port: u16,
    pub source: End<'a>,
    pub destination: End<'a>,
    pub speech: u32,
}

impl Layer {
    pub fn new(stage: Stage, terms: Vec<Term>, otherwise: Effect) -> Self {
        Self { gate: Gate::new(&terms), stage, terms, otherwise }
    }

    /// Whether the layer has nothing to do with flows that no more than this rule decides: what is not exempt has not
    /// met the platform, and what another subnet is no end of has not met its group.
    pub fn is_beside(&self, rule: RuleId) -> bool {
        rule == NO_RULE && matches!(self.stage, Stage::Platform | Stage::FarSubnet(_))
    }

    /// What the layer does with one flow.
    pub fn ask(&self, query: &Query<'_>) -> Answer {
        let mut doubts = Doubts::NONE;
        for term in self.gate.open(query).map(|position| &self.terms[position]) {
            match term.matches(query) {
                Match::No => {}
                Match::Yes => return doubts.settled(term.effect, term.rule),
                Match::Maybe => doubts.add(term.effect, term.rule),
            }
        }
        doubts.settled(self.otherwise, NO_RULE)
    }
}

impl Term {
    fn matches(&self, query: &Query<'_>) -> Match {
        if !self.ports.contains(query.port) || !self.source_ports.contains(query.source_port) {
            return Match::No;
        }
        let protocol = within(&self.protocol, query.protocol).min(within(&self.speech, query.speech));
        if protocol == Match::No {
            return Match::No;
        }
        match self.destination.holds(query.destination).min(protocol) {
            Match::No => Match::No,
            matches => matches.min(self.source.holds(query.source)),
        }
    }
}

pub(crate) fn within<T: crate::ranges::Point>(bounds: &Bounds<T>, point: T) -> Match {
    if bounds.lo.contains(point) {
        Match::Yes
    } else if !bounds.lo.is_same(&bounds.hi) && bounds.hi.contains(point) {
        Match::Maybe
    } else {
        Match::No
    }
}
