//! Control groups of sandboxes: made below the group that this program itself is in, so that what bounds the program
//! bounds them too, and removed with them. Version 1 and 2 of the kernel's interface (`cgroups(7)`).
//!
//! A group's folder is locked while it is in use (`flock(2)`): a folder whose lock is free was left by a program that
//! was killed, and the next one removes it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::limits::MOST_TASKS;

mod find;

/// How the names of our groups begin.
pub const GROUP_PREFIX: &str = "aks-jumpbox-";

/// What a folder of control groups bounds, and by which files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hierarchy {
    /// Version 1: memory alone.
    Memory,
    /// Version 1: tasks alone.
    Tasks,
    /// Version 2: both.
    Unified,
}

impl Hierarchy {
    /// What to write into which file of a new group; the last says whether it must succeed.
    fn settings(self, memory: u64) -> Vec<(&'static str, u64, bool)> {
        match self {
            // Swap counts for the limit, where it is counted at all: a step is not to swap a machine to death.
            Self::Memory => {
                vec![("memory.limit_in_bytes", memory, true), ("memory.memsw.limit_in_bytes", memory, false)]
            }
            Self::Tasks => vec![("pids.max", MOST_TASKS.into(), true)],
            Self::Unified => vec![
                ("memory.max", memory, true),
                ("memory.swap.max", 0, false),
                ("pids.max", MOST_TASKS.into(), true),
            ],
        }
    }

    /// The file that takes "0" for the process that writes it. A process of one thread may join a group of version 1
    /// by it as a thread, for which the kernel does not wait until no process of the machine forks.
    fn joined_by(self) -> &'static str {
        match self {
            Self::Memory | Self::Tasks => "tasks",
            Self::Unified => "cgroup.procs",
        }
    }

    /// How many processes the kernel has ended for want of memory, and whether the group's own limit was in the way.
    fn ended(self, folder: &Path, memory: u64) -> Option<(u64, bool)> {
        let read = |file| fs::read_to_string(folder.join(file)).ok();
        match self {
            Self::Memory => {
                // Failures are not counted where the limit includes swap. Memory is charged many pages at a time.
                let most: u64 = read("memory.max_usage_in_bytes")?.trim().parse().ok()?;
                Some((count(&read("memory.oom_control")?, "oom_kill")?, most >= memory - memory / 32))
            }
            Self::Tasks => None,
            Self::Unified => {
                let events = read("memory.events")?;
                Some((count(&events, "oom_kill")?, count(&events, "oom")? > 0))
            }
        }
    }
}

/// The number after a name at the begin of a line.
fn count(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(first, _)| *first == name).and_then(|(_, number)| number.trim().parse().ok())
}

/// Where groups can be made, and what each may use.
#[derive(Debug)]
pub struct Groups {
    parents: Vec<(Hierarchy, PathBuf)>,
    memory: u64,
}

impl Groups {
    /// Those of this process, found out once; the error says why there are none.
    ///
    /// # Errors
    /// Why no group can be made here.
    pub fn here() -> Result<&'static Self, &'static str> {
        static HERE: OnceLock<Result<Groups, String>> = OnceLock::new();
        HERE.get_or_init(find::groups).as_ref().map_err(String::as_str)
    }

    /// Bytes of memory that a sandbox has at most.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Whether they bound processes and threads, too.
    pub fn bound_tasks(&self) -> bool {
        self.parents.iter().any(|(hierarchy, _)| *hierarchy != Hierarchy::Memory)
    }

    /// Makes a group for a sandbox.
    pub(crate) fn make(&self) -> Result<Group, String> {
        let folders = self.parents.iter().map(|(hierarchy, parent)| {
            let folder = Folder::make(parent).map_err(|error| failed(parent, &error))?;
            for (file, value, needed) in hierarchy.settings(self.memory) {
                let written = fs::write(folder.path.join(file), value.to_string());
                written.or_else(|error| {
                    if needed { Err(failed(&folder.path.join(file), &error)) } else { Ok(()) }
                })?;
            }
            Ok((*hierarchy, folder))
        });
        Ok(Group { folders: folders.collect::<Result<_, String>>()?, memory: self.memory })
    }

