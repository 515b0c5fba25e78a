//! A requirement as a registered value.

use network_policy::{Contract, Direction, Proof, ProofVerdict};

use crate::finding::{Asked, Evidence, Finding, Outcome, Repair};
use crate::repair::Change;
use crate::requirements::firewall::reach;
use crate::{Hop, Os, Site, Status, Subject, Topology};

/// Something that a build needs.
#[derive(Debug)]
pub struct Requirement {
    /// `area.detail[.more]`; stable.
    pub id: &'static str,
    /// What is required, in a few words.
    pub title: &'static str,
    /// The shapes it applies to.
    pub topologies: &'static [Topology],
    /// The systems it applies to.
    pub systems: &'static [Os],
    /// What comes of not meeting it.
    pub severity: Severity,
    /// The page it comes from.
    pub source: &'static str,
    /// What is taken for granted by whoever believes in it: facts that nobody documents.
    pub assumption: Option<&'static str>,
    /// The hop of the build's path that it is about, where it is about one.
    pub hop: Option<Hop>,
    /// How it is checked.
    pub check: Check,
}

/// What comes of not meeting a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The build fails.
    Required,
    /// The build may succeed; worth a warning.
    Advised,
}

/// How a requirement is checked.
#[derive(Debug)]
pub enum Check {
    /// A flow that admin rules and network security groups must let through.
    Flow(FlowSpec),
    /// Endpoints (`host:port`, the host may be a pattern) that a firewall must let a subnet reach.
    Reach(Place, &'static [&'static str]),
    /// What the image's steps fetch ([`Subject::endpoints`]), which must be let through.
    Steps(fn(&Subject<'_>) -> Result<Outcome, Outcome>),
    /// Anything else.
    Ask(fn(&Subject<'_>) -> Result<Outcome, Outcome>),
}

/// A flow from one place to another, TCP.
#[derive(Debug)]
pub struct FlowSpec {
    /// Whose rules are asked.
    pub at: Place,
    /// Seen from there.
    pub direction: Direction,
    /// Where it comes from.
    pub from: Party,
    /// Where it goes.
    pub to: Party,
    /// Destination port.
    pub port: u16,
    /// Service tags that together may be enough where the whole Internet is not allowed.
    pub narrower: &'static [&'static str],
}

/// A subnet that a build has a part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The build VM's.
    Build,
    /// The container instance's.
    Container,
}

/// An end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A subnet of the build.
    Subnet(Place),
    /// A service tag.
    Tag(&'static str),
}

impl Requirement {
    /// Whether it is one of builds of this shape and system.
    pub fn applies(&self, topology: Topology, os: Os) -> bool {
        self.topologies.contains(&topology) && self.systems.contains(&os)
    }

    /// What comes before the first dot of the id.
    pub fn area(&self) -> &'static str {
        self.id.split('.').next().unwrap_or_default()
    }

    /// Asks it.
    pub(crate) fn ask(&'static self, subject: &Subject<'_>) -> Finding {
        let outcome = match &self.check {
            Check::Flow(flow) => flow.ask(subject),
            Check::Reach(place, endpoints) => reach(subject, *place, endpoints),
            Check::Steps(ask) | Check::Ask(ask) => ask(subject),
        };
        let outcome = outcome.unwrap_or_else(|why| why);
        Finding { requirement: self, outcome: self.unless_elsewhere(subject, outcome) }
    }

    /// What no document grants may be granted in a template that is elsewhere.
    fn unless_elsewhere(&self, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
        let link = subject.network.as_ref().and_then(|network| network.inventory.linked());
        match (link, outcome.status) {
            (Some(link), Status::Fail | Status::Warn | Status::Skipped) if self.area() == "access" => {
                Outcome::undecided(format!("{}; {}", outcome.detail, link.message)).at(link.span)
            }
            _ => outcome,
        }
    }
}

impl Place {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Build => "the build subnet",
            Self::Container => "the container instance subnet",
        }
    }

    /// Name of a resource that is its own, such as `nsg-imagebuilder`.
    pub fn resource_name(self, kind: &str) -> String {
        match self {
            Self::Build => format!("{kind}-imagebuilder"),
            Self::Container => format!("{kind}-imagebuilder-containers"),
        }
    }
}

impl FlowSpec {
    fn ask(&self, subject: &Subject<'_>) -> Asked {
        let site = subject.site(self.at)?;
        let contract = self.contract(subject, self.to)?;
        let proof = site.groups.prove(&contract);
        let enough = |tag: &&'static str| {
            let contract = self.contract(subject, Party::Tag(tag));
            contract.is_ok_and(|contract| site.groups.prove(&contract).verdict == ProofVerdict::Proved)
        };
        if proof.verdict != ProofVerdict::Proved
            && !self.narrower.is_empty()
            && self.narrower.iter().all(enough)
        {
            let tags = self.narrower.join(", ");
            let detail = format!("only {tags} are allowed; Microsoft documents {contract}");
            return Ok(of_proof(Outcome::warn(detail), subject, site, proof));
        }
        Ok(conclude(subject, self.at, site, contract, proof))
    }

    fn contract(&self, subject: &Subject<'_>, to: Party) -> Result<Contract, Outcome> {
        let direction = match self.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        let from = subject.party(self.from)?;
        let to = subject.party(to)?;
        let line = format!("allow {direction} tcp {from} -> {to}:{}", self.port);
        Contract::parse(&line).map_err(|error| Outcome::undecided(format!("{line}: {error}")))
    }
}

/// The outcome of a contract that groups must keep.
pub(crate) fn conclude(
    subject: &Subject<'_>,
    at: Place,
    site: &Site<'_>,
    contract: Contract,
    proof: Proof,
) -> Outcome {
    let outcome = match proof.verdict {
        ProofVerdict::Proved => Outcome::pass(format!("{contract}: proved for every packet")),
        ProofVerdict::Depends => {
            Outcome::undecided(format!("{contract}: depends on {}", proof.open.join("; ")))
        }
        ProofVerdict::Refuted => {
            let lost = proof.lost.as_ref().map(|lost| format!(" for {}", lost.phrase)).unwrap_or_default();
            let detail = format!("{contract}: denied{lost}");
            let repair = Repair::in_words(format!("let through: {contract}"));
            Outcome::fail(detail).repaired(repair.changing(Change::Flow(at, contract)))
        }
    };
    of_proof(outcome, subject, site, proof)
}

/// With what a proof shows.
pub(crate) fn of_proof(
    mut outcome: Outcome,
    subject: &Subject<'_>,
    site: &Site<'_>,
    proof: Proof,
) -> Outcome {
    outcome.span = proof.decided_by.as_ref().and_then(|by| subject.place_of(by)).or(outcome.span);
    outcome.span = outcome.span.or_else(|| site.subnet.map(|subnet| subnet.value.span));
    outcome.assumptions.extend(proof.assumptions);
    outcome.evidence = Box::new(Evidence { packet: proof.packet, decided_by: proof.decided_by });
    outcome
}
