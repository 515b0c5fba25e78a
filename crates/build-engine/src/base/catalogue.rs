//! The platform images that this machine can stand in for.

use image_template::Source;

use crate::error::{BuildError, Result};

/// A distribution that mmdebstrap can make.
#[derive(Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The marketplace publisher.
    pub publisher: &'static str,
    /// The marketplace offer.
    pub offer: &'static str,
    /// Its generation-2 SKU.
    pub sku: &'static str,
    /// Its generation-1 SKU.
    pub sku_gen1: &'static str,
    /// The archive's suite.
    pub suite: &'static str,
    /// Keys that sign the archive, and the package of Debian that brings them.
    pub keyring: (&'static str, &'static str),
    /// Packages beside [`COMMON`].
    own: &'static [&'static str],
    /// Builds of it are tested. Else its names and packages are as far as documents go: an assumption.
    pub verified: bool,
}

const DEBIAN_KEYRING: (&str, &str) =
    ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring");
const UBUNTU_KEYRING: (&str, &str) = ("/usr/share/keyrings/ubuntu-archive-keyring.gpg", "ubuntu-keyring");

/// Every distribution, newest first. Adding one is adding a row.
pub const KNOWN: [Distribution; 4] = [
    Distribution {
        publisher: "Debian",
        offer: "debian-13",
        sku: "13-gen2",
        sku_gen1: "13",
        suite: "trixie",
        keyring: DEBIAN_KEYRING,
        own: DEBIAN,
        verified: true,
    },
    Distribution {
        publisher: "Debian",
        offer: "debian-12",
        sku: "12-gen2",
        sku_gen1: "12",
        suite: "bookworm",
        keyring: DEBIAN_KEYRING,
        own: DEBIAN,
        verified: true,
    },
    Distribution {
        publisher: "Canonical",
        offer: "ubuntu-24_04-lts",
        sku: "server",
        sku_gen1: "server-gen1",
        suite: "noble",
        keyring: UBUNTU_KEYRING,
        own: &["linux-image-azure", "systemd-resolved", "walinuxagent"],
        verified: false,
    },
    Distribution {
        publisher: "Canonical",
        offer: "0001-com-ubuntu-server-jammy",
        sku: "22_04-lts-gen2",
        sku_gen1: "22_04-lts",
        suite: "jammy",
        keyring: UBUNTU_KEYRING,
        // Its systemd brings the resolver.
        own: &["linux-image-azure", "walinuxagent"],
        verified: false,
    },
];

/// What each distribution's Azure image carries: cloud-init, SSH, signed boot chain, network configuration, time from
/// the host.
const COMMON: &[&str] = &[
    "apt-utils",
    "ca-certificates",
    "chrony",
    "cloud-guest-utils",
    "cloud-init",
    "curl",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "grub-efi-amd64-bin",
    "grub-efi-amd64-signed",
    "initramfs-tools",
    "netplan.io",
    "openssh-server",
    "python3-minimal",
    "shim-signed",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
    "zstd",
];
/// And what Debian calls its cloud kernel, its Azure agent and its resolver.
const DEBIAN: &[&str] = &["libnss-myhostname", "linux-image-cloud-amd64", "systemd-resolved", "waagent"];

impl Distribution {
    /// `publisher:offer:sku`, as people write it.
    pub fn image(&self) -> String {
        format!("{}:{}:{}", self.publisher, self.offer, self.sku)
    }

    /// The packages of the base, sorted, without recommended ones.
    pub fn packages(&self) -> Vec<&'static str> {
        let mut all = [COMMON, self.own].concat();
        all.sort_unstable();
        all
    }

    /// Its name, and whether builds of it are tested.
    fn described(&self) -> String {
        let mark = if self.verified { "" } else { " (not tested)" };
        self.image() + mark
    }
}

