//! dpkg's status file and Python's package metadata, read as text.

/// An installed package of the distribution.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DebianPackage<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) architecture: &'a str,
    /// Source package, where it has another name.
    pub(super) source: Option<&'a str>,
}

/// The installed packages in dpkg's status file; removed ones of which only settings are left do not count.
/// Format: deb-control(5), dpkg(1).
pub(super) fn debian(status: &str) -> Vec<DebianPackage<'_>> {
    status.split("\n\n").filter_map(debian_package).collect()
}

fn debian_package(stanza: &str) -> Option<DebianPackage<'_>> {
    let field = |name: &str| field(stanza, name);
    let state = field("Status")?.split_whitespace().nth(2)?;
    if matches!(state, "not-installed" | "config-files") {
        return None;
    }
    Some(DebianPackage {
        name: field("Package")?,
        version: field("Version")?,
        architecture: field("Architecture")?,
        source: field("Source").and_then(|source| source.split_whitespace().next()),
    })
}

/// An installed Python package.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PythonPackage {
    pub(super) name: String,
    pub(super) version: String,
}

impl PythonPackage {
    /// The name as package URLs and indices spell it: lower case, runs of `-`, `_` and `.` as one `-` (PEP 503).
    pub(super) fn normalized_name(&self) -> String {
        let parts = self.name.split(['-', '_', '.']).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("-").to_lowercase()
    }
}

/// The package that a `METADATA` or `PKG-INFO` file describes; its fields end at the first empty line.
pub(super) fn python(metadata: &str) -> Option<PythonPackage> {
    let head = metadata.split("\n\n").next()?;
    let value = |name| field(head, name).filter(|value| !value.is_empty()).map(str::to_owned);
    Some(PythonPackage { name: value("Name")?, version: value("Version")? })
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Percent-encodes a part of a package URL.
pub(super) fn encode(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte);
    part.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_packages_count_and_removed_ones_do_not() {
        let status = "Package: openssh-server\nStatus: install ok installed\nArchitecture: amd64\n\
            Source: openssh (1:10.0)\nVersion: 1:10.0p1-7+deb13u4\nDescription: secure shell\n .\n Package: fake\n\n\
            Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
            Package: broken\nStatus: install ok half-configured\nArchitecture: all\nVersion: 2\n\nPackage: cut";
        let found: Vec<_> =
            debian(status).iter().map(|p| (p.name, p.version, p.architecture, p.source)).collect();
        assert_eq!(
            found,
            [
                ("openssh-server", "1:10.0p1-7+deb13u4", "amd64", Some("openssh")),
                ("broken", "2", "all", None)
            ]
        );
    }

    #[test]
    fn python_metadata_ends_where_the_description_begins() {
        let package =
            python("Metadata-Version: 2.1\nName: Ruamel.yaml_clib\nVersion: 0.2\n\nName: fake\n").unwrap();
        assert_eq!((package.version.as_str(), package.normalized_name()), ("0.2", "ruamel-yaml-clib".into()));
        assert_eq!(python("Metadata-Version: 2.1\n\nName: x\nVersion: 1\n"), None);
    }

    #[test]
    fn characters_with_a_meaning_in_package_urls_are_encoded() {
        assert_eq!(encode("1:2.0+dfsg~rc1/ä"), "1:2.0%2Bdfsg~rc1%2F%C3%A4");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*") {
            let _ = (debian(&text).len(), python(&text), encode(&text));
        }
    }
}
