//! Children that cannot outlive us, and children that must end in time.

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::BootError;
use crate::tools::{Tool, ToolError, render};

/// How often a child that runs is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Most that is kept of one stream of a command's output; the rest is read and dropped.
const OUTPUT_LIMIT: u64 = 4 << 20;

/// Run by the shell between `setpriv` and the tool: when we ended before the kernel was told to end the tool with
/// us, its parent is somebody else already and it must not start.
const EXEC_UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$1" ] || exit 1; shift; exec "$@""#;

/// A process whose user and network namespaces a command joins: its privileges and its network are then those of a
/// build's sandbox, its files those of the user who runs this program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namespaces(pub(super) u32);

/// A command that runs a tool, in other namespaces where some are given.
pub(super) fn joined(tool: Tool, namespaces: Option<Namespaces>) -> Result<Command, ToolError> {
    let Some(Namespaces(process)) = namespaces else { return tool.command() };
    let path = tool.find().ok_or(ToolError::Missing { tool })?;
    let mut command = Tool::Nsenter.command()?;
    command.args(["--user", "--net", "--preserve-credentials", "--target", &process.to_string(), "--"]);
    command.arg(path);
    Ok(command)
}

/// A command that the kernel kills when the thread that starts it ends, however that happens (`PR_SET_PDEATHSIG`). It
/// has no input and a session of its own: an interrupt from the terminal reaches us and not the tool, and the SSH
/// client that reads the terminal on behalf of another one is not stopped for being in the background.
pub(super) fn mortal(tool: Tool, namespaces: Option<Namespaces>) -> Result<Command, ToolError> {
    mortal_with(tool, namespaces, &[])
}

/// The same, of a tool whose command line something comes before.
pub(super) fn mortal_with(
    tool: Tool,
    namespaces: Option<Namespaces>,
    before: &[OsString],
) -> Result<Command, ToolError> {
    let path = tool.find().ok_or(ToolError::Missing { tool })?;
    // The namespaces first: the kernel forgets the promise of a process that changes its privileges.
    let mut command = joined(Tool::Setpriv, namespaces)?;
    command
        .args(["--pdeathsig", "KILL", "--", "setsid", "/bin/sh", "-c", EXEC_UNLESS_ORPHANED, "sh"])
        .arg(std::process::id().to_string())
        .args(before)
        .arg(path);
    Ok(command)
}

/// A long-running child. It ends with this value; made from a [`mortal`] command it also ends with this process.
pub(super) struct Background {
    keeper: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
    exit: Arc<OnceLock<String>>,
}

impl Background {
    /// Starts a child. The pipe to its input is returned where the command asks for one.
    ///
    /// The child is started by a thread that lives as long as the child, because the kernel ties a mortal child to
    /// the thread that started it.
    pub(super) fn spawn(mut command: Command) -> Result<(Self, Option<ChildStdin>), ToolError> {
        let rendered = render(&command);
        let (stop, stopped) = mpsc::channel();
        let (started, start) = mpsc::channel();
        let exit = Arc::new(OnceLock::new());
        let result = Arc::clone(&exit);
        let keeper = std::thread::spawn(move || match command.spawn() {
            Ok(mut child) => {
                let _ = started.send(Ok(child.stdin.take()));
                let status = keep(&mut child, &stopped);
                let _ =
                    result.set(status.map_or_else(|error| error.to_string(), |status| status.to_string()));
            }
            Err(source) => {
                let _ = started.send(Err(source));
            }
        });
        let keeper = Some((stop, keeper));
        match start.recv() {
            Ok(Ok(stdin)) => Ok((Self { keeper, exit }, stdin)),
            Ok(Err(source)) => Err(ToolError::CouldNotRun { command: rendered, source }),
            Err(_) => {
                Err(ToolError::CouldNotRun { command: rendered, source: io::ErrorKind::BrokenPipe.into() })
            }
        }
    }

    /// How the child ended, in words; `None` while it runs.
    pub(super) fn ended(&self) -> Option<&str> {
        self.exit.get().map(String::as_str)
    }

    /// Kills the child if it still runs, and waits for its end.
    pub(super) fn stop(&mut self) {
        if let Some((stop, keeper)) = self.keeper.take() {
            drop(stop);
            let _ = keeper.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until the child ends, or kills it when the other end of `stopped` goes away.
fn keep(child: &mut Child, stopped: &mpsc::Receiver<()>) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Disconnected) {
            child.kill()?;
            return child.wait();
        }
    }
}

/// What a command printed and how it ended.
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command to its end, at most for `limit`; `watch` is asked again and again whether to go on.
///
/// # Errors
/// [`ToolError::CouldNotRun`], [`BootError::Unfinished`] (with `what` as the command) or the error of `watch`; in the
/// latter two the child is killed.
pub(super) fn run_watched(
    mut command: Command,
    what: &str,
    limit: Duration,
    watch: &dyn Fn() -> Result<(), BootError>,
) -> Result<Finished, BootError> {
    let could_not_run = |source| ToolError::CouldNotRun { command: what.to_owned(), source };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(could_not_run)?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let begun = Instant::now();
    let in_time = || {
        if begun.elapsed() > limit {
            return Err(BootError::Unfinished { command: what.to_owned(), limit });
        }
        watch()
    };
    let outcome = wait_watched(&mut child, &in_time).map_err(could_not_run)?;
    let text = |reader: Option<JoinHandle<String>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    Ok(Finished { status: outcome?, stdout, stderr })
}

/// Waits for a child's end; `watch` is asked again and again whether to go on, and the child is killed when not.
pub(super) fn wait_watched(
    child: &mut Child,
    watch: &dyn Fn() -> Result<(), BootError>,
) -> io::Result<Result<ExitStatus, BootError>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ok(status));
        }
        if let Err(error) = watch() {
            child.kill()?;
            child.wait()?;
            return Ok(Err(error));
        }
        std::thread::sleep(POLL);
    }
}

/// Reads a stream to its end in a thread.
fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let _ = (&mut stream).take(OUTPUT_LIMIT).read_to_end(&mut kept);
        let _ = io::copy(&mut stream, &mut io::sink());
        String::from_utf8_lossy(&kept).into_owned()
    })
}
