//! Driving a sandbox: its output line by line, its time limit, its end; and what every part of a build shares.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use egress_gateway::{Connection, Gateway, Mode};
use sandbox::{Exit, IdMap, Job, Overlay, Running, SandboxError, Spec};

use crate::cache::{Cache, Work};
use crate::cancel::Cancel;
use crate::error::{BuildError, Result};
use crate::event::{Event, Observer, Stream};
use crate::limits::Memory;
use crate::log::{PackerLog, printable};
use crate::network::Outbound;
use crate::output_lines::send_lines;
use crate::space::SpaceGuard;
use crate::step::exit_reason;
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
    /// The sandbox, or what it needed, was ended, for this reason.
    Stopped(String),
}

/// Why a program of a sandbox failed that ended so; none when it did not.
pub fn failure(exit: &Exit) -> Option<String> {
    match exit {
        Exit::Code(code) => exit_reason(*code),
        Exit::Signal(signal) => Some(format!("ended by signal {signal}")),
        Exit::Job(_) => None,
    }
}

/// What ends a sandbox beside the build's own end.
#[derive(Debug, Default)]
pub struct Bounds {
    /// Room for what it writes.
    pub space: Option<SpaceGuard>,
    /// Time for a program that needs no more, and what is said when it is over.
    pub time: Option<(Duration, String)>,
}

/// How often time and space are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Context<'_> {
    /// Runs a job of the engine's own with recorded, unrestricted network, and passes its output on.
    ///
    /// # Errors
    /// When the job fails, time runs out, or a stop was asked for.
    pub fn run_engine_job(&self, spec: &Spec, step: u32) -> Result<Exit> {
        let mut running = sandbox::spawn(spec)?;
        let gateway = self.outbound.gateway(Mode::Learn, None)?;
        let session = attach(&gateway, step, &mut running)?;
        let ended = self.drive(running, Bounds::default(), |stream, line| self.pass_on(step, stream, line));
        drop(session);
        self.own_connections.borrow_mut().extend(gateway.record().connections);
        match ended? {
            Ended::Exit(exit) => Ok(exit),
            Ended::Stopped(why) => Err(BuildError::host(why)),
        }
    }

    /// Shows and logs one line.
    pub fn pass_on(&self, index: u32, stream: Stream, line: &str) {
        (self.observer)(&Event::Output { index, stream, line: printable(line) });
        // A full disk shows where the image is written; a log line less must not hide the step's own error.
        let _ = self.log.borrow_mut().output(stream, line);
    }

    /// Follows a sandbox to its end, and ends it when time or space runs out.
    ///
    /// # Errors
    /// When the sandbox fails or a stop was asked for.
    pub fn drive(
        &self,
        mut running: Running,
        bounds: Bounds,
        mut on_line: impl FnMut(Stream, &str),
    ) -> Result<Ended> {
        let Bounds { mut space, time } = bounds;
        let time = time.map(|(limit, why)| (Instant::now() + limit, why));
        let memory = Memory::of(&running);
        self.cancel.set_running(Some(running.killer()?));
        let (sender, lines) = sync_channel(1024);
        send_lines(running.take_stdout(), Stream::Stdout, sender.clone());
        send_lines(running.take_stderr(), Stream::Stderr, sender);
        let mut stopped = None;
        let mut next_look = Instant::now() + LOOK_EVERY.min(self.time_left());
        loop {
            match lines.recv_timeout(next_look.saturating_duration_since(Instant::now())) {
                Ok((stream, line)) => on_line(stream, &line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            // Also between lines, or who prints without end could not be ended.
            if Instant::now() < next_look {
                continue;
            }
            if stopped.is_none() {
                let out_of_time = time.iter().find(|(end, _)| *end <= Instant::now());
                stopped = self
                    .out_of_time()
                    .or_else(|| out_of_time.map(|(_, why)| why.clone()))
                    .or_else(|| space.as_mut().and_then(SpaceGuard::check));
            }
            if stopped.is_some() {
                running.kill();
            }
            next_look = Instant::now() + LOOK_EVERY;
        }
        let ended = running.wait();
        self.cancel.set_running(None);
        self.cancel.check()?;
        let ran_out = memory.ran_out();
        let why = match (&ended, stopped) {
            (Err(SandboxError::Lost(_)), Some(why)) => Some(why),
            // The sandbox's own processes are among those that the kernel ends.
            (Err(error), _) if ran_out.is_some() => Some(error.to_string()),
            (Ok(exit), _) if ran_out.is_some() => failure(exit),
            _ => None,
        };
        match why {
            Some(why) => Ok(Ended::Stopped(why + &ran_out.unwrap_or_default())),
            None => Ok(Ended::Exit(ended?)),
        }
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn out_of_time(&self) -> Option<String> {
        self.time_left().is_zero().then(|| OUT_OF_TIME.to_owned())
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
        self.end_job(job, self.start_job(job, input.to_owned(), overlay, folders)?)
    }

    /// The first half of [`Context::run_job`]: returns while the function runs.
    ///
    /// # Errors
    /// When its sandbox cannot be made.
    pub fn start_job(
        &self,
        job: &Job,
        input: String,
        overlay: Option<Overlay>,
        folders: &[&Path],
    ) -> Result<Running> {
        let folders = folders.iter().map(|folder| (*folder).to_path_buf()).collect();
        Ok(sandbox::spawn(&Spec { overlay, folders, ..self.job(job, input) })?)
    }

    /// The second half of [`Context::run_job`].
    ///
    /// # Errors
    /// As there.
    pub fn end_job(&self, job: &Job, running: Running) -> Result<String> {
        match self.drive(running, Bounds::default(), |stream, line| self.pass_on(0, stream, line))? {
            Ended::Exit(Exit::Job(output)) => Ok(output),
            Ended::Exit(other) => {
                Err(BuildError::host(format!("{} ended unexpectedly: {other:?}", job.name)))
            }
            Ended::Stopped(why) => Err(BuildError::host(why)),
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
            volatile: false,
        }
    }

    /// The same for what this build alone uses.
    pub fn volatile_overlay(&self, lowers: &[PathBuf], scratch: &Path) -> Overlay {
        Overlay { volatile: true, ..self.overlay(lowers, scratch) }
    }
}
