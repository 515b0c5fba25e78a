//! What apt's and dpkg's own files say: archive hosts, installed packages, settings of this machine.

use std::collections::BTreeSet;
use std::process::Command;

use crate::rooted::{Rooted, RootedError};

/// Longest file that is read.
const LARGEST: u64 = 64 << 20;

/// Names of the hosts that a root's package sources point to, sorted.
///
/// # Errors
/// When a source list cannot be read.
pub fn archive_hosts(root: &Rooted) -> Result<Vec<String>, RootedError> {
    let mut files = vec!["/etc/apt/sources.list".to_owned()];
    let parts = root.list("/etc/apt/sources.list.d")?.into_iter();
    files.extend(parts.map(|(name, _)| format!("/etc/apt/sources.list.d/{}", name.to_string_lossy())));
    let mut hosts = BTreeSet::new();
    for file in files {
        let text = root.read(&file, LARGEST)?.unwrap_or_default();
        hosts.extend(hosts_of(&String::from_utf8_lossy(&text)));
    }
    Ok(hosts.into_iter().collect())
}

/// Hosts in either form of apt's source lists (`sources.list(5)`): one-line or deb822.
fn hosts_of(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .filter_map(|word| word.strip_prefix("http://").or_else(|| word.strip_prefix("https://")))
        .filter_map(|rest| rest.split(['/', ':']).next())
        .map(str::to_ascii_lowercase)
        .collect()
}

/// `name version architecture` of every package installed in a root, in dpkg's order.
///
/// # Errors
/// When dpkg's record cannot be read.
pub fn installed(root: &Rooted) -> Result<Vec<String>, RootedError> {
    let status = root.read("/var/lib/dpkg/status", LARGEST)?.unwrap_or_default();
    Ok(installed_of(&String::from_utf8_lossy(&status)))
}

fn installed_of(status: &str) -> Vec<String> {
    let field = |stanza: &str, name: &str| {
        let found = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_default().to_owned()
    };
    status
        .split("\n\n")
        .filter(|stanza| field(stanza, "Status").ends_with(" installed"))
        .map(|stanza| {
            format!(
                "{} {} {}",
                field(stanza, "Package"),
                field(stanza, "Version"),
                field(stanza, "Architecture")
            )
        })
        .collect()
}

/// Settings of this machine's apt that a build needs too: whether an archive snapshot's expired index is accepted.
/// They reach builds through `APT_CONFIG`, never through a file of the image.
pub fn host_apt_options() -> Vec<String> {
    const NAMES: [&str; 2] = ["Acquire::Check-Valid-Until", "Acquire::Check-Date"];
    let Ok(output) = Command::new("apt-config").arg("dump").args(NAMES).output() else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| NAMES.iter().any(|name| line.starts_with(&format!("{name} "))))
        .map(|line| line.trim_end_matches(';').to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_from_both_forms() {
        let lines =
            "# deb http://old.example/ x\ndeb [signed-by=/k] http://deb.example.org/debian trixie main\n";
        let stanza =
            "Types: deb\nURIs: https://Mirror.example.com:8443/debian http://b.example\nSuites: trixie\n";
        assert_eq!(hosts_of(lines), ["deb.example.org"]);
        assert_eq!(hosts_of(stanza), ["mirror.example.com", "b.example"]);
    }

    #[test]
    fn only_installed_packages_count() {
        let status = "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2-3\n\n\
                      Package: b\nStatus: deinstall ok config-files\nVersion: 1\n";
        assert_eq!(installed_of(status), ["a 1:2-3 all"]);
    }
}
