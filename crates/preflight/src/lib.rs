//! What an image build with Azure Image Builder needs, checked against what documents tell of its environment.
//!
//! A [`Requirement`] is a registered value: an id, what it applies to, where it comes from, and how it is checked.
//! [`check`] asks each of them about a [`Subject`]. What could not be checked is [`Status::Skipped`] or
//! [`Status::Undecided`], and never a pass.

mod cloud;
mod finding;
mod path;
mod plan;
mod policy;
mod repair;
mod requirement;
mod requirements;
mod subject;
mod topology;

pub use cloud::Cloud;
pub use finding::{Evidence, Finding, Outcome, Repair, Report, Status};
pub use path::{Hop, HopState, Node, Stretch};
pub use plan::{Egress, Plan, PlanError, Prefixes, SubnetPlan};
pub use repair::{Change, LeftOut, WholeRepair, is_repairable, resources};
pub use requirement::{Check, FlowSpec, Party, Place, Requirement, Severity};
pub use requirements::firewall::package_archive_of;
pub use requirements::needs::{GrantPlace, IdentityGrant, identity_grants};
pub use requirements::provider::NEEDED as PROVIDERS;
pub use requirements::quota::{SIZES, USAGES, build_sizes};
pub use requirements::region::preview_feature;
pub use requirements::subnet::CONTAINER_GROUPS;
pub use requirements::{published, requirements};
pub use subject::{Network, Site, Subject};
pub use topology::{Os, Topology};

/// Checks every requirement that applies.
pub fn check(subject: &Subject<'_>) -> Report {
    ask(subject, requirements())
}

/// Checks the tables of the original guidance, taken literally.
pub fn check_as_published(subject: &Subject<'_>) -> Report {
    ask(subject, published())
}

fn ask(subject: &Subject<'_>, catalogue: impl Iterator<Item = &'static Requirement>) -> Report {
    let applying = catalogue.filter(|requirement| requirement.applies(subject.topology, subject.os));
    let findings = applying.map(|requirement| requirement.ask(subject));
    Report { topology: subject.topology, findings: findings.collect() }
}
