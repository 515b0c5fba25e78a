//! The outer process: makes the namespaces and the network, then watches over pid 1.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

use crate::channel::{Report, receive, send, send_descriptors};
use crate::spec::Spec;
use crate::{ENTRY, network, sys};

/// Runs the outer process to its end; the exit code only matters to people reading a process list.
pub fn main() -> i32 {
    let Ok(fd) = std::io::stdin().as_fd().try_clone_to_owned() else { return 2 };
    let mut engine = UnixStream::from(fd);
    match run(&mut engine) {
        Ok(()) => 0,
        Err(why) => {
            let _ = send(&mut engine, &Report::SetUpFailed(why));
            1
        }
    }
}

fn run(engine: &mut UnixStream) -> Result<(), String> {
    sys::hide_inherited_descriptors();
    die_with_parent(receive(engine).map_err(text)?)?;
    let spec: Spec = receive(engine).map_err(text)?;
    if !spec.interactive {
        nix::unistd::setsid().map_err(|error| format!("failed to leave the terminal: {error}"))?;
    }
    new_namespaces(engine)?;
    nix::unistd::sethostname(&spec.hostname)
        .map_err(|error| format!("failed to set the host name: {error}"))?;
    if spec.network {
        let sockets = network::set_up()?;
        send(engine, &Report::Sockets).map_err(text)?;
        let raw = [&sockets.tcp, &sockets.dns, &sockets.refused].map(AsRawFd::as_raw_fd);
        send_descriptors(engine, &raw).map_err(text)?;
    }
    watch(engine, &spec)
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
    unshare(flags).map_err(|error| {
        format!("failed to make user, mount and network namespaces: {error} (does this kernel allow them?)")
    })?;
    send(engine, &Report::MapIds).map_err(text)?;
    receive::<()>(engine).map_err(text)?;
    nix::unistd::setgid(0.into()).map_err(text)?;
    nix::unistd::setuid(0.into()).map_err(text)?;
    // Changing ids clears the parent-death signal's precondition on some kernels: ask again.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(text)
}

/// Starts pid 1, passes its reports on, and ends with it, or ends it when the engine hangs up.
fn watch(engine: &mut UnixStream, spec: &Spec) -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWPID).map_err(|error| format!("failed to make a pid namespace: {error}"))?;
    let (mut ours, theirs) = UnixStream::pair().map_err(text)?;
    let mut child = Command::new("/proc/self/exe")
        .arg0("aks-jumpbox-init")
        .args([ENTRY, "inside"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(|error| format!("failed to start pid 1: {error}"))?;
    receive::<()>(&mut ours).map_err(|error| format!("pid 1 did not start: {error}"))?;
    send(&mut ours, spec).map_err(text)?;
    while let Some(report) = next_report(engine, &mut ours) {
        let last = matches!(report, Report::Exited(_) | Report::JobFailed(_) | Report::SetUpFailed(_));
        if last {
            // Only once pid 1 is reaped is every process of the namespace gone.
            let _ = child.wait();
            close_output();
        }
        send(engine, &report).map_err(text)?;
        if last {
            return Ok(());
        }
    }
    let status = child.wait().map_err(text)?;
    Err(format!("pid 1 ended without a word ({status})"))
}

/// The engine reads output to its end before it reads the last report, which may be larger than a socket holds.
fn close_output() {
    if let Ok(nowhere) = std::fs::File::create("/dev/null") {
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
