//! Findings, area by area.

use maud::{Markup, html};
use preflight::{Finding, Status, Subject};

use super::{Page, anchor, class, hops, prose, shown, tag};
use crate::show::check::{decided, place, repair, tally};

/// All that was asked: what fails first, in each area and among areas.
pub fn sections(page: &Page<'_>) -> Markup {
    let asked = page.report.findings.iter().filter(|finding| finding.status() != Status::Skipped);
    let mut areas: Vec<(&str, Vec<&Finding>)> = Vec::new();
    for finding in asked {
        let area = finding.requirement.area();
        match areas.iter_mut().find(|(known, _)| *known == area) {
            Some((_, own)) => own.push(finding),
            None => areas.push((area, vec![finding])),
        }
    }
    for (_, own) in &mut areas {
        own.sort_by_key(|finding| urgency(finding.status()));
    }
    areas.sort_by_key(|(_, own)| own.first().map(|finding| urgency(finding.status())));
    html! {
        section {
            h2 { "Findings" }
            @if areas.is_empty() { p { "Nothing was checked." } }
            @for (area, own) in &areas {
                h3 {
                    (area)
                    @for (status, count) in tally(own) { " " (tag(status, &format!("{count} {status}"))) }
                }
                @for finding in own { (one(finding, page.subject)) }
            }
        }
    }
}

/// What no document tells of.
pub fn skipped(page: &Page<'_>) -> Markup {
    let all: Vec<_> =
        page.report.findings.iter().filter(|finding| finding.status() == Status::Skipped).collect();
    html! {
        @if !all.is_empty() {
            section {
                h2 { "Not checked" }
                p { "No document of the kind was given." }
                ul {
                    @for finding in all {
                        li id=(anchor(finding)) {
                            (tag(Status::Skipped, "skipped")) " " (finding.requirement.title) " "
                            code { (finding.requirement.id) }
                            br;
                            span.quiet { (prose(&finding.outcome.detail)) }
                        }
                    }
                }
            }
        }
    }
}

fn urgency(status: Status) -> u8 {
    match status {
        Status::Fail => 0,
        Status::Undecided => 1,
        Status::Warn => 2,
        Status::Pass => 3,
        Status::Skipped => 4,
    }
}

/// The anchor is inside of what unfolds: following a link to it unfolds it.
fn one(finding: &Finding, subject: &Subject<'_>) -> Markup {
    let status = finding.status();
    let requirement = finding.requirement;
    html! {
        details.(class(status)) open[status != Status::Pass] {
            summary {
                (tag(status, &status.to_string())) " " span.title { (requirement.title) } " " code { (requirement.id) }
            }
            div.body id=(anchor(finding)) {
                p { (prose(&finding.outcome.detail)) }
                (evidence(finding, subject))
                (mended(finding, subject))
            }
        }
    }
}

fn evidence(finding: &Finding, subject: &Subject<'_>) -> Markup {
    let evidence = &finding.outcome.evidence;
    let mut hops = subject.topology.hops().iter().enumerate();
    let hop = hops.find(|(_, hop)| finding.requirement.hop == Some(**hop));
    html! {
        dl {
            @if let Some(packet) = &evidence.packet { dt { "Packet" } dd { code { (shown(&packet.to_string())) } } }
            @if let Some(by) = &evidence.decided_by { dt { "Rule" } dd { (shown(&decided(by))) } }
            @if let Some((file, line, column)) = place(finding, subject) {
                dt { "Place" }
                dd { code { (shown(&file)) ":" (line) ":" (column) } }
            }
            @if let Some((index, hop)) = hop { dt { "Hop" } dd { (hops::link(index, *hop)) } }
            dt { "Source" }
            dd { (source(finding.requirement.source)) }
        }
    }
}

fn mended(finding: &Finding, subject: &Subject<'_>) -> Markup {
    let repair = repair(finding, subject);
    let arm = repair.as_ref().and_then(|repair| serde_json::to_string_pretty(repair.arm.as_ref()?).ok());
    html! {
        @if let Some(repair) = repair {
            p.repair { strong { "Repair: " } (prose(&repair.summary)) }
            @if let Some(az) = repair.az { p.label { "Azure CLI" } pre { (shown(&az)) } }
            @if let Some(arm) = arm { p.label { "ARM" } pre { (shown(&arm)) } }
        }
    }
}

/// A page of Microsoft's documentation as a link; where a link leads is never taken from a document.
fn source(source: &'static str) -> Markup {
    html! {
        @match source.strip_prefix("learn.microsoft.com: ") {
            Some(page) => { a href={ "https://learn.microsoft.com/azure/" (page) } rel="noreferrer" { (source) } }
            None => { (source) }
        }
    }
}
