//! Namespaces, mounts, pid 1 and sockets made inside a namespace.
//!
//! A sandbox is entered by re-executing our own binary ([`enter_if_requested`] must be the first thing `main`
//! does), never by forking inside a threaded runtime; the re-executed process has one thread and may fork. Two processes stand between the engine and the command:
//!
//! ```text
//! engine ──spawn──> outer: new user, mount, network, ipc, uts namespaces; rules and sockets of the network
//!                     └──fork──> pid 1 of a new pid namespace: overlay, /proc, /dev, pivot_root; runs the command
//! ```
//!
//! Each asks the kernel to be killed when its parent dies, so killing the engine at any time ends every process,
//! mount and namespace of the sandbox. Nothing is mounted in the host's mount namespace.

mod channel;
mod confine;
mod files;
mod groups;
mod id_map;
mod inside;
mod kernel_files;
mod limits;
mod mounts;
mod network;
mod outer;
mod outside;
mod rootless;
mod seccomp;
mod spec;
mod sys;
mod trees;

pub use files::Files;
pub use groups::{GROUP_PREFIX, Group, Groups, OutOfMemory};
pub use id_map::{Choice, IdMap, Range};
pub use inside::{Job, JobContext};
pub use limits::{Limits, MOST_TASKS, TaskLimit};
pub use outside::{Killer, Running, spawn};
pub use rootless::{Account, Obstacle, obstacles};
pub use spec::{Bind, Entry, Exit, Overlay, Program, Spec, Upload};

use std::os::fd::OwnedFd;

/// First argument that tells our binary to become part of a sandbox.
pub(crate) const ENTRY: &str = "__sandbox";

/// Variable that is passed on to jobs in builds with debug assertions, and only there: where a test wants the program
/// to be killed. No program inside a sandbox sees it.
pub const KILL_AT: &str = "AKS_JUMPBOX_KILL_AT";

/// Sockets that were created inside a sandbox's network namespace and handed out to the engine.
///
/// The namespace has only a loopback interface, on which *every* IPv4 address is local (`AnyIP`), so nothing can
/// leave it but through these sockets.
#[derive(Debug)]
pub struct NetworkSockets {
    /// A listening, non-blocking, `IP_TRANSPARENT` TCP socket that accepts connections to any address and port
    /// outside 127.0.0.0/8 (nftables tproxy). On an accepted socket `getsockname` (`local_addr`) is the original
    /// destination that the client chose and `peer_addr` is the client. DNS over TCP (port 53) arrives here too.
    pub tcp: OwnedFd,
    /// A non-blocking UDP socket bound to 0.0.0.0:53 with `IP_PKTINFO` on. A datagram to any address's port 53
    /// arrives here; the reply must be sent with an `in_pktinfo` whose `ipi_spec_dst` is the datagram's original
    /// destination, so that the client sees the answer coming from the server it asked.
    pub dns: OwnedFd,
    /// A non-blocking netlink (`NETLINK_NETFILTER`) socket already bound to NFLOG group 7, copy mode packet (128
    /// bytes), queue threshold 1: one message per packet that the namespace's rules refused (UDP other than
    /// DNS, ICMP, other protocols, IPv6). Payload (`NFULA_PAYLOAD`) starts at the IP header.
    pub refused: OwnedFd,
}

/// Address of the sandbox's loopback interface that stands for the build machine.
pub const GUEST_ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 0, 0, 5);

/// Becomes part of a sandbox and never returns, when this process was started for that; else returns at once.
///
/// `jobs` are the functions that [`Entry::Job`] may name. Call it before any thread is started.
pub fn enter_if_requested(jobs: &[Job]) {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ENTRY) {
        return;
    }
    let code = match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("outer") => outer::main(jobs),
        Some("namespace") => outer::hold_namespace(),
        Some(files::PART) => files::become_program(arguments),
        _ => 2,
    };
    std::process::exit(code)
}

/// Why a sandbox could not be made or run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Our own binary could not be started again.
    #[error("could not start the sandbox process")]
    Start(#[source] std::io::Error),
    /// The processes of the sandbox stopped talking.
    #[error("lost the sandbox: {0}")]
    Lost(String),
    /// A step of the set-up failed inside.
    #[error("could not set up the sandbox: {0}")]
    SetUp(String),
    /// An [`Upload`] could not be written: its owner may not, or something that is no file is in its place.
    #[error("could not write {0}")]
    Upload(String),
    /// The image lacks what a sandbox needs, or has something else in its place.
    #[error("the image cannot be run: {0}")]
    Image(String),
    /// A job ran and reported an error.
    #[error("{0}")]
    Job(String),
}
