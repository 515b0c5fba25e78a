//! A report as one page for people who have no terminal: it fetches nothing, runs no script, and is the same for the
//! same findings.

mod drawing;
mod findings;
mod hops;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use preflight::{Finding, Os, Place, Report, Status, Subject, Topology};
use sha2::{Digest, Sha256};

use super::check::{mark, tally};
use crate::output::shown;

const STYLE: &str = include_str!("style.css");
const TITLE: &str = "Network check of an image build";

/// What a page is made of.
pub struct Page<'a> {
    /// What was found.
    pub report: &'a Report,
    /// What it was found in.
    pub subject: &'a Subject<'a>,
    /// The verdict.
    pub verdict: Status,
    /// Names of the files that were read.
    pub documents: Vec<String>,
    /// What else the author of the documents would want to know.
    pub warnings: &'a [String],
}

impl Page<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="referrer" content="no-referrer";
                    title { (mark(self.verdict).0) " " (self.verdict) " - " (TITLE) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header { (self.head()) }
                    main {
                        (hops::section(self))
                        (findings::sections(self))
                        @if !self.warnings.is_empty() { (list("Warnings", self.warnings)) }
                        (self.assumptions())
                        (findings::skipped(self))
                    }
                    footer {
                        "Written by aks-jumpbox " (env!("CARGO_PKG_VERSION")) " from the documents that are named \
                         above. This page fetches nothing and runs no script."
                    }
                }
            }
        };
        page.into_string()
    }

    fn head(&self) -> Markup {
        let all: Vec<_> = self.report.findings.iter().collect();
        html! {
            h1 { (TITLE) }
            div.verdict.(class(self.verdict)) {
                p {
                    strong { (mark(self.verdict).0) " " (self.verdict) ":" }
                    @for (status, count) in tally(&all) { " " (tag(status, &format!("{count} {status}"))) }
                }
                p { (self.conclusion()) }
            }
            dl.facts {
                dt { "Topology" }
                dd { strong { (self.report.topology) } ": " (meaning(self.report.topology)) }
                dt { "System of the image" }
                dd { (match self.subject.os { Os::Linux => "Linux", Os::Windows => "Windows" }) }
                @for place in [Place::Build, Place::Container] {
                    @if let Some(subnet) = self.subnet(place) { dt { (whose(place)) } dd { (subnet) } }
                }
                dt { "Documents read" }
                dd {
                    @if self.documents.is_empty() { "none" }
                    @else { ul { @for name in &self.documents { li { code { (shown(name)) } } } } }
                }
            }
        }
    }

    /// The verdict for whoever does not know the marks.
    fn conclusion(&self) -> String {
        let count = |status| self.report.findings.iter().filter(|found| found.status() == status).count();
        let (failed, open, skipped) = (count(Status::Fail), count(Status::Undecided), count(Status::Skipped));
        let not_checked = match skipped {
            0 => String::new(),
            1 => " 1 was not checked, for no document tells of it.".to_owned(),
            many => format!(" {many} were not checked, for no document tells of them."),
        };
        let requirements = |count| if count == 1 { "requirement" } else { "requirements" };
        let are = if failed == 1 { "is" } else { "are" };
        match self.verdict {
            Status::Fail => {
                format!("{failed} {} {are} not met: a build fails, or cannot start.", requirements(failed))
            }
            _ if skipped == self.report.findings.len() => {
                "Nothing was checked: no document tells of any requirement.".to_owned()
            }
            Status::Undecided if open > 0 => {
                format!("What was read does not decide {open} {}.{not_checked}", requirements(open))
            }
            Status::Undecided => {
                format!(
                    "Every requirement that was checked is met.{not_checked} That counts as undecided here."
                )
            }
            _ => format!("Every requirement that was checked is met.{not_checked}"),
        }
    }

    /// A subnet's prefix, and its id where documents describe it.
    fn subnet(&self, place: Place) -> Option<Markup> {
        let site = self.subject.network.as_ref()?.site(place)?;
        Some(html! {
            @if let Some(prefix) = site.prefix { strong { (prefix) } " " }
            @if let Some(subnet) = site.subnet { code { (shown(subnet.id.as_str())) } }
        })
    }

    fn assumptions(&self) -> Markup {
        let all = self.report.assumptions();
        html! { @if !all.is_empty() { (list("Assumptions", &all)) } }
    }
}

fn whose(place: Place) -> &'static str {
    match place {
        Place::Build => "Build subnet",
        Place::Container => "Container instance subnet",
    }
}

/// What a topology means to a network.
fn meaning(topology: Topology) -> &'static str {
    match topology {
        Topology::Managed => "no subnet is brought; the service makes a network of its own",
        Topology::PrivateLink => {
            "the build VM's subnet is brought; the service reaches it by a private link service, a load balancer and a \
             proxy VM in that subnet"
        }
        Topology::Isolated => {
            "two subnets are brought; the service's container instance in one reaches the build VM in the other"
        }
    }
}

/// Nothing may be loaded or run; the one style is known by its digest.
fn policy() -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
}

fn list(title: &str, lines: &[String]) -> Markup {
    html! {
        section {
            h2 { (title) }
            ul { @for line in lines { li { (prose(line)) } } }
        }
    }
}

/// Prose of findings: what stands between backticks is code.
fn prose(text: &str) -> Markup {
    let text = shown(text);
    let parts: Vec<_> = text.split('`').collect();
    // The last of an uneven number opens nothing.
    let paired = parts.len() % 2 == 1;
    html! {
        @if paired {
            @for (index, part) in parts.iter().enumerate() { @if index % 2 == 1 { code { (part) } } @else { (part) } }
        } @else { (text) }
    }
}

/// A status as a label: its mark stands beside its colour.
fn tag(status: Status, text: &str) -> Markup {
    html! { span.tag.(class(status)) { (mark(status).0) " " (text) } }
}

/// The class that has a status' colour.
fn class(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Fail => "fail",
        Status::Warn => "warn",
        Status::Undecided => "undecided",
        Status::Skipped => "skipped",
    }
}

/// Where the findings of a requirement stand on the page.
fn anchor(finding: &Finding) -> String {
    format!("finding-{}", finding.requirement.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_document_is_markup_or_turns_the_text() {
        let text = prose("`<b>` is \u{202e}not \"known\": `[parameters('a')]`").into_string();
        assert_eq!(
            text,
            "<code>&lt;b&gt;</code> is \u{fffd}not &quot;known&quot;: <code>[parameters('a')]</code>"
        );
        assert_eq!(prose("an open ` opens nothing").into_string(), "an open ` opens nothing");
        assert_eq!(shown("two\nlines\u{1b}[2J"), "two\nlines\u{fffd}[2J");
    }
}
