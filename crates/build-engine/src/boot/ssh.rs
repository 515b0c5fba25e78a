//! Talking to the guest with the ordinary SSH client, with options of our own only.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::error::BootError;
use super::process::{Background, Finished, Namespaces, joined, mortal, run_watched, wait_watched};
use super::rundir::RunDir;
use super::serial::Stage;
use crate::tools::{Tool, ToolError, run};

/// What a command in the guest did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 255 also when the connection broke; `None` when the client was killed.
    pub exit: Option<i32>,
    /// What it wrote to standard output, at most 4 MiB.
    pub stdout: String,
    /// What it wrote to standard error, at most 4 MiB.
    pub stderr: String,
}

impl From<Finished> for Output {
    fn from(finished: Finished) -> Self {
        Self { exit: finished.status.code(), stdout: finished.stdout, stderr: finished.stderr }
    }
}

const KEY: &str = "key";
const CONTROL_SOCKET: &str = "control";
const SESSION_OUTPUT: &str = "session.out";
const SESSION_ERRORS: &str = "session.err";

/// For the guest's side of a connection: emulated, it takes seconds to say hello.
const HELLO: Duration = Duration::from_secs(25);
/// Between two knocks on the guest's SSH port.
const KNOCK_INTERVAL: Duration = Duration::from_secs(1);
/// The SSH service drops connections at random when more than ten wait.
const MOST_KNOCKS: usize = 3;

/// Makes the one-time key and returns its public half.
pub(super) fn make_key(folder: &RunDir) -> Result<String, BootError> {
    let mut keygen = Tool::SshKeygen.command()?;
    run(keygen
        .current_dir(folder.path())
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "one-time", "-f", KEY]))?;
    let path = folder.file("key.pub");
    let public = std::fs::read_to_string(&path).map_err(BootError::io("read", &path))?;
    Ok(public.trim().to_owned())
}

/// How the client reaches one guest.
#[derive(Clone)]
pub(super) struct Client {
    /// Private folder with key, pinned host key and control socket; names in it are given without a folder, because
    /// a socket's path must be short.
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    /// The account that commands are run by.
    pub(super) user: &'static str,
    /// Where the port is, when it is not in our own network.
    pub(super) namespaces: Option<Namespaces>,
}

impl Client {
    /// A client that ends with this process, up to and including the destination.
    pub(super) fn command(&self, user: &str, options: &[&str]) -> Result<Command, ToolError> {
        let mut command = mortal(Tool::Ssh, self.namespaces)?;
        self.address(&mut command, user, options);
        Ok(command)
    }

    /// A client for a person at the terminal; `watch` is asked again and again whether to go on.
    pub(super) fn terminal(&self, watch: &dyn Fn() -> Result<(), BootError>) -> Result<(), BootError> {
        let mut command = joined(Tool::Ssh, self.namespaces)?;
        self.address(&mut command, self.user, &["-tt"]);
        command.stdin(Stdio::inherit());
        let could_not_run = |source| ToolError::CouldNotRun { command: "ssh".to_owned(), source };
        let mut child = command.spawn().map_err(could_not_run)?;
        wait_watched(&mut child, watch).map_err(could_not_run)?.map(drop)
    }

    fn address(&self, command: &mut Command, user: &str, options: &[&str]) {
        let hello = format!("ConnectTimeout={}", HELLO.as_secs());
        command.current_dir(&self.folder).args(options).args(["-F", "none", "-i", KEY, "-p"]);
        command.arg(self.port.to_string());
        // The first of two values of one option counts: `options` go first.
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "StrictHostKeyChecking=accept-new",
            "UserKnownHostsFile=known_hosts",
            "GlobalKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=8",
            &hello,
            &format!("ControlPath={CONTROL_SOCKET}"),
        ] {
            command.args(["-o", option]);
        }
        command.arg(format!("{user}@127.0.0.1"));
    }

    /// Runs a command in the guest over the open connection.
    pub(super) fn run(
        &self,
        remote: &str,
        limit: Duration,
        watch: &dyn Fn() -> Result<(), BootError>,
    ) -> Result<Output, BootError> {
        let mut command = self.command(self.user, &[])?;
        command.arg("--").arg(remote);
        Ok(run_watched(command, remote, limit, watch)?.into())
    }
}

/// The connection that all commands share; it stays open as long as this value.
pub(super) struct Session {
    /// The far end runs `cat`, so closing this ends it.
    _input: Option<ChildStdin>,
    _client: Background,
}

