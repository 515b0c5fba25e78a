//! Names that the firewall must let through.

use network_policy::{Application, Destination, Direction, Endpoint, Flow, Protocol, Verdict};

use super::{ANY_SYSTEM, BROUGHT, GUIDANCE, ISOLATED, PRIVATE_LINK};
use crate::finding::Asked;
use crate::finding::Evidence;
use crate::subject::Site;
use crate::{Check, Outcome, Place, Repair, Requirement, Severity, Subject};

/// A first label that no rule names: what a wildcard must let through.
const ANY_LABEL: &str = "aibxxxxxxxxxxxxxxxxxxxx";
/// Endpoints of the service itself.
const STORAGE: &str = "*.blob.core.windows.net:443";
const MANAGEMENT: &str = "management.azure.com:443";

const PLAIN: Requirement = Requirement {
    id: "",
    title: "",
    topologies: BROUGHT,
    systems: ANY_SYSTEM,
    severity: Severity::Required,
    source: GUIDANCE,
    assumption: None,
    check: Check::Ask(storage),
};

pub(super) const ALL: &[Requirement] = &[
    Requirement {
        id: "firewall.storage",
        title: "the firewall lets the build subnet reach blob storage by any account name",
        check: Check::Ask(storage),
        ..PLAIN
    },
    Requirement {
        id: "firewall.management",
        title: "the firewall lets the build subnet reach Azure's control plane",
        topologies: PRIVATE_LINK,
        check: Check::Ask(management),
        ..PLAIN
    },
    Requirement {
        id: "firewall.image-endpoints",
        title: "the firewall lets the build subnet reach what the image's steps fetch",
        check: Check::Ask(image_endpoints),
        ..PLAIN
    },
    Requirement {
        id: "firewall.container-endpoints",
        title: "the firewall lets the container instance reach storage, its control plane and its image",
        topologies: ISOLATED,
        assumption: Some(
            "the container instance needs management.azure.com, login.microsoftonline.com, blob storage, its Azure \
             Files share (445) and mcr.microsoft.com with *.data.mcr.microsoft.com: Microsoft publishes no list",
        ),
        check: Check::Ask(container_endpoints),
        ..PLAIN
    },
];

fn storage(subject: &Subject<'_>) -> Asked {
    reach(subject, Place::Build, &[STORAGE])
}

fn management(subject: &Subject<'_>) -> Asked {
    reach(subject, Place::Build, &[MANAGEMENT])
}

fn container_endpoints(subject: &Subject<'_>) -> Asked {
    let all = [
        STORAGE,
        MANAGEMENT,
        "login.microsoftonline.com:443",
        "mcr.microsoft.com:443",
        "*.data.mcr.microsoft.com:443",
    ];
    reach(subject, Place::Container, &all)
}

fn image_endpoints(subject: &Subject<'_>) -> Asked {
    if subject.endpoints.is_empty() {
        return Ok(Outcome::pass("the image's steps name no endpoint of their own"));
    }
    Ok(all(subject, subject.site(Place::Build)?, &subject.endpoints))
}

fn reach(subject: &Subject<'_>, place: Place, endpoints: &[&str]) -> Asked {
    let endpoints: Vec<_> = endpoints.iter().filter_map(|text| Endpoint::parse(text).ok()).collect();
    Ok(all(subject, subject.site(place)?, &endpoints))
}

/// Whether all can be reached; all that cannot are named.
fn all(subject: &Subject<'_>, site: &Site<'_>, endpoints: &[Endpoint]) -> Outcome {
    let policy = site.egress.policy();
    if policy.firewall.is_none() && policy.routes.is_none() {
        return Outcome::skipped("no document describes a firewall or routes to one");
    }
    let (mut refused, mut open, mut shown) = (Vec::new(), Vec::new(), None);
    for endpoint in endpoints {
        let flow = flow(site, endpoint);
        let path = site.egress.path(&flow);
        let decision = site.egress.decide_in_azure(&flow);
        let list = match decision.verdict {
            Verdict::Allowed => continue,
            Verdict::Denied => &mut refused,
            Verdict::Undecided => &mut open,
        };
        list.push(format!("{endpoint} ({})", decision.rule));
        if shown.is_none() || (decision.verdict == Verdict::Denied && refused.len() == 1) {
            shown = path.into_iter().rev().find(|layer| layer.verdict == decision.verdict);
        }
    }
    let outcome = match (refused.as_slice(), open.as_slice()) {
        ([], []) => {
            let names: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
            return Outcome::pass(format!("allowed: {}", names.join(", ")));
        }
        ([], open) => Outcome::undecided(format!("undecided: {}", open.join(", "))),
        (refused, _) => {
            let repair = Repair::in_words(format!("allow in an application rule: {}", refused.join(", ")));
            Outcome::fail(format!("denied: {}", refused.join(", "))).repaired(repair)
        }
    };
    let decided_by = shown.map(|layer| layer.decided_by);
    let span = decided_by.as_ref().and_then(|by| subject.place_of(by));
    Outcome { span, evidence: Box::new(Evidence { packet: None, decided_by }), ..outcome }
}

fn flow(site: &Site<'_>, endpoint: &Endpoint) -> Flow {
    let name = endpoint.name.to_string();
    let name = match name.strip_prefix('*') {
        Some(rest) => format!("{ANY_LABEL}{rest}"),
        None => name,
    };
    Flow {
        direction: Direction::Outbound,
        protocol: Protocol::Tcp,
        source: site.egress.policy().build_machine(),
        source_port: 50_000,
        destination: Destination::Name(name),
        port: endpoint.port,
        application: endpoint.application.or(match endpoint.port {
            443 => Some(Application::Https),
            80 => Some(Application::Http),
            _ => None,
        }),
    }
}
