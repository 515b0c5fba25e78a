//! Limits that the kernel holds a step to: where they do not hold, and what the kernel did when memory ran out.

use std::fs;
use std::sync::Arc;

use sandbox::{Group, Groups, IdMap, MOST_TASKS, OutOfMemory, Running, TaskLimit};
use serde::{Deserialize, Serialize};

use crate::space::size;

/// The limits of each sandbox, as the manifest has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory, by a control group; none where none can be made.
    pub memory_bytes: Option<u64>,
    /// Why there is no control group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_control_group: Option<String>,
    /// Processes and threads at once.
    pub tasks: u32,
    /// Whose: `sandbox` (all together), `each-user`, or `not-root` (each user's but root's).
    pub tasks_of: String,
}

impl Limits {
    /// Those of sandboxes with this map on this machine.
    pub fn of(id_map: &IdMap) -> Self {
        let groups = Groups::here();
        let tasks_of = match TaskLimit::of(id_map) {
            TaskLimit::Sandbox => "sandbox",
            TaskLimit::EachUser => "each-user",
            TaskLimit::NotRoot => "not-root",
        };
        Self {
            memory_bytes: groups.ok().map(Groups::memory),
            no_control_group: groups.err().map(str::to_owned),
            tasks: MOST_TASKS,
            tasks_of: tasks_of.to_owned(),
        }
    }
}

/// What a careful user is told of a machine on which nothing limits the processes of a step.
pub fn missing(id_map: &IdMap) -> Option<String> {
    let limited = TaskLimit::of(id_map) != TaskLimit::NotRoot;
    (!limited).then(|| {
        "a step that starts processes without end can use up this machine's: nothing limits root inside; Linux 6.14 \
         does"
            .to_owned()
    })
}

/// Watches what the kernel does to a sandbox, or to this machine, for want of memory.
#[derive(Debug)]
pub struct Memory {
    group: Option<Arc<Group>>,
    killed_before: Option<u64>,
}

impl Memory {
    /// From now on.
    pub fn of(running: &Running) -> Self {
        Self { group: running.group(), killed_before: processes_killed() }
    }

    /// What to add to the reason of a failure; none when memory had no part in it. Without a control group the kernel
    /// does not say whose processes it has ended.
    pub fn ran_out(&self) -> Option<String> {
        let Some(group) = &self.group else {
            let count = processes_killed()?.saturating_sub(self.killed_before?);
            let text = "of this machine's processes for want of memory";
            return (count > 0).then(|| format!("; meanwhile the kernel ended {count} {text}"));
        };
        let OutOfMemory { processes, limit } = group.out_of_memory()?;
        let what = match limit {
            Some(bytes) => format!("it used more than the {} of memory that a sandbox may", size(bytes)),
            None => "this machine's memory ran out".to_owned(),
        };
        Some(format!("; {what}, and the kernel ended {processes} of its processes"))
    }
}

/// How many processes of this machine the kernel has ended for want of memory since it started; none where it does
/// not say (`oom_kill` of `/proc/vmstat`).
fn processes_killed() -> Option<u64> {
    killed(&fs::read_to_string("/proc/vmstat").ok()?)
}

fn killed(vmstat: &str) -> Option<u64> {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_count_is_found() {
        assert_eq!(killed("nr_free_pages 12\noom_kill 3\noom_killer 9\n"), Some(3));
        assert_eq!(killed("nr_free_pages 12\n"), None, "an older kernel does not count");
    }
}
