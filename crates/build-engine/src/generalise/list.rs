//! What is removed from every image, with the reason for each line.

use super::{Action, Operation};

/// Names of files in which shells and tools remember what a person did.
const HISTORIES: [&str; 11] = [
    ".bash_history",
    ".ash_history",
    ".zsh_history",
    ".python_history",
    ".node_repl_history",
    ".sqlite_history",
    ".mysql_history",
    ".psql_history",
    ".lesshst",
    ".viminfo",
    ".wget-hsts",
];

const IDENTITY: &str = "identity of one machine";
const CLOUD_INIT: &str = "cloud-init's state of the build machine, with which it would not run again";
const AGENT: &str = "the Azure agent's state of the build machine";
const LEASES: &str = "network leases of the build machine";
const SEEDS: &str = "randomness and keys that no two machines may share";
const BACKUPS: &str = "backups of files that were changed since";
const TEMPORARY: &str = "temporary files of the build";
const LOGS: &str = "logs of the build";
const LISTS: &str = "package lists and archives, old by the time the image is used";
const BUILD_USER: &str = "the build's own account";
const PASSWORD: &str = "a password known to the build";
const UP_TO_DATE: &str =
    "caches that Azure's build machine brought up to date when it booted, and packages here";
const SESSIONS: &str = "records of logins during the build";

/// What goes whatever accounts there are.
pub(super) fn always() -> Vec<Operation> {
    use Action::{ClearLogs, Empty, LockRoot, RemoveFiles, RemovePlainFile, Write};
    let remove = |path: &str| Action::Remove(path.to_owned());
    let named =
        |folder: &str, prefix, suffix| Action::RemoveNamed { folder: folder.to_owned(), prefix, suffix };
    [
        // Empty rather than missing or "uninitialized": those make the next boot a "first boot" to systemd, which
        // then resets every unit to its preset and so undoes what customizers enabled or disabled. machine-id(5).
        (Write("/etc/machine-id", ""), IDENTITY),
        (RemovePlainFile("/var/lib/dbus/machine-id".into()), IDENTITY),
        // As waagent does; cloud-init or the agent gives each machine its own name.
        (Write("/etc/hostname", "localhost.localdomain\n"), IDENTITY),
        (named("/etc/ssh", "ssh_host_", "_key"), IDENTITY),
        (named("/etc/ssh", "ssh_host_", "_key.pub"), IDENTITY),
        // Else the first boot makes the linker's cache, the message catalogue and the system users once more, which an
        // image that Azure made does not. systemd-update-done.service(8).
        (Write("/etc/.updated", ""), UP_TO_DATE),
        (Write("/var/.updated", ""), UP_TO_DATE),
        (remove("/var/lib/systemd/random-seed"), SEEDS),
        (remove("/var/lib/systemd/credential.secret"), SEEDS),
        (remove("/boot/efi/loader/random-seed"), SEEDS),
        (LockRoot, PASSWORD),
        (Empty("/var/lib/cloud"), CLOUD_INIT),
        (remove("/etc/netplan/50-cloud-init.yaml"), CLOUD_INIT),
        (remove("/etc/network/interfaces.d/50-cloud-init"), CLOUD_INIT),
        (named("/etc/systemd/network", "10-cloud-init-", ".network"), CLOUD_INIT),
        (named("/etc/NetworkManager/system-connections", "cloud-init-", ".nmconnection"), CLOUD_INIT),
        (remove("/etc/ssh/sshd_config.d/50-cloud-init.conf"), CLOUD_INIT),
        (remove("/etc/sudoers.d/90-cloud-init-users"), CLOUD_INIT),
        (Empty("/var/lib/waagent"), AGENT),
        (Empty("/var/log/azure"), AGENT),
        (remove("/etc/sudoers.d/waagent"), AGENT),
        (remove("/etc/systemd/system/waagent-network-setup.service"), AGENT),
        (remove("/usr/lib/systemd/system/waagent-network-setup.service"), AGENT),
        (RemoveFiles("/var/lib/dhclient"), LEASES),
        (RemoveFiles("/var/lib/dhcp"), LEASES),
        (RemoveFiles("/var/lib/dhcpcd"), LEASES),
        (RemoveFiles("/var/lib/NetworkManager"), LEASES),
        (RemoveFiles("/var/lib/chrony"), "clock drift of the build machine"),
        // A link into /run is made anew at each boot; a plain file names the build's own resolver.
        (RemovePlainFile("/etc/resolv.conf".into()), "name servers of the build"),
        (Empty("/var/log/journal"), LOGS),
        (ClearLogs("/var/log"), LOGS),
        (RemoveFiles("/var/lib/systemd/coredump"), LOGS),
        (RemoveFiles("/var/lib/wtmpdb"), SESSIONS),
        (RemoveFiles("/var/lib/lastlog"), SESSIONS),
        (RemoveFiles("/var/lib/sudo"), SESSIONS),
        (RemoveFiles("/var/lib/apt/lists"), LISTS),
        (RemoveFiles("/var/cache/apt"), LISTS),
        (named("/var/lib/dpkg", "", "-old"), BACKUPS),
        (named("/var/cache/debconf", "", "-old"), BACKUPS),
        (RemoveFiles("/var/backups"), BACKUPS),
        (remove("/etc/passwd-"), BACKUPS),
        (remove("/etc/shadow-"), BACKUPS),
        (remove("/etc/group-"), BACKUPS),
        (remove("/etc/gshadow-"), BACKUPS),
        (remove("/etc/subuid-"), BACKUPS),
        (remove("/etc/subgid-"), BACKUPS),
        (remove("/etc/.pwd.lock"), BACKUPS),
    ]
    .map(|(action, why)| Operation { action, why })
    .into()
}

/// What lasts no longer than the build whoever deprovisions.
pub(super) fn temporary() -> impl Iterator<Item = Operation> {
    ["/tmp", "/var/tmp", "/run"]
        .into_iter()
        .map(|folder| Operation { action: Action::Empty(folder), why: TEMPORARY })
}

/// What goes from a home folder that stays.
pub(super) fn traces_in_home(home: &str) -> impl Iterator<Item = Operation> {
    HISTORIES.into_iter().map(move |name| Operation {
        action: Action::RemovePlainFile(format!("{}/{name}", home.trim_end_matches('/'))),
        why: "what was typed during the build",
    })
}

/// What goes with a build user.
pub(super) fn build_user(user: &str, home: Option<String>) -> impl Iterator<Item = Operation> {
    let places = [
        format!("/etc/sudoers.d/{user}"),
        format!("/etc/sudoers.d/90-{user}"),
        format!("/var/mail/{user}"),
        format!("/var/spool/cron/crontabs/{user}"),
        format!("/var/lib/systemd/linger/{user}"),
    ];
    std::iter::once(Action::RemoveAccount(user.to_owned()))
        .chain(home.into_iter().chain(places).map(Action::Remove))
        .map(|action| Operation { action, why: BUILD_USER })
}
