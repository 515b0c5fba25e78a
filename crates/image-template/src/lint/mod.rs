//! Warnings about scripts: what the service accepts and what then fails, or hides a failure, in the build.

mod local;
mod rules;
mod shell;

#[cfg(test)]
mod tests;

/// Something in a script that will likely cost a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where the command starts in the script, in bytes.
    pub offset: usize,
    /// Stable name of the kind of finding, such as `pipe-to-shell`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Looks for mistakes in a shell script, in the order of the script.
pub fn script(text: &str) -> Vec<Finding> {
    findings(rules::check, text)
}

/// Looks for what a shell script needs and a build on this machine does not have, in the order of the script.
pub fn local_script(text: &str) -> Vec<Finding> {
    findings(local::check, text)
}

fn findings(check: fn(&str, usize, &mut rules::Report<'_>), text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    check(text, 0, &mut |offset, code, message, hint| {
        findings.push(Finding { offset, code, message, hint: hint.to_owned() });
    });
    findings.sort_by_key(|finding| finding.offset);
    findings.dedup();
    findings
}
