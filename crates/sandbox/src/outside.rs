//! The engine's side: starts a sandbox, gives it its id map, receives its sockets, waits for its end.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::Arc;

use crate::channel::{Report, receive, receive_descriptors, send, send_descriptors};
use crate::groups::{Group, Groups};
use crate::id_map::{IdMap, namespace_of};
use crate::spec::{Exit, Spec};
use crate::{ENTRY, KILL_AT, NetworkSockets, SandboxError, trees};

/// A sandbox that runs. Dropping it kills everything inside.
#[derive(Debug)]
pub struct Running {
    child: Child,
    channel: UnixStream,
    sockets: Option<NetworkSockets>,
    group: Option<Arc<Group>>,
}

/// Starts a sandbox and returns when its command is about to run.
///
/// The kernel kills the sandbox when the *thread* that called this ends, so call it from one that outlives it.
///
/// # Errors
/// [`SandboxError`] when the binary cannot be started again or the set-up inside fails.
pub fn spawn(spec: &Spec) -> Result<Running, SandboxError> {
    let stream = if spec.interactive { Stdio::inherit } else { Stdio::piped };
    let group = spec.limits.group.then(Groups::here).and_then(Result::ok).map(Groups::make).transpose();
    let group = group.map_err(SandboxError::SetUp)?.map(Arc::new);
    let (child, channel) = start_again("outer", stream)?;
    let mut running = Running { child, channel, sockets: None, group };
    running.set_up(spec)?;
    Ok(running)
}

/// Starts our own binary as a part of a sandbox, tells it who we are, and returns our end of the channel to it.
fn start_again(part: &str, stream: fn() -> Stdio) -> Result<(Child, UnixStream), SandboxError> {
    let (mut ours, theirs) = UnixStream::pair().map_err(SandboxError::Start)?;
    let child = Command::new("/proc/self/exe")
        .arg0("aks-jumpbox-sandbox")
        .args([ENTRY, part])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(kill_at())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .map_err(SandboxError::Start)?;
    // Should it have ended already, its first report is missed just so.
    let _ = send(&mut ours, &std::process::id());
    Ok((child, ours))
}

/// Our own environment, which is empty but for what a test has set.
fn kill_at() -> Option<(&'static str, OsString)> {
    if cfg!(debug_assertions) { std::env::var_os(KILL_AT).map(|at| (KILL_AT, at)) } else { None }
}

/// A user namespace with a map, that lives as long as this does.
#[derive(Debug)]
pub(crate) struct UserNamespace {
    child: Child,
    // The process ends when this is closed.
    _channel: UnixStream,
}

impl UserNamespace {
    pub fn new(id_map: &IdMap) -> Result<Self, SandboxError> {
        let (child, mut channel) = start_again("namespace", Stdio::null)?;
        match receive(&mut channel).map_err(lost)? {
            Report::MapIds => id_map.write(child.id())?,
            Report::SetUpFailed(why) => return Err(SandboxError::SetUp(why)),
            other => return Err(unexpected(&other)),
        }
        Ok(Self { child, _channel: channel })
    }

    pub fn handle(&self) -> Result<OwnedFd, SandboxError> {
        namespace_of(self.child.id())
    }
}

impl Drop for UserNamespace {
    fn drop(&mut self) {
        // Already gone is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn set_up(&mut self, spec: &Spec) -> Result<(), SandboxError> {
        let doors = self.group.as_ref().map(|group| group.doors()).unwrap_or_default();
        send(&mut self.channel, &(spec, doors)).map_err(lost)?;
        loop {
            match receive(&mut self.channel).map_err(lost)? {
                Report::MapIds => self.map_ids(spec)?,
                Report::Sockets => {
                    let mut sockets = receive_descriptors(&self.channel, 3).map_err(lost)?.into_iter();
                    self.sockets = match (sockets.next(), sockets.next(), sockets.next()) {
                        (Some(tcp), Some(dns), Some(refused)) => Some(NetworkSockets { tcp, dns, refused }),
                        _ => return Err(SandboxError::Lost("a socket did not arrive".to_owned())),
                    };
                }
                Report::Started => return Ok(()),
                Report::SetUpFailed(why) => return Err(SandboxError::SetUp(why)),
                Report::ImageUnfit(why) => return Err(SandboxError::Image(why)),
                Report::UploadFailed(why) => return Err(SandboxError::Upload(why)),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Gives the sandbox its ids and, where it could not reach the host's paths by itself, those.
    fn map_ids(&mut self, spec: &Spec) -> Result<(), SandboxError> {
        spec.id_map.write(self.child.id())?;
        let namespace = spec.id_map.mounts_of(self.child.id())?;
        send(&mut self.channel, &()).map_err(lost)?;
        let Some(namespace) = namespace else { return Ok(()) };
        let open = |path| trees::open(path, Some(namespace.as_fd()));
        let trees: Vec<_> =
            spec.host_paths().into_iter().map(open).collect::<Result<_, _>>().map_err(SandboxError::SetUp)?;
        let raw: Vec<_> = trees.iter().map(AsRawFd::as_raw_fd).collect();
        send_descriptors(&self.channel, &raw).map_err(lost)
    }

    /// The sockets of its network, once.
    pub fn take_sockets(&mut self) -> Option<NetworkSockets> {
        self.sockets.take()
    }

    /// Standard output of the command, once; none for an interactive sandbox.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Standard error of the command, once; none for an interactive sandbox.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Process id of the outer process, as the host sees it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its control group, which says what the kernel did when memory ran out; none where none can be made. It is removed
    /// with the last of these and the sandbox.
    pub fn group(&self) -> Option<Arc<Group>> {
        self.group.clone()
    }

    /// Kills everything inside.
    pub fn kill(&mut self) {
        // Already gone is what we want.
        let _ = self.child.kill();
    }

    /// A handle that lets another thread kill the sandbox.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated.
    pub fn killer(&self) -> Result<Killer, SandboxError> {
        Ok(Killer(self.channel.try_clone().map_err(SandboxError::Start)?))
    }

    /// Waits for the command's end. Every process inside is gone when this returns.
    ///
    /// # Errors
    /// [`SandboxError::Job`] when a job failed, [`SandboxError::Lost`] when the sandbox was killed.
    pub fn wait(mut self) -> Result<Exit, SandboxError> {
        let report = receive(&mut self.channel);
        let status = self.child.wait().map_err(SandboxError::Start)?;
        match report {
            Ok(Report::Exited(exit)) => Ok(exit),
            Ok(Report::JobFailed(why)) => Err(SandboxError::Job(why)),
            Ok(Report::SetUpFailed(why)) => Err(SandboxError::SetUp(why)),
            Ok(other) => Err(unexpected(&other)),
            Err(_) => Err(SandboxError::Lost(status.to_string())),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// Kills a sandbox from another thread, by closing the channel that its outer process watches.
#[derive(Debug)]
pub struct Killer(UnixStream);

impl Killer {
    /// Ends the sandbox; [`Running::wait`] then returns [`SandboxError::Lost`].
    pub fn kill(&self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

#[allow(clippy::needless_pass_by_value, reason = "shape of map_err")]
fn lost(error: std::io::Error) -> SandboxError {
    SandboxError::Lost(error.to_string())
}

fn unexpected(report: &Report) -> SandboxError {
    SandboxError::Lost(format!("unexpected report {report:?}"))
}