    /// Removes what killed programs have left. What is still in use stays, and so does what cannot be removed now.
    fn sweep(&self) {
        for (_, parent) in &self.parents {
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                let ours = entry.file_name().to_string_lossy().starts_with(GROUP_PREFIX);
                let free = |file: File| file.try_lock().is_ok().then_some(file);
                if let Some(_lock) = ours.then(|| File::open(entry.path()).ok()).flatten().and_then(free) {
                    let _ = fs::remove_dir(entry.path());
                }
            }
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("no control group can be made: {}: {error}", path.display())
}

/// The control group of one sandbox; removed when dropped.
#[derive(Debug)]
pub struct Group {
    folders: Vec<(Hierarchy, Folder)>,
    memory: u64,
}

/// The kernel has ended processes of a sandbox for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// How many.
    pub processes: u64,
    /// The limit in bytes that the sandbox has reached; none when it was not its own limit that was in the way.
    pub limit: Option<u64>,
}

impl Group {
    /// The files that a process of one thread writes "0" to, to join.
    pub(crate) fn doors(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|(hierarchy, folder)| folder.path.join(hierarchy.joined_by())).collect()
    }

    /// What the kernel did in this group when memory ran out; none when it did nothing.
    pub fn out_of_memory(&self) -> Option<OutOfMemory> {
        let ended =
            self.folders.iter().find_map(|(hierarchy, folder)| hierarchy.ended(&folder.path, self.memory));
        let (processes, reached) = ended.filter(|(processes, _)| *processes > 0)?;
        Some(OutOfMemory { processes, limit: reached.then_some(self.memory) })
    }
}

/// A folder of a control group.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    fn make(parent: &Path) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{GROUP_PREFIX}{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            // Another program that sweeps may have been quicker; then there is nothing at this path any more.
            let lock = File::open(&path).and_then(|file| Ok(file.try_lock().map(|()| file)?));
            match lock {
                Ok(lock) if path.exists() => return Ok(Self { path, _lock: lock }),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The kernel ends a killed sandbox's processes one after the other. What they outlast is swept later.
        const TRIES: u32 = 200;
        for _ in 0..TRIES {
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_the_whole_name() {
        let events = "low 0\nhigh 0\nmax 71\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!((count(events, "oom"), count(events, "oom_kill")), (Some(3), Some(2)));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "oom_kill"), Some(1));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n", "oom_kill"), None, "before Linux 4.13");
    }

    /// As version 2 counts them: what the own limit did, what one further out did, and nothing.
    #[test]
    fn whose_limit_of_memory_it_was_is_told_from_what_the_group_counted() {
        let parent = tempfile::tempdir().expect("temporary folder");
        let folder = Folder::make(parent.path()).expect("made");
        let events = folder.path.join("memory.events");
        let group = Group { folders: vec![(Hierarchy::Unified, folder)], memory: 4096 };
        for (oom, killed, expected) in [
            (3, 2, Some(OutOfMemory { processes: 2, limit: Some(4096) })),
            (0, 1, Some(OutOfMemory { processes: 1, limit: None })),
            (1, 0, None),
        ] {
            let text = format!("low 0\nhigh 0\nmax 71\noom {oom}\noom_kill {killed}\noom_group_kill 0\n");
            fs::write(&events, text).expect("written");
            assert_eq!(group.out_of_memory(), expected, "oom {oom}, killed {killed}");
        }
        fs::remove_file(events).expect("removed");
        assert_eq!(group.out_of_memory(), None);
    }

    #[test]
    fn a_group_of_version_2_is_told_its_limits() {
        let settings = Hierarchy::Unified.settings(4096);
        let needed: Vec<_> = settings.iter().filter(|(.., needed)| *needed).map(|(file, ..)| *file).collect();
        assert_eq!(needed, ["memory.max", "pids.max"]);
        assert!(
            settings.contains(&("memory.max", 4096, true))
                && settings.contains(&("memory.swap.max", 0, false))
        );
    }

    #[test]
    fn what_a_killed_program_left_is_swept_and_what_is_in_use_stays() {
        let parent = tempfile::tempdir().expect("temporary folder");
        let groups = Groups { parents: vec![(Hierarchy::Unified, parent.path().to_owned())], memory: 1 };
        let used = Folder::make(parent.path()).expect("made");
        let left = parent.path().join(format!("{GROUP_PREFIX}1-0"));
        let other = parent.path().join("system.slice");
        for folder in [&left, &other] {
            fs::create_dir(folder).expect("made");
        }
        groups.sweep();
        assert!(used.path.exists() && other.exists() && !left.exists());
        let path = used.path.clone();
        drop(used);
        assert!(!path.exists());
    }
}
