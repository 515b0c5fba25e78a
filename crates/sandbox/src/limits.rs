//! How much of this machine's kernel a sandbox may take: by a control group where one can be made ([`Groups`]), and by
//! what the kernel has beside.

use std::fs;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use serde::{Deserialize, Serialize};

use crate::groups::Groups;
use crate::id_map::IdMap;

/// Processes and threads that a sandbox has at most, at once.
pub const MOST_TASKS: u32 = 4096;

/// By which of the kernel's means a sandbox is bounded, beside `RLIMIT_NPROC`, which every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// A control group bounds memory and tasks.
    pub group: bool,
    /// `kernel.pid_max` of the pid namespace bounds tasks (Linux 6.14).
    pub namespace: bool,
}

impl Limits {
    /// All that this machine has.
    pub fn here() -> Self {
        Self { group: Groups::here().is_ok(), namespace: namespaces_count() }
    }
}

/// Which limit of [`MOST_TASKS`] holds on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskLimit {
    /// All processes and threads of a sandbox together (a control group, or `kernel.pid_max` of a pid namespace).
    Sandbox,
    /// Those of each user inside (`RLIMIT_NPROC`).
    EachUser,
    /// Those of each user inside but root, who is the host's root to the kernel, which it does not limit.
    NotRoot,
}

impl TaskLimit {
    /// The limit of sandboxes with this map.
    pub fn of(id_map: &IdMap) -> Self {
        match id_map {
            _ if namespaces_count() || Groups::here().is_ok_and(Groups::bound_tasks) => Self::Sandbox,
            IdMap::Shifted(_) | IdMap::Subordinate { .. } => Self::EachUser,
            IdMap::Identity => Self::NotRoot,
        }
    }
}

/// Where memory runs out, the kernel ends processes of sandboxes first. For a process that the host knows as root, it
/// keeps those inside from taking this back.
pub fn end_first_when_memory_runs_out() {
    // Raising one's own value is always allowed; without /proc there is no sandbox either.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}

/// Limits the tasks of this process's pid namespace, whose `proc` is this.
pub fn tasks_of_namespace(proc: &Path) -> Result<(), String> {
    let setting = proc.join("sys/kernel/pid_max");
    fs::write(setting, MOST_TASKS.to_string()).map_err(|error| format!("failed to limit processes: {error}"))
}

/// Limits the tasks of each user inside, for this process and what it starts.
pub fn tasks_of_each_user() -> Result<(), String> {
    let fail = |error| format!("failed to limit processes: {error}");
    let (_, most) = getrlimit(Resource::RLIMIT_NPROC).map_err(fail)?;
    let most = most.min(MOST_TASKS.into());
    setrlimit(Resource::RLIMIT_NPROC, most, most).map_err(fail)
}

/// Before Linux 6.14 the setting was the whole machine's, and root's to change.
fn namespaces_count() -> bool {
    nix::sys::utsname::uname().is_ok_and(|name| counts(&name.release().to_string_lossy()))
}

fn counts(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = (numbers.next().and_then(Result::ok), numbers.next().and_then(Result::ok));
    matches!(version, (Some(major), Some(minor)) if (major, minor) >= (6, 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_that_has_the_setting_per_namespace_is_told() {
        for (release, expected) in [
            ("6.14.0-1-amd64", true),
            ("6.18.5", true),
            ("7.0-rc1", true),
            ("6.13.9", false),
            ("6.1.0-40-cloud-amd64", false),
            ("5.15.167.4-microsoft-standard-WSL2", false),
            ("", false),
        ] {
            assert_eq!(counts(release), expected, "{release}");
        }
    }
}
