//! The outer process: makes the namespaces and the network, then watches over pid 1.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid};

use crate::channel::{Report, receive, receive_descriptors, send, send_descriptors};
use crate::id_map::IdMap;
use crate::inside::{self, Job};
use crate::spec::Spec;
use crate::{limits, mounts, network, sys, trees};

/// Runs the outer process, and pid 1 as its child, to their ends; the exit code only matters to people reading a
/// process list.
pub fn main(jobs: &[Job]) -> i32 {
    let Some(mut engine) = channel() else { return 2 };
    let ended = match prepare(&mut engine).and_then(|ready| Ok((fork_pid_1()?, ready))) {
        Ok((Side::Inside(outer), (spec, trees))) => {
            drop(engine);
            return inside::main(outer, &spec, &trees, jobs);
        }
        Ok((Side::Outside(child, mut inside), ready)) => {
            drop(ready);
            watch(&mut engine, child, &mut inside)
        }
        Err(why) => Err(why),
    };
    match ended {
        Ok(()) => 0,
        Err(why) => {
            let _ = send(&mut engine, &Report::SetUpFailed(why));
            1
        }
    }
}

/// Runs a process that only holds a user namespace, until the engine hangs up.
pub fn hold_namespace() -> i32 {
    let Some(mut engine) = channel() else { return 2 };
    let held = receive(&mut engine).map_err(text).and_then(die_with_parent).and_then(|()| {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(namespaces_refused)?;
        send(&mut engine, &Report::MapIds).map_err(text)
    });
    match held {
        Ok(()) => i32::from(receive::<()>(&mut engine).is_ok()),
        Err(why) => i32::from(send(&mut engine, &Report::SetUpFailed(why)).is_err()),
    }
}

/// The channel to the engine, which comes as standard input.
fn channel() -> Option<UnixStream> {
    let fd = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    nix::unistd::dup2_stdin(File::open("/dev/null").ok()?).ok()?;
    Some(UnixStream::from(fd))
}

/// Everything that is done before pid 1 begins: the host's paths, opened, are what it needs of that.
fn prepare(engine: &mut UnixStream) -> Result<(Spec, Vec<OwnedFd>), String> {
    sys::hide_inherited_descriptors();
    die_with_parent(receive(engine).map_err(text)?)?;
    let (spec, doors): (Spec, Vec<PathBuf>) = receive(engine).map_err(text)?;
    // While we still are who may, and before there is a namespace of control groups, which begins where we are.
    doors.iter().try_for_each(|door| join(door))?;
    limits::end_first_when_memory_runs_out();
    if !spec.interactive {
        nix::unistd::setsid().map_err(|error| format!("failed to leave the terminal: {error}"))?;
    }
    new_namespaces(engine)?;
    let trees = host_paths(engine, &spec)?;
    nix::unistd::sethostname(&spec.hostname)
        .map_err(|error| format!("failed to set the host name: {error}"))?;
    if spec.network {
        let sockets = network::set_up()?;
        send(engine, &Report::Sockets).map_err(text)?;
        let raw = [&sockets.tcp, &sockets.dns, &sockets.refused].map(AsRawFd::as_raw_fd);
        send_descriptors(engine, &raw).map_err(text)?;
        allow_ping();
    }
    Ok((spec, trees))
}

/// Joins a control group by its file for that.
fn join(door: &Path) -> Result<(), String> {
    std::fs::write(door, "0").map_err(|error| format!("failed to join {}: {error}", door.display()))
}

/// As systemd sets it on a booted machine: `ping` needs no raw socket, which nobody has here.
fn allow_ping() {
    // Where the kernel's settings cannot be written, `ping` does not work; nothing of a build depends on it.
    let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 65534");
}

/// Which of the two processes this is after the fork, with its end of their channel.
enum Side {
    Inside(UnixStream),
    Outside(Pid, UnixStream),
}

fn fork_pid_1() -> Result<Side, String> {
    let (ours, theirs) = UnixStream::pair().map_err(text)?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(|error| format!("failed to make a pid namespace: {error}"))?;
    match sys::fork().map_err(|error| format!("failed to start pid 1: {error}"))? {
        ForkResult::Child => Ok(Side::Inside(theirs)),
        ForkResult::Parent { child } => Ok(Side::Outside(child, ours)),
    }
}

/// The kernel's promise to kill us with our parent, and a look whether it came too late.
fn die_with_parent(parent: u32) -> Result<(), String> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(text)?;
    let now = nix::unistd::getppid().as_raw();
    if u32::try_from(now) == Ok(parent) { Ok(()) } else { Err("the engine is gone".to_owned()) }
}

fn new_namespaces(engine: &mut UnixStream) -> Result<(), String> {
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    unshare(flags).map_err(namespaces_refused)?;
    send(engine, &Report::MapIds).map_err(text)?;
    receive::<()>(engine).map_err(text)?;
    nix::unistd::setgroups(&[]).map_err(text)?;
    nix::unistd::setgid(0.into()).map_err(text)?;
    nix::unistd::setuid(0.into()).map_err(text)?;
    // Changing ids takes the promise back: ask again.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(text)?;
    mounts::make_private()
}

#[allow(clippy::needless_pass_by_value, reason = "shape of map_err")]
fn namespaces_refused(error: nix::Error) -> String {
    format!("failed to make namespaces: {error}; `aks-jumpbox doctor` says what is missing")
}

/// The host's paths as mounts of our own: opened by the engine where root inside could not walk to them.
fn host_paths(engine: &UnixStream, spec: &Spec) -> Result<Vec<OwnedFd>, String> {
    let paths = spec.host_paths();
    match spec.id_map {
        IdMap::Shifted(_) => receive_descriptors(engine, paths.len()).map_err(text),
        IdMap::Identity | IdMap::Subordinate { .. } => {
            paths.into_iter().map(|path| trees::open(path, None)).collect()
        }
    }
}

/// Lets pid 1 begin, passes its reports on, and ends with it, or ends it when the engine hangs up.
fn watch(engine: &mut UnixStream, child: Pid, inside: &mut UnixStream) -> Result<(), String> {
    receive::<()>(inside).map_err(|error| format!("pid 1 did not start: {error}"))?;
    send(inside, &()).map_err(text)?;
    while let Some(report) = next_report(engine, inside) {
        let last = matches!(report, Report::Exited(_) | Report::JobFailed(_) | Report::SetUpFailed(_));
        if last {
            // Only once pid 1 is reaped is every process of the namespace gone.
            let _ = waitpid(child, None);
            close_output();
        }
        send(engine, &report).map_err(text)?;
        if last {
            return Ok(());
        }
    }
    let status = waitpid(child, None).map_err(text)?;
    Err(format!("pid 1 ended without a word ({status:?})"))
}

/// The engine reads output to its end before it reads the last report, which may be larger than a socket holds.
fn close_output() {
    if let Ok(nowhere) = File::create("/dev/null") {
        let _ = nix::unistd::dup2_stdout(&nowhere);
        let _ = nix::unistd::dup2_stderr(&nowhere);
    }
}

/// The next word of pid 1. The engine says nothing more: should its end become readable, it has hung up and wants
/// us gone.
fn next_report(engine: &UnixStream, inside: &mut UnixStream) -> Option<Report> {
    let mut polled =
        [PollFd::new(engine.as_fd(), PollFlags::POLLIN), PollFd::new(inside.as_fd(), PollFlags::POLLIN)];
    while poll(&mut polled, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
    if polled[0].any() == Some(true) {
        std::process::exit(1);
    }
    receive(inside).ok()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
