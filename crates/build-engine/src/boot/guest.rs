//! A guest that runs: waiting for it, talking to it, ending it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::BootError;
use super::process::{Background, Namespaces, mortal_with};
use super::qemu::{MONITOR, Setup, VARIABLES, arguments, files};
use super::rundir::RunDir;
use super::serial::{self, Stage};
use super::ssh::{Client, Connector, Output, Session};
use crate::tools::{Tool, tail};

/// File name of what QEMU itself prints, in the private folder.
pub(super) const LOG: &str = "qemu.log";
/// Between two looks at a guest that boots or powers off.
const POLL: Duration = Duration::from_millis(100);
/// Longest that one command of our own in the guest may take.
pub(super) const COMMAND_LIMIT: Duration = Duration::from_mins(5);

/// How a guest is watched.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// The guest's serial console.
    pub(super) serial_log: PathBuf,
    /// How long the guest may be silent before it is given up.
    pub(super) quiet_limit: Duration,
    /// Set by whoever wants this to stop.
    pub(super) cancel: Arc<AtomicBool>,
    /// When there is no time left.
    pub(super) deadline: Option<Instant>,
}

/// A running guest. Dropping it ends it and removes everything in its private folder.
pub(super) struct Guest {
    session: Option<Session>,
    qemu: Background,
    pub(super) client: Client,
    started: Instant,
    watch: Watch,
    pub(super) folder: RunDir,
}

impl Guest {
    /// What was just started in its private folder.
    pub(super) fn new(qemu: Background, client: Client, watch: Watch, folder: RunDir) -> Self {
        Self { session: None, qemu, client, started: Instant::now(), watch, folder }
    }

