//! Limits that the kernel holds a step to: where they do not hold, and what the kernel did when memory ran out.

use std::fs;

use sandbox::{IdMap, TaskLimit};

/// What a careful user is told of a machine on which nothing limits the processes of a step.
pub fn missing(id_map: &IdMap) -> Option<String> {
    let limited = TaskLimit::of(id_map) != TaskLimit::NotRoot;
    (!limited).then(|| {
        "a step that starts processes without end can use up this machine's: nothing limits root inside; Linux 6.14 \
         does"
            .to_owned()
    })
}

/// How many processes of this machine the kernel has ended for want of memory since it started; none where it does
/// not say (`oom_kill` of `/proc/vmstat`).
pub fn processes_killed() -> Option<u64> {
    killed(&fs::read_to_string("/proc/vmstat").ok()?)
}

fn killed(vmstat: &str) -> Option<u64> {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok())
}

/// What to add to the reason of a step that failed: the kernel does not say whose processes they were.
pub fn killed_since(before: Option<u64>) -> Option<String> {
    let count = processes_killed()?.saturating_sub(before?);
    (count > 0).then(|| {
        format!("; meanwhile the kernel ended {count} of this machine's processes for want of memory")
    })
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
