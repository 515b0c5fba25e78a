//! The path: its drawing, and what is known of each hop.

use maud::{Markup, html};
use preflight::{Finding, Hop, HopState, Node, Place, Status, Stretch};

use super::{Page, anchor, class, drawing, prose, shown, tag};
use crate::show::check::decided;

/// The section of the page.
pub fn section(page: &Page<'_>) -> Markup {
    let path = page.report.path(page.subject);
    let elsewhere = page
        .report
        .findings
        .iter()
        .filter(|found| found.status() == Status::Fail && found.requirement.hop.is_none());
    html! {
        section {
            h2 { "Path" }
            p.quiet {
                "Each hop of a build's packets, with what follows from the findings about it. \
                 A hop leads to its details."
            }
            (drawing::wide(page, &path))
            (drawing::tall(page, &path))
            ul.legend {
                @for state in LEGEND { li.(colour(state)) { (drawing::sample(state)) (sign(state)) " " (word(state)) } }
            }
            @match elsewhere.count() {
                0 => {}
                1 => p { "1 requirement that is not met is about no hop: it is among the findings." }
                many => p { (many) " requirements that are not met are about no hop: they are among the findings." }
            }
            h3 { "Hops" }
            @for (index, stretch) in path.iter().enumerate() { (one(index, stretch)) }
        }
    }
}

/// What lines of the drawing mean.
const LEGEND: [HopState; 6] = [
    HopState::Allowed,
    HopState::Refused,
    HopState::Open,
    HopState::Warned,
    HopState::NotChecked,
    HopState::NotAsked,
];

fn one(index: usize, stretch: &Stretch<'_>) -> Markup {
    let urgent = matches!(stretch.state, HopState::Refused | HopState::Open);
    html! {
        details.(colour(stretch.state)) open[urgent] {
            summary {
                span.tag.(colour(stretch.state)) { (sign(stretch.state)) " " (word(stretch.state)) } " "
                span.title { (title(stretch.hop)) }
                @if !stretch.ports.is_empty() { " " span.quiet { "TCP " (ports(stretch)) } }
            }
            div.body id=(hop_anchor(index)) {
                @if stretch.findings.is_empty() {
                    p { "No requirement is about this hop." }
                } @else {
                    ul { @for finding in &stretch.findings { li { (found(finding)) } } }
                }
            }
        }
    }
}

fn found(finding: &Finding) -> Markup {
    let outcome = &finding.outcome;
    html! {
        (tag(finding.status(), &finding.status().to_string())) " "
        a href={ "#" (anchor(finding)) } { (finding.requirement.title) }
        br;
        span.quiet {
            (prose(&outcome.detail))
            @if let Some(by) = &outcome.evidence.decided_by { "; " (shown(&decided(by))) }
        }
    }
}

/// Where the details of a hop stand on the page.
pub fn hop_anchor(index: usize) -> String {
    format!("hop-{}", index + 1)
}

/// A hop in words, and the link to its details.
pub fn link(index: usize, hop: Hop) -> Markup {
    html! { a href={ "#" (hop_anchor(index)) } { (title(hop)) } }
}

fn title(hop: Hop) -> String {
    format!("{} to {}", name(hop.from), name(hop.to))
}

/// A sentence for whoever does not see the drawing.
pub fn sentence(stretch: &Stretch<'_>) -> String {
    let about = format!("{}: {}", title(stretch.hop), word(stretch.state));
    if stretch.ports.is_empty() { about } else { format!("{about}, TCP {}", ports(stretch)) }
}

/// The ports, each with its mark where they differ.
fn ports(stretch: &Stretch<'_>) -> String {
    let alike = stretch.ports.iter().all(|(_, state)| *state == stretch.state);
    let one = |(port, state): &(u16, HopState)| {
        if alike { port.to_string() } else { format!("{port} {}", sign(*state)) }
    };
    stretch.ports.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A mark that is understood without its colour.
pub fn sign(state: HopState) -> &'static str {
    match state {
        HopState::Allowed => "✓",
        HopState::Refused => "✗",
        HopState::Open => "?",
        HopState::Warned => "!",
        HopState::NotChecked => "-",
        HopState::NotAsked => "·",
    }
}

/// What a state is called.
pub fn word(state: HopState) -> &'static str {
    match state {
        HopState::Allowed => "allowed",
        HopState::Refused => "refused",
        HopState::Open => "open",
        HopState::Warned => "warning",
        HopState::NotChecked => "not checked",
        HopState::NotAsked => "not asked",
    }
}

/// The class that has a state's colour: that of the status that it follows from.
pub fn colour(state: HopState) -> &'static str {
    match state {
        HopState::Allowed => class(Status::Pass),
        HopState::Refused => class(Status::Fail),
        HopState::Open => class(Status::Undecided),
        HopState::Warned => class(Status::Warn),
        HopState::NotChecked => class(Status::Skipped),
        HopState::NotAsked => "none",
    }
}

fn name(node: Node) -> &'static str {
    match node {
        Node::Container => "container instance",
        Node::PrivateLink => "private link service",
        Node::LoadBalancer => "load balancer",
        Node::Proxy => "proxy VM",
        Node::BuildVm => "build VM",
        Node::WayOut(Place::Build) => "routes and firewall of the build subnet",
        Node::WayOut(Place::Container) => "routes and firewall of the container subnet",
        Node::Internet => "Internet",
    }
}
