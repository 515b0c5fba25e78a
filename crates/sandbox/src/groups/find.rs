//! Where this program may make control groups.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Groups, Hierarchy, failed};

/// The group that this program moves to where a group that has processes may have no groups (version 2).
const OWN: &str = "engine";

/// A group that this process is in.
#[derive(Debug, PartialEq, Eq)]
struct Own {
    /// Where its hierarchy is mounted.
    top: PathBuf,
    /// Its folder, at or below that.
    folder: PathBuf,
}

/// Where groups can be made; the error says why nowhere.
pub fn groups() -> Result<Groups, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| failed(Path::new(path), &error));
    let (mounts, groups) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
    let own = |controller| own(&mounts, &groups, controller);
    let (parents, memory) = match (own(Some("memory")), own(None)) {
        (Some(memory), _) => {
            let tasks = own(Some("pids")).map(|tasks| (Hierarchy::Tasks, tasks.folder));
            let limit = limit(&memory, "memory.limit_in_bytes")?;
            ([(Hierarchy::Memory, memory.folder)].into_iter().chain(tasks).collect(), limit)
        }
        (None, Some(unified)) => {
            let limit = limit(&unified, "memory.max")?;
            (vec![(Hierarchy::Unified, delegated(&unified.folder)?)], limit)
        }
        (None, None) => {
            return Err("this kernel, or who started this program, gives it no control group".into());
        }
    };
    let groups = Groups { parents, memory };
    groups.sweep();
    // Only a trial shows what is allowed.
    groups.make().map(|_| groups)
}

/// The group of this process in the hierarchy of a controller of version 1, or in that of version 2.
fn own(mounts: &str, groups: &str, controller: Option<&str>) -> Option<Own> {
    let path = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let it =
            controller.map_or(controllers.is_empty(), |name| controllers.split(',').any(|one| one == name));
        it.then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let (kind, options) = (kind.split(' ').next()?, kind.rsplit(' ').next()?);
        let it = match controller {
            Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
            None => kind == "cgroup2",
        };
        let mut fields = it.then(|| place.split(' ').skip(3))?;
        let (root, top) = (fields.next()?, PathBuf::from(fields.next()?));
        let inside = Path::new(path).strip_prefix(root).ok()?;
        // As a container shows groups that are none of its own.
        (!path.contains("..")).then(|| Own { folder: top.join(inside), top })
    })
}

/// Three quarters of what this program may use itself: the machine's memory, or less where its group has less.
fn limit(own: &Own, file: &str) -> Result<u64, String> {
    let path = Path::new("/proc/meminfo");
    let meminfo = fs::read_to_string(path).map_err(|error| failed(path, &error))?;
    let all = machine(&meminfo).ok_or_else(|| format!("{} is unreadable", path.display()))?;
    let above = own.folder.ancestors().take_while(|folder| folder.starts_with(&own.top));
    // Where nothing bounds a group, the file says `max`, is a huge number, or is not there.
    let bounds = above.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok());
    Ok(bounds.fold(all, u64::min) / 4 * 3)
}

