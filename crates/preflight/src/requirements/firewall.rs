//! Names that the firewall must let through.

use image_template::Source;
use network_policy::{Contract, Endpoint, Layer, ProofVerdict};

use super::{BASE, BROUGHT, ISOLATED, PRIVATE_LINK};
use crate::finding::Asked;
use crate::requirement::of_proof;
use crate::{Change, Check, Hop, Outcome, Party, Place, Repair, Requirement, Severity, Subject};

/// Endpoints of the service itself.
const STORAGE: &str = "*.blob.core.windows.net:443";
const MANAGEMENT: &str = "management.azure.com:443";

/// Hosts of Ubuntu's archive: of its mirror on Azure, and of its own.
const UBUNTU: [&str; 3] = ["azure.archive.ubuntu.com:80", "archive.ubuntu.com:80", "security.ubuntu.com:80"];
/// Where these hosts come from.
const ARCHIVES: &str = "github.com/mspnp/aks-jumpbox-imagebuilder; github.com/mspnp/aks-baseline-regulated";

const PLAIN: Requirement = Requirement { topologies: BROUGHT, ..BASE };

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "firewall.storage",
        title: "the firewall lets the build subnet reach blob storage by any account name",
        hop: Some(Hop::BUILD_TO_INTERNET),
        check: Check::Reach(Place::Build, &[STORAGE]),
        ..PLAIN
    },
    Requirement {
        id: "firewall.management",
        title: "the firewall lets the build subnet reach Azure's control plane",
        topologies: PRIVATE_LINK,
        hop: Some(Hop::BUILD_TO_INTERNET),
        check: Check::Reach(Place::Build, &[MANAGEMENT]),
        ..PLAIN
    },
    Requirement {
        id: "firewall.image-endpoints",
        title: "the firewall lets the build subnet reach what the image's steps fetch",
        hop: Some(Hop::BUILD_TO_INTERNET),
        check: Check::Steps(image_endpoints),
        ..PLAIN
    },
    Requirement {
        id: "firewall.package-archive",
        title: "the firewall lets the build subnet reach the package archive of the base",
        severity: Severity::Advised,
        source: ARCHIVES,
        check: Check::Ask(package_archive),
        ..PLAIN
    },
    Requirement {
        id: "firewall.container-endpoints",
        title: "the firewall lets the container instance reach storage, its control plane and its image",
        topologies: ISOLATED,
        assumption: Some(
            "the container instance needs management.azure.com, login.microsoftonline.com, blob storage, its Azure \
             Files share (445) and mcr.microsoft.com with *.data.mcr.microsoft.com, or what its cloud calls these: Microsoft \
             publishes no list",
        ),
        hop: Some(Hop::CONTAINER_TO_INTERNET),
        check: Check::Reach(
            Place::Container,
            &[
                STORAGE,
                MANAGEMENT,
                "login.microsoftonline.com:443",
                "mcr.microsoft.com:443",
                "*.data.mcr.microsoft.com:443",
            ],
        ),
        ..PLAIN
    },
];

/// Hosts of the package archive that images of a base use on Azure; none where no page documents them.
pub fn package_archive_of(source: &Source) -> &'static [&'static str] {
    match source {
        Source::PlatformImage { publisher, .. } if publisher.as_str().eq_ignore_ascii_case("canonical") => {
            &UBUNTU
        }
        _ => &[],
    }
}

fn package_archive(subject: &Subject<'_>) -> Asked {
    let template = subject.template.ok_or_else(|| Outcome::skipped("no image template was given"))?;
    match package_archive_of(&template.source) {
        [] => Ok(Outcome::pass(
            "no page documents an archive of this base: what the steps fetch is asked for beside",
        )),
        hosts => reach(subject, Place::Build, hosts),
    }
}

fn image_endpoints(subject: &Subject<'_>) -> Asked {
    if subject.endpoints.is_empty() {
        return Ok(Outcome::pass("the image's steps name no endpoint of their own"));
    }
    all(subject, Place::Build, &subject.endpoints)
}

/// Whether all endpoints of a requirement can be reached.
pub(crate) fn reach(subject: &Subject<'_>, place: Place, endpoints: &[&str]) -> Asked {
    let cloud = subject.cloud();
    let endpoints: Vec<_> =
        endpoints.iter().filter_map(|text| Endpoint::parse(&cloud.endpoint(text)).ok()).collect();
    all(subject, place, &endpoints)
}

/// Whether all can be reached, by every name that a pattern stands for; all that cannot are named, and the first shown.
fn all(subject: &Subject<'_>, place: Place, endpoints: &[Endpoint]) -> Asked {
    let (site, from) = (subject.site(place)?, subject.party(Party::Subnet(place))?);
    let policy = site.egress.policy();
    if policy.firewall.is_none() && policy.routes.is_none() {
        return Ok(Outcome::skipped("no document describes a firewall or routes to one"));
    }
    let (mut refused, mut lacking, mut open, mut shown) = (Vec::new(), Vec::new(), Vec::new(), None);
    for endpoint in endpoints {
        let line = format!("allow outbound tcp {from} -> {}:{}", endpoint.name, endpoint.port);
        let contract =
            Contract::parse(&line).map_err(|error| Outcome::undecided(format!("{line}: {error}")))?;
        let proof = site.egress.prove(&contract);
        let list = match proof.verdict {
            ProofVerdict::Proved => continue,
            ProofVerdict::Refuted => &mut refused,
            ProofVerdict::Depends => &mut open,
        };
        let why = match &proof.decided_by {
            Some(by) if proof.verdict == ProofVerdict::Refuted => by.rule.clone(),
            _ => proof.open.join("; "),
        };
        let by_firewall = proof
            .decided_by
            .as_ref()
            .is_some_and(|by| matches!(by.layer, Layer::FirewallNetwork | Layer::FirewallApplication));
        if proof.verdict == ProofVerdict::Refuted && by_firewall {
            lacking.push(endpoint.clone());
        }
        list.push((endpoint.to_string(), format!("{endpoint} ({why})")));
        if shown.is_none() || (proof.verdict == ProofVerdict::Refuted && refused.len() == 1) {
            shown = Some(proof);
        }
    }
    let described = |list: &[(String, String)]| {
        list.iter().map(|(_, described)| described.as_str()).collect::<Vec<_>>().join(", ")
    };
    let outcome = match (refused.as_slice(), open.as_slice()) {
        ([], []) => {
            let names: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
            Outcome::pass(format!("allowed: {}", names.join(", ")))
        }
        ([], open) => Outcome::undecided(format!("undecided: {}", described(open))),
        (refused, _) => {
            let names: Vec<_> = refused.iter().map(|(name, _)| name.as_str()).collect();
            let repair = Repair::in_words(format!("allow in an application rule: {}", names.join(", ")));
            let all = lacking.len() == refused.len();
            let change = all.then_some(Change::Endpoints(place, lacking));
            let repair = change.into_iter().fold(repair, Repair::changing);
            Outcome::fail(format!("denied: {}", described(refused))).repaired(repair)
        }
    };
    Ok(match shown {
        Some(proof) => of_proof(outcome, subject, site, proof),
        None => outcome,
    })
}
