//! The engine's side: starts a sandbox, gives it its id map, receives its sockets, waits for its end.

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use crate::channel::{Report, receive, receive_descriptors, send};
use crate::spec::{Exit, Spec};
use crate::{ENTRY, NetworkSockets, SandboxError};

/// A sandbox that runs. Dropping it kills everything inside.
#[derive(Debug)]
pub struct Running {
    child: Child,
    channel: UnixStream,
    sockets: Option<NetworkSockets>,
}

/// Starts a sandbox and returns when its command is about to run.
///
/// The kernel kills the sandbox when the *thread* that called this ends, so call it from one that outlives it.
///
/// # Errors
/// [`SandboxError`] when the binary cannot be started again or the set-up inside fails.
pub fn spawn(spec: &Spec) -> Result<Running, SandboxError> {
    let (ours, theirs) = UnixStream::pair().map_err(SandboxError::Start)?;
    let stream = if spec.interactive { Stdio::inherit } else { Stdio::piped };
    let child = Command::new("/proc/self/exe")
        .arg0("aks-jumpbox-sandbox")
        .args([ENTRY, "outer"])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .map_err(SandboxError::Start)?;
    let mut running = Running { child, channel: ours, sockets: None };
    running.set_up(spec)?;
    Ok(running)
}

impl Running {
    fn set_up(&mut self, spec: &Spec) -> Result<(), SandboxError> {
        send(&mut self.channel, &std::process::id()).map_err(lost)?;
        send(&mut self.channel, spec).map_err(lost)?;
        loop {
            match receive(&mut self.channel).map_err(lost)? {
                Report::MapIds => {
                    self.map_ids()?;
                    send(&mut self.channel, &()).map_err(lost)?;
                }
                Report::Sockets => {
                    let [tcp, dns, refused] = receive_descriptors(&self.channel).map_err(lost)?;
                    self.sockets = Some(NetworkSockets { tcp, dns, refused });
                }
                Report::Started => return Ok(()),
                Report::SetUpFailed(why) => return Err(SandboxError::SetUp(why)),
                Report::UploadFailed(why) => return Err(SandboxError::Upload(why)),
                other => return Err(SandboxError::Lost(format!("unexpected report {other:?}"))),
            }
        }
    }

    /// Root maps every id to itself; the network and mount namespaces still belong to the new user namespace, so
    /// root inside has no say over the host's.
    fn map_ids(&self) -> Result<(), SandboxError> {
        for map in ["uid_map", "gid_map"] {
            let path = format!("/proc/{}/{map}", self.child.id());
            fs::write(&path, "0 0 4294967295\n")
                .map_err(|error| SandboxError::SetUp(format!("failed to write {path}: {error}")))?;
        }
        Ok(())
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
            Ok(other) => Err(SandboxError::Lost(format!("unexpected report {other:?}"))),
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
