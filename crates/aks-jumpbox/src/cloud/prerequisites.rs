//! What has to be so before anything is made, asked of Azure itself.

use preflight::{Finding, Os, Status, Subject, Topology};
use workflow::Design;

use super::connect::Session;
use super::live;
use crate::commands::check;
use crate::context::Context;
use crate::errors::{Category, Failure, Problem};
use crate::input::Input;
use crate::network;

/// Areas that a deployment does not make itself: what fails there fails after half an hour, too.
const BROUGHT: [&str; 6] = ["subnet", "nsg", "route", "firewall", "region", "policy"];

/// Checks a design against what Azure says now.
///
/// # Errors
/// Every requirement that is not met and that the deployment would not meet.
pub fn require(session: &Session, design: &Design, input: &Input, context: &Context) -> Result<(), Failure> {
    let said = live::of_design(session.client(), design)?;
    let mut warnings = said.missing;
    warnings.extend(said.notes);
    let topology = Topology::of(&design.template);
    let documents = said.documents.as_ref();
    let network = documents.map(|all| check::network(all, topology, &mut warnings)).transpose()?;
    for warning in &warnings {
        context.output.warn(warning);
    }
    let report = preflight::check(&Subject {
        topology,
        os: Os::of(&design.template),
        network,
        template: Some(&design.template),
        endpoints: network::allow_list(&input.endpoints())?,
        deployer: said.who,
    });
    let unmet: Vec<_> =
        report.findings.iter().filter(|finding| is_in_the_way(finding)).map(problem).collect();
    if unmet.is_empty() {
        let count = |status| report.findings.iter().filter(|finding| finding.status() == status).count();
        let open = count(Status::Undecided);
        context.output.note(&format!(
            "prerequisites: {} met, {open} undecided; `check --live` shows them",
            count(Status::Pass)
        ));
        return Ok(());
    }
    Err(Failure::several(unmet))
}

fn is_in_the_way(finding: &Finding) -> bool {
    let area = finding.requirement.id.split('.').next().unwrap_or_default();
    finding.status() == Status::Fail && BROUGHT.contains(&area)
}

fn problem(finding: &Finding) -> Problem {
    let text = format!(
        "not met: {} ({}): {}",
        finding.requirement.title, finding.requirement.id, finding.outcome.detail
    );
    let repair = finding.outcome.repair.as_ref().map(|repair| format!("{}; ", repair.summary));
    let hint =
        format!("{}`check --live` shows what decides it; --skip-check goes on", repair.unwrap_or_default());
    Problem::new(Category::Build, text).hint(hint)
}
