//! What a jump box for Azure Kubernetes Service is expected to have, and this one does not.

use crate::Recipe;

/// A tool that the jump box lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack {
    /// The tool.
    pub tool: &'static str,
    /// What it is for, and why it is not there.
    pub why: &'static str,
}

const EXPECTED: [(&str, &[&str], &str); 3] = [
    ("kubectl", &["kubectl", "kubernetes-client"], "talks to clusters; not among the recipe's packages"),
    ("kubelogin", &["kubelogin"], "logs in to clusters that use Microsoft Entra ID; not in Debian's archive"),
    ("helm", &["helm"], "installs charts; not in Debian's archive"),
];

impl Recipe {
    /// Tools of a jump box that neither a package nor a step of this recipe brings. A step brings a tool when
    /// its name says so.
    pub fn lacks(&self) -> Vec<Lack> {
        let brings = |tool: &str, packages: &[&str]| {
            self.packages.iter().any(|package| packages.contains(&package.as_str()))
                || self.steps.iter().any(|step| {
                    step.name
                        .to_ascii_lowercase()
                        .split(|c: char| !c.is_alphanumeric())
                        .any(|word| word == tool)
                })
        };
        EXPECTED
            .iter()
            .filter(|(tool, packages, _)| !brings(tool, packages))
            .map(|&(tool, _, why)| Lack { tool, why })
            .collect()
    }
}

/// The Kubernetes versions that a kubectl of `version` (such as `1.32.3` or `v1.32.3`) supports: one minor
/// version either side, as `1.31 to 1.33`. Source: Kubernetes' version skew policy.
pub fn kubectl_supports(version: &str) -> Option<String> {
    let mut parts = version.strip_prefix('v').unwrap_or(version).split('.');
    let major: u32 = parts.next()?.parse().ok()?;
    let minor: u32 =
        parts.next()?.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()?;
    Some(format!("{major}.{} to {major}.{}", minor.checked_sub(1)?, minor.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_supports_one_minor_version_either_side() {
        assert_eq!(kubectl_supports("1.32.3").as_deref(), Some("1.31 to 1.33"));
        assert_eq!(kubectl_supports("v1.32.3+ds-2").as_deref(), Some("1.31 to 1.33"));
        assert_eq!(kubectl_supports("1.32+").as_deref(), Some("1.31 to 1.33"));
        for wrong in ["", "1", "1.x", "x.1", "1.0", "1.4294967295"] {
            assert_eq!(kubectl_supports(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_default_jump_box_says_what_it_lacks() {
        let tools: Vec<_> = Recipe::default().lacks().iter().map(|lack| lack.tool).collect();
        assert_eq!(tools, ["kubelogin", "helm"]);
    }
}
