//! A build that runs beside the test, and the processes below it.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, kill_process, kill_process_group, pidfd_open, set_child_subreaper,
};
use serde_json::Value;

/// A build that runs.
pub struct Live {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Live {
    pub fn start(mut command: Command) -> Self {
        // A group of its own, as a shell's foreground job has.
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    /// Waits until a step prints exactly this.
    pub fn until_printed(&mut self, line: &str) {
        self.until(|event| event["event"] == "output" && event["line"] == line);
    }

    /// Waits for an event.
    pub fn until(&mut self, is_it: impl Fn(&Value) -> bool) {
        let seen = self.seen_before(is_it);
        assert_eq!(seen, None, "the build ended before that");
    }

    /// Waits for an event or the build's end, and says whether the event came.
    pub fn finds(&mut self, is_it: impl Fn(&Value) -> bool) -> bool {
        self.seen_before(is_it).is_none()
    }

    /// Everything that is still to come, to the end.
    pub fn rest(&mut self) -> String {
        self.seen_before(|_| false).unwrap_or_default()
    }

    /// Everything else that came, should the event not come.
    fn seen_before(&mut self, is_it: impl Fn(&Value) -> bool) -> Option<String> {
        let mut seen = String::new();
        for text in self.lines.by_ref() {
            let text = text.expect("UTF-8");
            if is_it(&serde_json::from_str(&text).expect("one event a line")) {
                return None;
            }
            seen += &text;
            seen.push('\n');
        }
        Some(seen)
    }

    /// Every process that the program started, directly or not.
    pub fn below(&self) -> Family {
        Family::below(self.child.id())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(raw(self.child.id()), signal).expect("signalled");
    }

    /// What a terminal does on Ctrl-C: every process of the foreground job gets the signal.
    pub fn ctrl_c(&self) {
        kill_process_group(raw(self.child.id()), Signal::INT).expect("signalled");
    }

    /// Waits for the end and returns the exit code; none when a signal ended it.
    pub fn end(mut self) -> Option<i32> {
        self.lines.by_ref().for_each(drop);
        self.child.wait().expect("waited for").code()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processes, by handles that never come to mean others.
pub struct Family(Vec<OwnedFd>);

/// From now on, processes whose parent has ended become children of this one, and are found below it.
pub fn adopt_orphans() {
    set_child_subreaper(Some(getpid())).expect("adopted");
}

impl Family {
    /// Every process that another one started, directly or not.
    pub fn below(ancestor: u32) -> Self {
        let mut family = vec![ancestor];
        let all = parents();
        let mut at = 0;
        while let Some(&parent) = family.get(at) {
            family.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            at += 1;
        }
        Self(family[1..].iter().filter_map(|&pid| pidfd_open(raw(pid), PidfdFlags::empty()).ok()).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all of them have ended. The kernel ends them one after the other, so each gets a while.
    pub fn is_gone(&self) -> bool {
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        self.0.iter().all(|process| {
            let mut polled = [PollFd::new(process, PollFlags::IN)];
            poll(&mut polled, Some(&patience)).is_ok_and(|ready| ready == 1)
        })
    }
}

fn raw(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id")
}

/// Every process and its parent (`proc_pid_stat(5)`: the fourth field, the second being in parentheses).
fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
    .collect()
}

/// The control group of memory that this test is in, as a folder, and the name of the file with its limit.
pub fn own_memory_group() -> Option<(PathBuf, &'static str)> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let v1 = own.lines().find_map(|line| line.split_once(":memory:"));
    let v2 = || own.lines().find_map(|line| line.strip_prefix("0::"));
    Some(match v1 {
        Some((_, path)) => (format!("/sys/fs/cgroup/memory{path}").into(), "memory.limit_in_bytes"),
        None => (format!("/sys/fs/cgroup{}", v2()?).into(), "memory.max"),
    })
}
