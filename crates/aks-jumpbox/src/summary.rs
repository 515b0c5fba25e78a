//! What a build did, told at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use build_engine::egress::{sentence, telling};
use build_engine::event::{Connection, Done};
use build_engine::request::BuildReport;
use recipe::Lack;

use crate::output::{BOLD, DIM, GREEN, Output, YELLOW, bytes, duration};

/// Most hosts, and most refusals, that are listed; `egress.json` holds all of them.
const SHOWN: usize = 8;

/// The end of a build as its last event.
pub fn done(report: &BuildReport, folder: &Path) -> Done {
    let manifest = &report.manifest;
    Done {
        image: report.image.as_ref().map(|image| image.display().to_string()),
        content_sha256: manifest.content_sha256.clone(),
        bytes: manifest.bytes,
        allocated_bytes: report.image.is_some().then_some(report.allocated_bytes),
        outputs: manifest
            .outputs
            .iter()
            .map(|output| folder.join(&output.file).display().to_string())
            .collect(),
        seconds: report.seconds,
    }
}

/// The end of a build for people.
pub fn text(report: &BuildReport, folder: &Path, lacks: &[Lack], output: Output) -> String {
    let manifest = &report.manifest;
    let what = report.image.as_ref().map_or("the steps that were asked for, no disk".to_owned(), |image| {
        let unchanged = if report.unchanged { ", as it was: nothing changed" } else { "" };
        format!("{}{unchanged}", output.paint(BOLD, &image.display().to_string()))
    });
    let mut text = format!("\n{} {what}, in {}\n", output.paint(GREEN, "✓"), duration(report.seconds));
    let mut row = |label: &str, value: &str| {
        let _ = writeln!(text, "  {} {value}", output.paint(DIM, &format!("{label:<10}")));
    };
    if let (Some(size), Some(digest)) = (manifest.bytes, &manifest.content_sha256) {
        row("disk", &format!("{}, of which {} take space here", bytes(size), bytes(report.allocated_bytes)));
        row("content", &format!("sha256 {digest}"));
    }
    let cached = manifest.steps.iter().filter(|step| step.cached).count();
    row("steps", &format!("{cached} cached, {} run", manifest.steps.len() - cached));
    row("contacted", &contacted(&report.connections));
    let refused: BTreeSet<_> = telling(&report.connections).into_iter().map(sentence).collect();
    for (index, sentence) in refused.iter().take(SHOWN).enumerate() {
        row(if index == 0 { "refused" } else { "" }, &output.paint(YELLOW, sentence));
    }
    if refused.len() > SHOWN {
        row("", &format!("and {} more", refused.len() - SHOWN));
    }
    for (index, what) in manifest.only_in_azure.iter().enumerate() {
        row(
            if index == 0 { "not done" } else { "" },
            &output.paint(YELLOW, &format!("{what}: only in Azure")),
        );
    }
    row("files in", &folder.display().to_string());
    for (index, lack) in lacks.iter().enumerate() {
        row(if index == 0 { "lacks" } else { "" }, &format!("{}: {}", lack.tool, lack.why));
    }
    if let Some((version, supported)) = kubectl(folder) {
        row("kubectl", &format!("{version}, for AKS versions {supported}"));
    }
    text.push_str("\nnext: aks-jumpbox try\n");
    text
}

/// Hosts that were reached, those that sent most first.
fn contacted(connections: &[Connection]) -> String {
    let mut hosts: BTreeMap<String, u64> = BTreeMap::new();
    for connection in connections.iter().filter(|row| !row.refused && row.protocol == "tcp") {
        let address = || connection.address.map(|address| address.to_string());
        *hosts.entry(connection.name.clone().or_else(address).unwrap_or_default()).or_default() +=
            connection.bytes_in;
    }
    let mut hosts: Vec<_> = hosts.into_iter().collect();
    hosts.sort_by_key(|(_, received)| std::cmp::Reverse(*received));
    let shown = hosts.iter().take(SHOWN).map(|(host, received)| format!("{host} ({})", bytes(*received)));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if hosts.len() > SHOWN {
        let _ = write!(text, " and {} more", hosts.len() - SHOWN);
    }
    if text.is_empty() { "nothing".to_owned() } else { text }
}

/// The image's kubectl, from its bill of materials, and the Kubernetes versions it supports.
fn kubectl(folder: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(folder.join("sbom.cdx.json")).ok()?;
    let sbom: serde_json::Value = serde_json::from_str(&text).ok()?;
    let component = sbom["components"].as_array()?.iter().find(|component| component["name"] == "kubectl")?;
    let version = component["version"].as_str()?;
    Some((version.to_owned(), recipe::kubectl_supports(version)?))
}
