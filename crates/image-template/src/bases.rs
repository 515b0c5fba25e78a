//! What is known of marketplace images: their operating system, and whether they are still maintained.

/// The family of an operating system, which decides what customizers can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Os {
    Linux,
    Windows,
}

const WINDOWS_PUBLISHERS: [&str; 3] =
    ["microsoftwindowsserver", "microsoftwindowsdesktop", "microsoftwindowsserverhpcpack"];

const LINUX_PUBLISHERS: [&str; 13] = [
    "canonical",
    "debian",
    "credativ",
    "redhat",
    "openlogic",
    "suse",
    "oracle",
    "almalinux",
    "resf",
    "erockyenterprisesoftwarefoundationinc1653071250513",
    "microsoftcblmariner",
    "microsoftazurelinux",
    "kinvolk",
];

/// The family of a marketplace image, where the publisher offers only one.
pub(crate) fn os_of(publisher: &str) -> Option<Os> {
    let publisher = publisher.to_ascii_lowercase();
    if WINDOWS_PUBLISHERS.contains(&publisher.as_str()) {
        Some(Os::Windows)
    } else {
        LINUX_PUBLISHERS.contains(&publisher.as_str()).then_some(Os::Linux)
    }
}

/// Why an image should not be built on any more.
pub(crate) struct Retired {
    /// Such as `Ubuntu 18.04 has had no standard support since 2023`.
    pub why: &'static str,
    /// What to use instead.
    pub instead: &'static str,
}

const DEBIAN: &str = "use `Debian:debian-13:13-gen2`";
const UBUNTU: &str = "use `Canonical:ubuntu-24_04-lts:server`";
const OTHER: &str = "use a distribution that is maintained";

/// Publisher, the start of `offer:sku`, why it is retired, and what to use instead; names in lower case. The
/// years are the ends of standard support (Ubuntu) and of long-term support (Debian).
const RETIRED: [(&str, &str, &str, &str); 10] = [
    ("canonical", "ubuntuserver:14", "Ubuntu 14.04 has had no standard support since 2019", UBUNTU),
    ("canonical", "ubuntuserver:16", "Ubuntu 16.04 has had no standard support since 2021", UBUNTU),
    ("canonical", "ubuntuserver:18", "Ubuntu 18.04 has had no standard support since 2023", UBUNTU),
    (
        "canonical",
        "0001-com-ubuntu-server-focal",
        "Ubuntu 20.04 has had no standard support since 2025",
        UBUNTU,
    ),
    (
        "canonical",
        "0001-com-ubuntu-minimal-focal",
        "Ubuntu 20.04 has had no standard support since 2025",
        UBUNTU,
    ),
    ("credativ", "debian", "Debian 9 and older have had no support since 2022", DEBIAN),
    ("debian", "debian-9", "Debian 9 has had no support since 2022", DEBIAN),
    ("debian", "debian-10", "Debian 10 has had no support since 2024", DEBIAN),
    ("debian", "debian-11", "Debian 11 has had no support since 2026", DEBIAN),
    ("openlogic", "centos", "CentOS has had no support since 2024", OTHER),
];

/// Whether a marketplace image gets no more fixes.
pub(crate) fn retired(publisher: &str, offer: &str, sku: &str) -> Option<Retired> {
    let publisher = publisher.to_ascii_lowercase();
    let image = format!("{offer}:{sku}").to_ascii_lowercase();
    RETIRED
        .iter()
        .find(|(own, start, ..)| *own == publisher && image.starts_with(start))
        .map(|&(.., why, instead)| Retired { why, instead })
}
