//! What a template asks for that a build on this machine does not do as Azure does: told, never passed over.
//! docs/reference/local-and-azure.md is the whole list.

use image_template::{Finding, ImageTemplate, Script, lint_local_script, lint_script};

use crate::isolation::Isolation;

/// What only a build in Azure does, a phrase each.
pub fn only_in_azure(template: &ImageTemplate) -> Vec<String> {
    let optimize = &template.optimize;
    let asked = [
        ("boot optimisation (optimize.vmBoot)", optimize.vm_boot),
        (
            "workload optimisation (optimize.workload)",
            optimize.workload.as_ref().is_some_and(|work| work.enabled),
        ),
        ("data disks (additionalDataDisks)", !template.additional_data_disks.is_empty()),
        (
            "identities of the build machine (vmProfile.userAssignedIdentities)",
            !template.vm_profile.user_assigned_identities.is_empty(),
        ),
    ];
    asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(what, _)| what.to_owned()).collect()
}

/// What in a step's script leans on what a local build does not have, a sentence each. The mistakes that would cost a
/// build in Azure are told of scripts that were fetched; the template's reader has told those of the others.
pub fn warnings(script: &Script, fetched: &[u8], step: &str, isolation: Isolation) -> Vec<String> {
    let (text, mistakes) = match script {
        // The line that is put before an inline script is not its author's.
        Script::Inline(lines) => (lines.join("\n"), Vec::new()),
        Script::Uri { .. } => {
            let text = String::from_utf8_lossy(fetched).into_owned();
            let mistakes = lint_script(&text);
            (text, mistakes)
        }
    };
    let mut findings = lint_local_script(&text);
    findings.retain(|finding| isolation == Isolation::Namespaces || !is_there_in_vm(finding));
    findings.extend(mistakes);
    findings.sort_by_key(|finding| finding.offset);
    findings.iter().map(|finding| sentence(&text, finding, step)).collect()
}

/// Whether a virtual machine has what the script leans on.
fn is_there_in_vm(finding: &Finding) -> bool {
    const CODES: [&str; 5] =
        ["service-manager", "running-kernel", "kernel-module", "kernel-setting", "container-engine"];
    CODES.contains(&finding.code)
}

fn sentence(text: &str, finding: &Finding, step: &str) -> String {
    let before = text.get(..finding.offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let or = if is_there_in_vm(finding) { ", or build with --isolation vm" } else { "" };
    format!("{step}, line {line}: {}; {}{or} [{}]", finding.message, finding.hint, finding.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_names_step_line_difference_and_advice() {
        let lines = ["true".to_owned(), "sudo modprobe br_netfilter".to_owned()];
        let found =
            warnings(&Script::Inline(lines.clone().into()), b"", "step 2 'modules'", Isolation::Namespaces);
        let [warning] = found.as_slice() else { panic!("{found:?}") };
        assert!(warning.starts_with("step 2 'modules', line 2: `modprobe` "), "{warning}");
        assert!(warning.ends_with(", or build with --isolation vm [kernel-module]"), "{warning}");
        let in_vm = warnings(&Script::Inline(lines.into()), b"", "step 2 'modules'", Isolation::Vm);
        assert_eq!(in_vm, [""; 0]);
    }

    #[test]
    fn a_fetched_script_is_read_for_mistakes_too() {
        let script = Script::Uri { uri: "https://example.com/x.sh".into(), sha256: None };
        let found = warnings(&script, b"#!/bin/sh\ncurl x | sh\n", "step 1 'x'", Isolation::Vm);
        assert!(found.len() == 1 && found[0].contains("line 2: when `curl` fails"), "{found:?}");
    }
}