/// Bytes of this machine's memory.
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Lets the groups that are made in `own` have limits. A group that has them may have no processes beside, so this
/// program moves into one below it; which does not help where `own` holds other programs.
fn delegated(own: &Path) -> Result<PathBuf, String> {
    const LIMITED: &str = "cgroup.subtree_control";
    let has = |file: &str| {
        let names = fs::read_to_string(own.join(file)).unwrap_or_default();
        ["memory", "pids"].iter().all(|name| names.split_whitespace().any(|one| one == *name))
    };
    if !has("cgroup.controllers") {
        return Err(format!("{} is a control group without limits on memory and processes", own.display()));
    }
    let switch_on = || fs::write(own.join(LIMITED), "+memory +pids");
    if has(LIMITED) || switch_on().is_ok() {
        return Ok(own.to_owned());
    }
    let engine = own.join(OWN);
    match fs::create_dir(&engine) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(&engine, &error)),
        _ => {}
    }
    let enter = |folder: &Path| fs::write(folder.join("cgroup.procs"), std::process::id().to_string());
    enter(&engine).map_err(|error| failed(&engine, &error))?;
    match switch_on() {
        Ok(()) => Ok(own.to_owned()),
        Err(error) => {
            // As it was; should we not get out again, we stay bounded by the group all the same.
            let _ = enter(own).and_then(|()| fs::remove_dir(&engine));
            Err(match error.kind() {
                ErrorKind::ResourceBusy => {
                    format!("the control group {} holds other programs, too", own.display())
                }
                _ => failed(&own.join(LIMITED), &error),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "25 20 0:23 / / rw - ext4 /dev/vda rw\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
        39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const IN_HYBRID: &str = "9:name=systemd:/\n8:pids:/\n4:memory:/jobs/17\n1:cpu,cpuacct:/\n0::/\n";

    #[test]
    fn the_own_group_is_found_in_each_hierarchy() {
        let of = |controller| own(HYBRID, IN_HYBRID, controller).map(|own| own.folder.display().to_string());
        assert_eq!(of(Some("memory")).as_deref(), Some("/sys/fs/cgroup/memory/jobs/17"));
        assert_eq!(of(Some("pids")).as_deref(), Some("/sys/fs/cgroup/pids/"));
        assert_eq!(of(None).as_deref(), Some("/sys/fs/cgroup/unified/"));
        assert_eq!(of(Some("cpu")), None, "which is mounted nowhere");
    }

    #[test]
    fn a_mount_of_a_part_shows_the_rest_of_the_path_and_nothing_above_it() {
        let mounts = "31 24 0:26 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let of =
            |path: &str| own(mounts, &format!("4:memory:{path}\n"), Some("memory")).map(|own| own.folder);
        assert_eq!(of("/docker/abc/build"), Some("/sys/fs/cgroup/memory/build".into()));
        assert_eq!(of("/system.slice"), None);
        let mounts = "31 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
        assert_eq!(own(mounts, "0::/../session.scope\n", None), None);
    }

    #[test]
    fn only_a_group_that_was_delegated_with_its_limits_can_have_groups_of_its_own() {
        let own = tempfile::tempdir().expect("temporary folder");
        let write = |file: &str, text: &str| fs::write(own.path().join(file), text).expect("written");
        write("cgroup.controllers", "cpu pids\n");
        assert!(delegated(own.path()).is_err_and(|why| why.contains("without limits on memory")));
        write("cgroup.controllers", "cpu memory pids\n");
        assert_eq!(delegated(own.path()), Ok(own.path().to_owned()));
        let switched = fs::read_to_string(own.path().join("cgroup.subtree_control"));
        assert_eq!(switched.expect("written"), "+memory +pids");
        // Somebody else has done it already.
        write("cgroup.subtree_control", "memory pids\n");
        assert_eq!(delegated(own.path()), Ok(own.path().to_owned()));
        assert_eq!(
            fs::read_to_string(own.path().join("cgroup.subtree_control")).expect("read"),
            "memory pids\n"
        );
        assert!(!own.path().join(OWN).exists(), "this program need not move");
    }

    #[test]
    fn a_sandbox_gets_three_quarters_of_what_the_narrowest_group_around_this_program_has() {
        let top = tempfile::tempdir().expect("temporary folder");
        let folder = top.path().join("a/b");
        fs::create_dir_all(&folder).expect("made");
        for (name, bound) in [("a", "4000"), ("a/b", "max")] {
            fs::write(top.path().join(name).join("memory.max"), format!("{bound}\n")).expect("written");
        }
        let own = Own { top: top.path().to_owned(), folder };
        assert_eq!(limit(&own, "memory.max"), Ok(3000));
        assert_eq!(machine("MemTotal:       24683656 kB\nMemFree: 1 kB\n"), Some(24_683_656 << 10));
    }
}