/// Works towards a [`Session`], one small step per call of [`Connector::poll`].
pub(super) struct Connector {
    client: Client,
    knocks: Vec<(Instant, TcpStream)>,
    next: Instant,
    login: Option<Login>,
    /// What the last attempt to log in printed.
    pub(super) last_answer: Option<String>,
}

struct Login {
    input: Option<ChildStdin>,
    client: Background,
}

impl Connector {
    pub(super) fn new(client: Client) -> Self {
        Self { client, knocks: Vec::new(), next: Instant::now(), login: None, last_answer: None }
    }

    /// Looks whether the guest, which has reached `stage`, answers. Knocks until its SSH service says hello, then logs
    /// in, again and again while the guest refuses: accounts may be made, or logins opened, only later in its boot.
    pub(super) fn poll(&mut self, stage: Option<Stage>) -> Result<Option<Session>, BootError> {
        if let Some(login) = self.login.take() {
            return Ok(self.follow(login));
        }
        let now = Instant::now();
        if self.client.namespaces.is_some() {
            // We cannot knock in another network, so the guest has to say that it listens.
            if now >= self.next && stage >= Some(Stage::Ssh) {
                self.login = Some(self.log_in()?);
            }
            return Ok(None);
        }
        if now >= self.next && self.knocks.len() < MOST_KNOCKS {
            self.next = now + KNOCK_INTERVAL;
            self.knocks.extend(knock(self.client.port).map(|stream| (now, stream)));
        }
        let mut said_hello = false;
        self.knocks.retain_mut(|(since, stream)| match hears(stream) {
            Heard::Hello => {
                said_hello = true;
                false
            }
            Heard::Nothing => since.elapsed() < HELLO,
            Heard::End => false,
        });
        if said_hello {
            self.knocks.clear();
            self.login = Some(self.log_in()?);
        }
        Ok(None)
    }

    fn log_in(&self) -> Result<Login, BootError> {
        let file = |name: &str| {
            let path = self.client.folder.join(name);
            File::create(&path).map_err(BootError::io("write", &path))
        };
        // A client that was killed leaves its socket, and the next one would not share its connection.
        let _ = std::fs::remove_file(self.client.folder.join(CONTROL_SOCKET));
        let mut command = self.client.command(self.client.user, &["-o", "ControlMaster=yes"])?;
        command.arg("--").arg("echo ready; exec cat >/dev/null");
        command.stdin(Stdio::piped()).stdout(file(SESSION_OUTPUT)?).stderr(file(SESSION_ERRORS)?);
        let (client, input) = Background::spawn(command)?;
        Ok(Login { input, client })
    }

    fn follow(&mut self, login: Login) -> Option<Session> {
        let read = |name: &str| std::fs::read_to_string(self.client.folder.join(name)).unwrap_or_default();
        if read(SESSION_OUTPUT).contains("ready") {
            return Some(Session { _input: login.input, _client: login.client });
        }
        if login.client.ended().is_some() {
            self.last_answer = read(SESSION_ERRORS).lines().last().map(|line| line.trim().to_owned());
            self.next = Instant::now() + KNOCK_INTERVAL;
        } else {
            self.login = Some(login);
        }
        None
    }
}

enum Heard {
    Hello,
    Nothing,
    End,
}

/// Opens a connection; QEMU accepts it at once, whatever the guest does.
fn knock(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// RFC 4253, 4.2: the server sends `SSH-2.0-...`, maybe after other lines.
fn hears(stream: &mut TcpStream) -> Heard {
    let mut text = [0; 512];
    match stream.read(&mut text) {
        Ok(0) => Heard::End,
        Ok(length) if text[..length].windows(4).any(|four| four == b"SSH-") => Heard::Hello,
        Ok(_) => Heard::Nothing,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Heard::Nothing,
        Err(_) => Heard::End,
    }
}

/// The methods that a server named when it refused a login, from what the client printed; `None` when it was not
/// refused that way.
pub(super) fn refused_methods(stderr: &str) -> Option<Vec<&str>> {
    let (_, rest) = stderr.split_once("Permission denied (")?;
    let (methods, _) = rest.split_once(')')?;
    Some(methods.split(',').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_is_a_refusal() {
        let refused = "try-password@127.0.0.1: Permission denied (publickey,password).\n";
        assert_eq!(refused_methods(refused), Some(vec!["publickey", "password"]));
        assert_eq!(
            refused_methods("root@127.0.0.1: Permission denied (publickey).\r\n"),
            Some(vec!["publickey"])
        );
        for other in
            ["Connection closed by 127.0.0.1 port 22", "cat: x: Permission denied", "", "Permission denied ("]
        {
            assert_eq!(refused_methods(other), None, "{other}");
        }
    }
}