    /// Waits until the guest answers its first SSH command and returns how long that took since the start. `observe`
    /// hears of every stage that the guest reaches.
    pub(super) fn wait_for_ssh(&mut self, observe: &dyn Fn(Stage)) -> Result<Duration, BootError> {
        let mut connector = Connector::new(self.client.clone());
        let mut console = Console::new(&self.watch.serial_log);
        loop {
            self.check()?;
            if let Some(session) = connector.poll(console.stage)? {
                self.session = Some(session);
                return Ok(self.started.elapsed());
            }
            console.look(observe)?;
            if console.quiet() > self.watch.quiet_limit {
                return Err(self.silent(&console, connector.last_answer));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Runs a command with the shell of the client's account, for at most five minutes.
    pub(super) fn ssh(&self, command: &str) -> Result<Output, BootError> {
        let output = self.client.run(command, COMMAND_LIMIT, &|| self.check())?;
        if output.exit == Some(255) {
            self.check()?;
        }
        Ok(output)
    }

    /// Gives a person a shell in the guest on this process's terminal.
    pub(super) fn interactive(&self) -> Result<(), BootError> {
        self.client.terminal(&|| if self.cancelled() { Err(BootError::Cancelled) } else { Ok(()) })
    }

    /// Shuts the guest down as its own users would, and waits for the end.
    pub(super) fn power_off(self) -> Result<(), BootError> {
        // The answer is not waited for in earnest: the connection ends with the guest.
        let _ = self.client.run("sudo -n systemctl poweroff", COMMAND_LIMIT, &|| self.check());
        self.wait_for_end()
    }

    /// Presses the guest's power button, which needs nobody in the guest, and waits for the end.
    pub(super) fn press_power_button(self) -> Result<(), BootError> {
        let path = self.folder.file(MONITOR);
        press_power_button(self.folder.path()).map_err(BootError::io("use", &path))?;
        self.wait_for_end()
    }

    fn wait_for_end(mut self) -> Result<(), BootError> {
        self.session = None;
        let mut console = Console::new(&self.watch.serial_log);
        while self.qemu.ended().is_none() {
            self.in_time()?;
            console.look(&|_| ())?;
            if console.quiet() > self.watch.quiet_limit {
                return Err(self.silent(&console, None));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Kills the guest and returns its private folder.
    pub(super) fn stop(self) -> RunDir {
        self.folder
    }

    pub(super) fn serial_log(&self) -> &Path {
        &self.watch.serial_log
    }

    /// Whether there is any use in going on.
    pub(super) fn check(&self) -> Result<(), BootError> {
        self.in_time()?;
        let ended = self.qemu.ended();
        ended.map_or(Ok(()), |status| Err(qemu_ended(status, &self.folder, &self.watch.serial_log)))
    }

    fn in_time(&self) -> Result<(), BootError> {
        match self.watch.deadline {
            _ if self.cancelled() => Err(BootError::Cancelled),
            Some(deadline) if deadline <= Instant::now() => Err(BootError::OutOfTime),
            _ => Ok(()),
        }
    }

    fn cancelled(&self) -> bool {
        self.watch.cancel.load(Ordering::Relaxed)
    }

    fn silent(&self, console: &Console<'_>, ssh: Option<String>) -> BootError {
        BootError::Silent {
            quiet: self.watch.quiet_limit,
            stage: console.stage,
            ssh,
            tail: console_tail(&self.watch.serial_log),
            log: self.watch.serial_log.clone(),
        }
    }
}

/// A serial log that is being written.
struct Console<'a> {
    log: &'a Path,
    length: usize,
    stage: Option<Stage>,
    changed: Instant,
}

impl<'a> Console<'a> {
    fn new(log: &'a Path) -> Self {
        Self { log, length: 0, stage: None, changed: Instant::now() }
    }

    /// Reads what is new; `observe` hears of a stage that is a later one than before.
    fn look(&mut self, observe: &dyn Fn(Stage)) -> Result<(), BootError> {
        let log = std::fs::read(self.log).map_err(BootError::io("read", self.log))?;
        if log.len() == self.length {
            return Ok(());
        }
        self.length = log.len();
        self.changed = Instant::now();
        let reading = serial::read(&log);
        if let Some(stage) = reading.stage.filter(|_| reading.stage > self.stage) {
            self.stage = Some(stage);
            observe(stage);
        }
        match reading.trouble {
            None => Ok(()),
            Some((trouble, line)) => Err(BootError::Guest {
                trouble,
                line,
                tail: serial::tail(&log, 12),
                log: self.log.to_owned(),
            }),
        }
    }

    fn quiet(&self) -> Duration {
        self.changed.elapsed()
    }
}

/// Speaks QEMU's monitor protocol (QMP): greeting, its acknowledgement, the command, each a line.
fn press_power_button(folder: &Path) -> std::io::Result<()> {
    // The name of a socket must be short, and that of the folder need not be.
    let folder = File::open(folder)?;
    let mut monitor = UnixStream::connect(format!("/proc/self/fd/{}/{MONITOR}", folder.as_raw_fd()))?;
    monitor.set_read_timeout(Some(COMMAND_LIMIT))?;
    monitor.write_all(b"{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"system_powerdown\"}\n")?;
    // Until it has answered both, hanging up would take the command back.
    let answers = BufReader::new(monitor).lines().map_while(Result::ok);
    answers.filter(|line| line.starts_with("{\"return\"")).nth(1);
    Ok(())
}

/// Starts QEMU in the private folder, with variables of its own where it has a firmware that keeps some.
pub(super) fn launch(
    folder: &RunDir,
    setup: &Setup<'_>,
    namespaces: Option<Namespaces>,
) -> Result<Background, BootError> {
    if let Some(template) = setup.firmware.map(|firmware| &firmware.variables) {
        let variables = std::fs::read(template).map_err(BootError::io("read", template))?;
        folder.write(VARIABLES, variables)?;
    }
    let path = folder.file(LOG);
    let log = File::create(&path).map_err(BootError::io("write", &path))?;
    let errors = log.try_clone().map_err(BootError::io("write", &path))?;
    let only =
        files(setup, folder.path()).only().map_err(BootError::io("find", Path::new("our own program")))?;
    let mut command = mortal_with(Tool::Qemu, namespaces, &only)?;
    command.current_dir(folder.path()).args(arguments(setup)).stdout(log).stderr(errors);
    let (qemu, _) = Background::spawn(command)?;
    Ok(qemu)
}

pub(super) fn qemu_ended(status: &str, folder: &RunDir, serial_log: &Path) -> BootError {
    let said = std::fs::read_to_string(folder.file(LOG)).unwrap_or_default();
    BootError::QemuEnded {
        status: status.to_owned(),
        output: tail(&said, 6),
        tail: console_tail(serial_log),
        log: serial_log.to_owned(),
    }
}

fn console_tail(log: &Path) -> String {
    serial::tail(&std::fs::read(log).unwrap_or_default(), 12)
}
