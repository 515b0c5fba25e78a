//! Driving a sandbox: its output line by line, its time limit, its end; and what every part of a build shares.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use egress_gateway::{Connection, Gateway, Mode};
use sandbox::{Exit, IdMap, Job, Overlay, Running, SandboxError, Spec};

use crate::cache::{Cache, Work};
use crate::cancel::Cancel;
use crate::error::{BuildError, Result};
use crate::event::{Event, Observer, Stream};
use crate::log::{PackerLog, printable};
use crate::network::Outbound;
use crate::timeline::Timeline;

/// Said when the service would end a build for its length.
pub const OUT_OF_TIME: &str = "the build's total time (buildTimeoutInMinutes, or --timeout) is over";

/// What every part of a build shares.
#[allow(missing_debug_implementations, reason = "holds a callback")]
pub struct Context<'a> {
    /// The cache.
    pub cache: &'a Cache,
    /// Scratch of this build.
    pub work: &'a Work,
    /// Which ids of this machine stand for those in sandboxes.
    pub id_map: &'a IdMap,
    /// Told what happens.
    pub observer: &'a Observer<'a>,
    /// Asks to stop.
    pub cancel: &'a Cancel,
    /// The log that is being written.
    pub log: &'a RefCell<PackerLog>,
    /// How the outside is reached.
    pub outbound: &'a Outbound,
    /// What the engine itself fetched: step 0 of the egress record.
    pub own_connections: &'a RefCell<Vec<Connection>>,
    /// What steps contacted whose layers an earlier build made.
    pub earlier_connections: &'a RefCell<Vec<Connection>>,
    /// When the build as a whole runs out of time.
    pub deadline: Instant,
    /// Where the time goes.
    pub timeline: &'a Timeline,
}

/// How driving a sandbox ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    Exit(Exit),
    /// The build ran out of time and the sandbox was ended.
    TimedOut,
}

impl Context<'_> {
    /// Runs a job of the engine's own with recorded, unrestricted network, and passes its output on.
    ///
    /// # Errors
    /// When the job fails, time runs out, or a stop was asked for.
    pub fn run_engine_job(&self, spec: &Spec, step: u32) -> Result<Exit> {
        let mut running = sandbox::spawn(spec)?;
        let gateway = self.outbound.gateway(Mode::Learn, None)?;
        let session = attach(&gateway, step, &mut running)?;
        let ended = self.drive(running, |stream, line| self.pass_on(step, stream, line));
        drop(session);
        self.own_connections.borrow_mut().extend(gateway.record().connections);
        match ended? {
            Ended::Exit(exit) => Ok(exit),
            Ended::TimedOut => Err(BuildError::host(OUT_OF_TIME)),
        }
    }

    /// Shows and logs one line.
    pub fn pass_on(&self, index: u32, stream: Stream, line: &str) {
        (self.observer)(&Event::Output { index, stream, line: printable(line) });
        // A full disk shows where the image is written; a log line less must not hide the step's own error.
        let _ = self.log.borrow_mut().output(stream, line);
    }

    /// Follows a sandbox to its end.
    ///
    /// # Errors
    /// When the sandbox fails or a stop was asked for.
    pub fn drive(&self, mut running: Running, mut on_line: impl FnMut(Stream, &str)) -> Result<Ended> {
        self.cancel.set_running(Some(running.killer()?));
        let (sender, lines) = sync_channel(1024);
        read_lines(running.take_stdout(), Stream::Stdout, sender.clone());
        read_lines(running.take_stderr(), Stream::Stderr, sender);
        let mut timed_out = false;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left.max(Duration::from_millis(1))) {
                Ok((stream, line)) => on_line(stream, &line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if timed_out => {}
                Err(RecvTimeoutError::Timeout) => {
                    timed_out = true;
                    running.kill();
                }
            }
        }
        let ended = running.wait();
        self.cancel.set_running(None);
        self.cancel.check()?;
        match ended {
            Err(SandboxError::Lost(_)) if timed_out => Ok(Ended::TimedOut),
            other => Ok(Ended::Exit(other?)),
        }
    }
}

/// Lets the gateway serve a sandbox's network.
///
/// # Errors
/// When the sandbox has no network or its sockets cannot be used.
pub fn attach(
    gateway: &Gateway,
    step: u32,
    running: &mut Running,
) -> Result<Option<egress_gateway::Session>> {
    let Some(sockets) = running.take_sockets() else { return Ok(None) };
    let session = gateway.attach(step, sockets);
    session
        .map(Some)
        .map_err(|error| BuildError::host(format!("failed to serve the build's network: {error}")))
}

/// Sends lines, without their ends, until the pipe closes. What is not UTF-8 is replaced; a line longer than a
/// mebibyte comes in parts.
pub fn read_lines(
    pipe: Option<impl Read + Send + 'static>,
    stream: Stream,
    sender: SyncSender<(Stream, String)>,
) {
    const LONGEST: u64 = 1 << 20;
    let Some(pipe) = pipe else { return };
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut reader).take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            if sender.send((stream, text.to_owned())).is_err() {
                return;
            }
        }
    });
}

impl Context<'_> {
    /// Runs one of our own functions, without network, and returns its output. It sees the merged layers of
    /// `overlay` and, at their own paths, `folders` of this machine.
    ///
    /// # Errors
    /// When the function reports an error, time runs out, or a stop was asked for.
    pub fn run_job(
        &self,
        job: &Job,
        input: &str,
        overlay: Option<Overlay>,
        folders: &[&Path],
    ) -> Result<String> {
        let spec = Spec {
            overlay,
            folders: folders.iter().map(|folder| (*folder).to_path_buf()).collect(),
            ..self.job(job, input.to_owned())
        };
        match self.drive(sandbox::spawn(&spec)?, |stream, line| self.pass_on(0, stream, line))? {
            Ended::Exit(Exit::Job(output)) => Ok(output),
            Ended::Exit(other) => {
                Err(BuildError::host(format!("{} ended unexpectedly: {other:?}", job.name)))
            }
            Ended::TimedOut => Err(BuildError::host(OUT_OF_TIME)),
        }
    }

    /// A sandbox for one of our own functions, still without anything else.
    pub fn job(&self, job: &Job, input: String) -> Spec {
        Spec::job(self.id_map.clone(), job, input)
    }

    /// A stack of layers, topmost first, with a scratch folder on top of it.
    pub fn overlay(&self, lowers: &[PathBuf], scratch: &Path) -> Overlay {
        Overlay {
            store: self.cache.root().to_path_buf(),
            lowers: lowers.to_vec(),
            scratch: scratch.to_path_buf(),
        }
    }
}