/// The distribution that a template's source names, and what has to be said about the choice.
///
/// # Errors
/// [`BuildError::Input`] for a source that cannot be had on this machine; it lists those that can.
pub fn lookup(source: &Source) -> Result<(&'static Distribution, Vec<String>)> {
    let unknown = |what: String| BuildError::Input {
        message: format!("{what} cannot be built on this machine"),
        hint: Some(format!(
            "known sources: {}; or give an archive or a disk of it: --base FILE --base-sha256 HEX",
            KNOWN.map(|known| known.described()).join(", ")
        )),
    };
    let (publisher, offer, sku, version) = match source {
        Source::PlatformImage { publisher, offer, sku, version, .. } => (publisher, offer, sku, version),
        Source::ManagedImage { image_id } => return Err(unknown(format!("the managed image {image_id}"))),
        Source::SharedImageVersion { image_version_id } => {
            return Err(unknown(format!("the gallery image {image_version_id}")));
        }
    };
    let name = format!("the platform image {publisher}:{offer}:{sku}");
    let (Some(publisher), Some(offer), Some(sku)) = (publisher.known(), offer.known(), sku.known()) else {
        return Err(unknown(format!("{name}, which holds a placeholder or an expression,")));
    };
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let found = KNOWN.iter().find(|known| {
        same(publisher, known.publisher)
            && same(offer, known.offer)
            && (same(sku, known.sku) || same(sku, known.sku_gen1))
    });
    let found = found.ok_or_else(|| {
        let windows = publisher.to_ascii_lowercase().starts_with("microsoftwindows");
        if windows { needs_azure(&name) } else { unknown(name) }
    })?;
    let mut warnings = Vec::new();
    if !found.verified {
        warnings.push(format!(
            "local builds on {} are not tested: its packages are those that its documents name",
            found.image()
        ));
    }
    if same(sku, found.sku_gen1) {
        warnings.push(format!(
            "the source {sku} is a generation 1 image; the local disk is generation 2, as {} makes it",
            found.sku
        ));
    }
    if !version.as_str().eq_ignore_ascii_case("latest") {
        warnings.push(format!(
            "the source's version {version} is not in the archive; the newest packages are used"
        ));
    }
    Ok((found, warnings))
}

fn needs_azure(name: &str) -> BuildError {
    BuildError::Input {
        message: format!("{name} is Windows, which needs Azure"),
        hint: Some("a local build makes images of Linux".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(sku: &str) -> Source {
        Source::PlatformImage {
            publisher: "Debian".into(),
            offer: "debian-13".into(),
            sku: sku.into(),
            version: "latest".into(),
            plan_info: None,
        }
    }

    #[test]
    fn known_sources_are_found_and_generation_1_is_said() {
        assert_eq!(lookup(&source("13-gen2")).expect("known").0.suite, "trixie");
        let (_, warnings) = lookup(&source("13")).expect("known");
        assert!(warnings[0].contains("generation 1"));
    }

    #[test]
    fn ubuntu_is_found_by_its_marketplace_names_and_said_to_be_untested() {
        for (offer, sku, suite) in [
            ("ubuntu-24_04-lts", "server", "noble"),
            ("0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "jammy"),
        ] {
            let source = Source::PlatformImage {
                publisher: "canonical".into(),
                offer: offer.into(),
                sku: sku.into(),
                version: "latest".into(),
                plan_info: None,
            };
            let (found, warnings) = lookup(&source).expect("known");
            assert_eq!(found.suite, suite);
            assert!(found.packages().contains(&"linux-image-azure"));
            assert!(!found.packages().contains(&"waagent"), "Debian's name");
            assert!(warnings.len() == 1 && warnings[0].contains("not tested"), "{warnings:?}");
        }
    }

    #[test]
    fn an_unknown_source_lists_the_known_ones() {
        for sku in ["14-gen2", "<sku>"] {
            let hint = lookup(&source(sku)).expect_err(sku).hint().expect("hint");
            assert!(hint.contains("Debian:debian-13:13-gen2") && hint.contains("Debian:debian-12:12-gen2"));
        }
    }
}
