//! What bounds a sandbox, each of the kernel's means by itself.

use std::fs;
use std::io::Read;
use std::path::Path;

use sandbox::{Exit, Groups, IdMap, Limits, MOST_TASKS, Spec};

use crate::{TestResult, World, id_map, run};

/// Forks until it no longer can, and says how many there were and why no more; without end, up to twice the limit.
const FORK_BOMB: &str = "perl -e 'my $made = 0; \
    while ($made < 8192) { my $child = fork; last if !defined $child; if (!$child) { sleep 1000 } $made++ } \
    print \"$made $!\"'";

pub fn fork_bomb() -> TestResult {
    let here = Limits::here();
    let nothing = Limits { group: false, namespace: false };
    let means = [
        ("a limit of each user", nothing, matches!(id_map(), IdMap::Shifted(_))),
        ("a pid namespace", Limits { namespace: true, ..nothing }, here.namespace),
        ("a control group", Limits { group: true, ..nothing }, Groups::here().is_ok_and(Groups::bound_tasks)),
    ];
    for (name, limits, possible) in means {
        if !possible {
            eprintln!("SKIPPED: this machine has no such means: {name}");
            continue;
        }
        let (exit, said) = run(&Spec { limits, ..World::new().shell(FORK_BOMB) })?;
        assert_eq!(exit, Exit::Code(0), "{name}");
        let (made, why) = said.split_once(' ').ok_or_else(|| said.clone())?;
        let made: u32 = made.parse()?;
        assert!((MOST_TASKS - 20..MOST_TASKS).contains(&made), "{name}: {said}");
        assert_eq!(why, "Resource temporarily unavailable", "{name}");
    }
    Ok(())
}

/// Killed while it runs, so that the kernel is still ending its processes.
pub fn own_group() -> TestResult {
    if !Limits::here().group {
        eprintln!("SKIPPED: {}", Groups::here().err().unwrap_or_default());
        return Ok(());
    }
    let world = World::new();
    let mut running =
        sandbox::spawn(&world.shell("cut -d: -f3 /proc/self/cgroup | sort -u; sleep 1000 & wait"))?;
    let own = groups_of(running.id());
    assert!(own.len() > groups_of(std::process::id()).len(), "{own:?}");
    let mut seen = [0; 2];
    running.take_stdout().ok_or("no output")?.read_exact(&mut seen)?;
    assert_eq!(&seen, b"/\n", "inside, nothing above the own group shows");
    assert_eq!(running.group().ok_or("no group")?.out_of_memory(), None);
    drop(running);
    for group in own {
        assert!(!there(Path::new("/sys/fs/cgroup"), &group), "{group} is left");
    }
    Ok(())
}

/// Names of our own among the control groups of a process.
fn groups_of(process: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    let names = text.lines().filter_map(|line| line.rsplit_once('/')).map(|(_, name)| name.to_owned());
    names.filter(|name| name.starts_with(sandbox::GROUP_PREFIX)).collect()
}

/// Whether a folder of this name is below `folder`.
fn there(folder: &Path, name: &str) -> bool {
    let folders = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    folders
        .filter(|path| path.is_dir() && !path.is_symlink())
        .any(|path| path.ends_with(name) || there(&path, name))
}
