//! What apt's and dpkg's own files say: archive hosts, installed packages, settings of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::{BuildError, Result};

/// Names of the hosts that a root's package sources point to, sorted.
///
/// # Errors
/// When a source list cannot be read.
pub fn archive_hosts(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("etc/apt");
    let mut files = vec![folder.join("sources.list")];
    if let Ok(entries) = fs::read_dir(folder.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    let mut hosts = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let text = fs::read_to_string(file).map_err(BuildError::io("read", file))?;
        hosts.extend(hosts_of(&text));
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

/// `name version architecture` of every installed package, in the file's order (`/var/lib/dpkg/status`).
pub fn installed(status: &str) -> Vec<String> {
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
        assert_eq!(installed(status), ["a 1:2-3 all"]);
    }
}
