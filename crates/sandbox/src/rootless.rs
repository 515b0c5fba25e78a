//! What keeps an ordinary user from having a sandbox on a machine, and the exact cure of each.

use std::fs;
use std::path::Path;

use crate::id_map::{FEWEST, Range, range_of, subordinate};

/// A reason why sandboxes cannot be made, and what removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What is wrong.
    pub what: String,
    /// The commands that an administrator runs.
    pub cure: String,
    /// The Debian package that is the cure, when one is.
    pub package: Option<&'static str>,
}

/// An account of a machine.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user id; 0 for root, who needs neither subordinate ids nor helpers.
    pub uid: u32,
}

impl Account {
    /// Who runs this program.
    pub fn current() -> Self {
        let uid = nix::unistd::getuid();
        let name = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
        Self { name: name.unwrap_or_else(|| uid.to_string()), uid: uid.as_raw() }
    }
}

/// Settings that say how many namespaces there may be, per kind.
const LIMITS: [&str; 7] = [
    "user/max_user_namespaces",
    "user/max_mnt_namespaces",
    "user/max_net_namespaces",
    "user/max_pid_namespaces",
    "user/max_ipc_namespaces",
    "user/max_uts_namespaces",
    "user/max_cgroup_namespaces",
];

/// What keeps `account` from having sandboxes of `program`, by the files of the machine whose root folder is `root`.
pub fn obstacles(root: &Path, account: &Account, program: &Path) -> Vec<Obstacle> {
    let setting = |name: &str| {
        let text = fs::read_to_string(root.join("proc/sys").join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let mut found: Vec<_> =
        LIMITS.iter().filter(|name| setting(name) == "0").map(|name| limit(name)).collect();
    if account.uid == 0 {
        return found;
    }
    if setting("kernel/unprivileged_userns_clone") == "0" {
        let what = "only root may make user namespaces (kernel.unprivileged_userns_clone=0)";
        found.push(changed_setting(what, "kernel.unprivileged_userns_clone=1"));
    }
    // A profile other than `unconfined` is one that an administrator gave us: it may allow them.
    let confined = fs::read_to_string(root.join("proc/self/attr/current")).unwrap_or_default();
    if setting("kernel/apparmor_restrict_unprivileged_userns") == "1"
        && matches!(confined.trim_end_matches(['\n', '\0']), "unconfined" | "")
    {
        found.push(profile(program));
    }
    if !["newuidmap", "newgidmap"].iter().all(|name| root.join("usr/bin").join(name).is_file()) {
        found.push(Obstacle {
            what: "newuidmap and newgidmap".to_owned(),
            cure: "sudo apt-get install --yes uidmap".to_owned(),
            package: Some("uidmap"),
        });
    }
    found.extend(lacking_ids(root, account));
    found
}

fn limit(name: &str) -> Obstacle {
    let name = name.replace('/', ".");
    changed_setting(&format!("namespaces are switched off ({name}=0)"), &format!("{name}=15000"))
}

/// In force at once, and after the next boot.
fn changed_setting(what: &str, setting: &str) -> Obstacle {
    let cure =
        format!("echo {setting} | sudo tee --append /etc/sysctl.d/90-aks-jumpbox.conf\nsudo sysctl --system");
    Obstacle { what: what.to_owned(), cure, package: None }
}

/// Ubuntu 23.10 and later: only programs with a profile that says so may use user namespaces.
fn profile(program: &Path) -> Obstacle {
    let program = program.display();
    Obstacle {
        what: "AppArmor lets only named programs use user namespaces \
               (kernel.apparmor_restrict_unprivileged_userns=1)"
            .to_owned(),
        cure: format!(
            "sudo tee /etc/apparmor.d/aks-jumpbox <<'END'\n\
             abi <abi/4.0>,\n\
             include <tunables/global>\n\
             profile aks-jumpbox \"{program}\" flags=(unconfined) {{\n  userns,\n}}\n\
             END\n\
             sudo apparmor_parser -r /etc/apparmor.d/aks-jumpbox"
        ),
        package: None,
    }
}

fn lacking_ids(root: &Path, account: &Account) -> Option<Obstacle> {
    let files = [("subuid", "user"), ("subgid", "group")].map(|(file, kind)| {
        (fs::read_to_string(root.join("etc").join(file)).unwrap_or_default(), file, kind)
    });
    let lacking: Vec<_> =
        files.iter().filter(|(text, ..)| subordinate(text, &account.name, account.uid).is_none()).collect();
    if lacking.is_empty() {
        return None;
    }
    let Range { start, count } = free_range(files.iter().map(|(text, ..)| text.as_str()));
    let options = lacking.iter().map(|(_, file, _)| format!("--add-{file}s {start}-{}", start + count - 1));
    let kinds = lacking.iter().map(|(_, file, kind)| format!("subordinate {kind} ids in /etc/{file}"));
    Some(Obstacle {
        what: format!("{FEWEST} {} for {}", kinds.collect::<Vec<_>>().join(" and "), account.name),
        cure: format!("sudo usermod {} {}", options.collect::<Vec<_>>().join(" "), account.name),
        package: None,
    })
}

/// The first range above those that are given out, where Debian begins (`login.defs(5)`, `SUB_UID_MIN`).
fn free_range<'a>(files: impl Iterator<Item = &'a str>) -> Range {
    let ends =
        files.flat_map(str::lines).filter_map(range_of).map(|range| range.start.saturating_add(range.count));
    Range { start: ends.max().unwrap_or_default().max(100_000), count: FEWEST }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A machine on which everything is as it must be.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("etc/subuid", "alice:100000:65536\n"),
            ("etc/subgid", "alice:100000:65536\n"),
            ("usr/bin/newuidmap", ""),
            ("usr/bin/newgidmap", ""),
            ("proc/sys/kernel/unprivileged_userns_clone", "1\n"),
            ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0\n"),
            ("proc/sys/user/max_user_namespaces", "96364\n"),
            ("proc/self/attr/current", "unconfined\n"),
        ] {
            set(&root, file, text);
        }
        root
    }

    fn set(root: &tempfile::TempDir, file: &str, text: &str) {
        let file = root.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn found(root: &tempfile::TempDir, name: &str, uid: u32) -> Vec<Obstacle> {
        obstacles(root.path(), &Account { name: name.into(), uid }, Path::new("/opt/our own/aks-jumpbox"))
    }

    #[track_caller]
    fn only(root: &tempfile::TempDir) -> Obstacle {
        let all = found(root, "alice", 1000);
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap()
    }

    #[test]
    fn a_machine_that_is_ready_has_no_obstacle_whatever_it_does_not_know() {
        assert_eq!(found(&machine(), "alice", 1000), []);
        let root = machine();
        fs::remove_dir_all(root.path().join("proc")).unwrap();
        assert_eq!(found(&root, "alice", 1000), [], "an older kernel has none of these settings");
    }

    #[test]
    fn each_setting_that_forbids_namespaces_is_named_with_the_value_that_allows_them() {
        for (file, name, cure) in [
            ("kernel/unprivileged_userns_clone", "kernel.unprivileged_userns_clone=0", "clone=1 |"),
            ("user/max_user_namespaces", "user.max_user_namespaces=0", "user.max_user_namespaces=15000 |"),
            ("user/max_net_namespaces", "user.max_net_namespaces=0", "user.max_net_namespaces=15000 |"),
        ] {
            let root = machine();
            set(&root, &format!("proc/sys/{file}"), "0\n");
            let obstacle = only(&root);
            assert!(obstacle.what.contains(name), "{obstacle:?}");
            assert!(
                obstacle.cure.contains(cure) && obstacle.cure.contains("sysctl --system"),
                "{obstacle:?}"
            );
        }
    }

    #[test]
    fn ubuntus_restriction_is_cured_by_a_profile_of_our_own_path() {
        let root = machine();
        set(&root, "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
        let obstacle = only(&root);
        assert_eq!(
            obstacle.cure,
            "sudo tee /etc/apparmor.d/aks-jumpbox <<'END'\nabi <abi/4.0>,\ninclude <tunables/global>\n\
             profile aks-jumpbox \"/opt/our own/aks-jumpbox\" flags=(unconfined) {\n  userns,\n}\nEND\n\
             sudo apparmor_parser -r /etc/apparmor.d/aks-jumpbox"
        );
        set(&root, "proc/self/attr/current", "aks-jumpbox (unconfined)\n");
        assert_eq!(found(&root, "alice", 1000), [], "the profile is in force");
    }

    #[test]
    fn ids_that_are_missing_or_too_few_come_with_a_range_that_is_free() {
        let root = machine();
        let missing = found(&root, "bob", 1001);
        assert_eq!(missing.len(), 1);
        assert_eq!(
            missing[0].cure,
            "sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 bob"
        );
        set(&root, "etc/subgid", "alice:100000:1000\n");
        let few = only(&root);
        assert_eq!(few.what, "65536 subordinate group ids in /etc/subgid for alice");
        assert_eq!(few.cure, "sudo usermod --add-subgids 165536-231071 alice");
        for file in ["etc/subuid", "etc/subgid"] {
            fs::remove_file(root.path().join(file)).unwrap();
        }
        assert!(only(&root).cure.contains("--add-subuids 100000-165535 --add-subgids 100000-165535 alice"));
    }

    #[test]
    fn missing_helpers_are_a_package() {
        let root = machine();
        fs::remove_file(root.path().join("usr/bin/newgidmap")).unwrap();
        assert_eq!(only(&root).package, Some("uidmap"));
    }

    #[test]
    fn root_needs_namespaces_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        set(&root, "proc/sys/kernel/unprivileged_userns_clone", "0\n");
        assert_eq!(found(&root, "root", 0), []);
        set(&root, "proc/sys/user/max_user_namespaces", "0\n");
        assert_eq!(found(&root, "root", 0).len(), 1);
    }
}
