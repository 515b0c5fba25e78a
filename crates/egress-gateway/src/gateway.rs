//! The gateway's life: its threads, one session per build step, and what they share.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use network_policy::{Decision, Flow, Verdict};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sandbox::NetworkSockets;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::names::Names;
use crate::record::Recorder;
use crate::resolver::Resolver;
use crate::{
    Config, Connection, EgressRecord, Error, Layer, Mode, Outcome, limits, nameserver, refused, tcp,
};

/// Threads that carry bytes. Content never enters the process, so two keep up with what a build downloads.
const THREADS: usize = 2;
/// Pause after the process ran out of descriptors.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// What all sessions of a gateway share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) names: Mutex<Names>,
    pub(crate) resolver: Resolver,
    pub(crate) recorder: Arc<Recorder>,
    places: Arc<Semaphore>,
    most: usize,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let most = config.max_connections.min(room_for_connections(config.max_connections));
        Self {
            names: Mutex::default(),
            resolver: match config.test_lookup.clone() {
                Some(lookup) => Resolver::with(Arc::new(move |name| Ok(lookup(name)))),
                None => Resolver::of_host(),
            },
            recorder: Arc::new(Recorder::new(config.observer.clone())),
            places: Arc::new(Semaphore::new(most)),
            most,
            config,
        }
    }

    /// The name that an address stands for.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).name_of(address)
    }

    /// What happens to a flow.
    pub(crate) fn rule(&self, flow: &Flow) -> Ruling {
        self.ruling(self.config.policy.decide(flow))
    }

    /// What happens to a question for the name's address.
    pub(crate) fn rule_on_name(&self, name: &str) -> Ruling {
        self.ruling(self.config.policy.may_resolve(name))
    }

    /// Refuses a flow: by the policy's own rule when there is one, else by the gateway's.
    pub(crate) fn rule_or_refuse(&self, flow: &Flow, own_rule: &str) -> Ruling {
        let decision = self.config.policy.decide(flow);
        if decision.verdict == Verdict::Denied {
            Ruling::of(decision, false)
        } else {
            Ruling::refusal(own_rule)
        }
    }

    fn ruling(&self, decision: Decision) -> Ruling {
        let undecided = decision.verdict == Verdict::Undecided && self.config.allow_undecided;
        if decision.verdict == Verdict::Allowed || undecided {
            return Ruling::of(decision, true);
        }
        match self.config.mode {
            Mode::Enforce => Ruling::of(decision, false),
            Mode::Learn => {
                let would = Ruling::of(decision, false);
                Ruling {
                    pass: true,
                    decision: Outcome::Allowed,
                    layer: Layer::Gateway,
                    rule: "learning refuses nothing".to_owned(),
                    resource: String::new(),
                    note: Some(format!("the policy in force does not allow it: {}", would.rule)),
                }
            }
        }
    }
}

/// What happens to a flow, and who says so.
#[derive(Clone, Debug)]
pub(crate) struct Ruling {
    pub(crate) pass: bool,
    pub(crate) decision: Outcome,
    pub(crate) layer: Layer,
    pub(crate) rule: String,
    pub(crate) resource: String,
    pub(crate) note: Option<String>,
}

impl Ruling {
    fn of(decision: Decision, pass: bool) -> Self {
        let outcome = match decision.verdict {
            Verdict::Allowed => Outcome::Allowed,
            Verdict::Denied => Outcome::Denied,
            Verdict::Undecided => Outcome::Undecided,
        };
        Self {
            pass,
            decision: outcome,
            layer: decision.layer.into(),
            rule: decision.rule,
            resource: decision.resource,
            note: None,
        }
    }

    /// A rule of the gateway itself that refuses.
    pub(crate) fn refusal(rule: impl Into<String>) -> Self {
        Self {
            pass: false,
            decision: Outcome::Denied,
            layer: Layer::Gateway,
            rule: rule.into(),
            resource: String::new(),
            note: None,
        }
    }

    /// The record's row for one connection, question or packet.
    pub(crate) fn row(
        &self,
        step: u32,
        name: Option<String>,
        address: Option<IpAddr>,
        port: u16,
        protocol: &str,
    ) -> Connection {
        Connection {
            step,
            name,
            address,
            port,
            protocol: protocol.to_owned(),
            decision: self.decision,
            layer: self.layer,
            rule: self.rule.clone(),
            bytes_out: 0,
            bytes_in: 0,
            count: 1,
            resource: self.resource.clone(),
            note: self.note.clone(),
            refused: !self.pass,
        }
    }
}

/// How many connections the limit of open files has room for. The soft limit of the process is raised towards
/// its hard limit as far as `wanted` connections need it.
fn room_for_connections(wanted: usize) -> usize {
    let needed =
        (wanted as u64).saturating_mul(limits::DESCRIPTORS_PER_CONNECTION) + limits::DESCRIPTORS_LEFT;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let mut limit = soft;
    if soft < needed && setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard).is_ok() {
        limit = needed.min(hard);
    }
    let room = limit.saturating_sub(limits::DESCRIPTORS_LEFT) / limits::DESCRIPTORS_PER_CONNECTION;
    usize::try_from(room.max(1)).unwrap_or(wanted)
}

/// The way out of one build: serves the sandboxes of its steps, one [`Session`] each.
///
/// It runs on threads of its own; dropping it ends every session.
pub struct Gateway {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("mode", &self.shared.config.mode).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Starts a gateway without sessions.
    ///
    /// The process's soft limit of open files is raised towards its hard limit, to have room for
    /// [`Config::max_connections`].
    ///
    /// # Errors
    /// [`Error::Runtime`] when its threads cannot be started.
    pub fn start(config: Config) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(16)
            .thread_name("egress")
            .enable_io()
            .enable_time()
            .build()
            .map_err(Error::Runtime)?;
        Ok(Self { shared: Arc::new(Shared::new(config)), runtime: Some(runtime) })
    }

    /// Serves the sockets of a step's sandbox until the session is finished or dropped.
    ///
    /// # Errors
    /// [`Error::Socket`] when a socket is not of the kind it should be.
    pub fn attach(&self, step: u32, sockets: NetworkSockets) -> Result<Session, Error> {
        self.serve(step, sockets, None)
    }

    /// **For tests and measurements only.** Like [`Gateway::attach`] with an ordinary TCP listener: every
    /// connection to it counts as made to `destination`.
    ///
    /// # Errors
    /// As [`Gateway::attach`].
    pub fn attach_standing_for(
        &self,
        step: u32,
        sockets: NetworkSockets,
        destination: SocketAddr,
    ) -> Result<Session, Error> {
        self.serve(step, sockets, Some(destination))
    }

    /// Adds a connection that did not go through the gateway, such as a file that the engine itself fetched.
    pub fn add(&self, connection: Connection) {
        self.shared.recorder.add(connection);
    }

    /// What was let out and what was refused so far. Connections appear when they end.
    pub fn record(&self) -> EgressRecord {
        self.shared.recorder.record()
    }

    fn serve(
        &self,
        step: u32,
        sockets: NetworkSockets,
        destination: Option<SocketAddr>,
    ) -> Result<Session, Error> {
        let Some(runtime) = &self.runtime else {
            return Err(Error::Runtime(io::ErrorKind::BrokenPipe.into()));
        };
        let _inside = runtime.enter();
        let socket_error = |socket| move |source| Error::Socket { socket, source };
        let listener = listener(sockets.tcp).map_err(socket_error("tcp"))?;
        let served = Served {
            shared: Arc::clone(&self.shared),
            step,
            dns: datagrams(sockets.dns).map_err(socket_error("dns"))?,
            refused: netlink(sockets.refused).map_err(socket_error("refused"))?,
            destination,
        };
        let (end, ended) = oneshot::channel();
        let (done, finished) = mpsc::channel();
        runtime.spawn(async move {
            served.run(listener, ended).await;
            // Nobody waits when the session was leaked.
            let _ = done.send(());
        });
        Ok(Session { end: Some(end), finished })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A look-up may hang in the host's resolver; nobody needs its answer any more.
            runtime.shutdown_background();
        }
    }
}

fn listener(socket: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn datagrams(socket: OwnedFd) -> io::Result<Arc<UdpSocket>> {
    let socket = std::net::UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket).map(Arc::new)
}

#[expect(
    deprecated,
    reason = "its successor is marked `unsafe`, for sources that may close early; an owned one does not"
)]
fn netlink(socket: OwnedFd) -> io::Result<Arc<AsyncFd<OwnedFd>>> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(Arc::new(AsyncFd::new(socket)?))
}

/// The gateway's service for one build step.
///
/// Finishing or dropping it closes the step's connections (after half a second in which their last bytes may
/// arrive) and completes their rows in the record.
#[must_use = "dropping the session ends the step's network"]
#[derive(Debug)]
pub struct Session {
    end: Option<oneshot::Sender<()>>,
    finished: mpsc::Receiver<()>,
}

impl Session {
    /// Ends the session; afterwards [`Gateway::record`] holds everything that the step did.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            // Both fail only when the gateway is gone, and the session with it.
            let _ = end.send(());
            let _ = self.finished.recv();
        }
    }
}

/// A session's side on the gateway's threads.
struct Served {
    shared: Arc<Shared>,
    step: u32,
    dns: Arc<UdpSocket>,
    refused: Arc<AsyncFd<OwnedFd>>,
    destination: Option<SocketAddr>,
}

impl Served {
    async fn run(self, listener: TcpListener, mut ended: oneshot::Receiver<()>) {
        let mut datagrams = JoinSet::new();
        datagrams.spawn(nameserver::serve(Arc::clone(&self.shared), self.step, Arc::clone(&self.dns)));
        datagrams.spawn(refused::serve(Arc::clone(&self.shared), self.step, Arc::clone(&self.refused)));
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, source)) => self.take(&mut calls, client, source),
                    Err(_) => tokio::time::sleep(OUT_OF_DESCRIPTORS).await,
                },
                Some(_) = calls.join_next() => {}
                _ = &mut ended => break,
            }
        }
        self.take_rest(&mut calls, listener);
        let rest = async { while calls.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(limits::LAST_BYTES, rest).await;
        calls.shutdown().await;
        datagrams.shutdown().await;
        refused::drain(&self.shared, self.step, &self.refused);
    }

    /// Connections that the step made just before it ended belong into the record, too.
    fn take_rest(&self, calls: &mut JoinSet<()>, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((client, source)) = listener.accept() {
            if let Ok(client) = client.set_nonblocking(true).and_then(|()| TcpStream::from_std(client)) {
                self.take(calls, client, source);
            }
        }
    }

    fn take(&self, calls: &mut JoinSet<()>, client: TcpStream, source: SocketAddr) {
        let Ok(asked) = self.destination.map_or_else(|| client.local_addr(), Ok) else { return };
        let shared = Arc::clone(&self.shared);
        let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
            let ruling = Ruling::refusal(format!("more than {} connections at once", shared.most));
            let name = shared.name_of(asked.ip()).map(|name| name.to_string());
            let address = name.is_none().then_some(asked.ip());
            shared.recorder.add(ruling.row(self.step, name, address, asked.port(), "tcp"));
            let _ = client.set_zero_linger();
            return;
        };
        let step = self.step;
        calls.spawn(async move {
            if asked.port() == nameserver::PORT {
                nameserver::serve_stream(&shared, step, client).await;
            } else {
                tcp::serve(&shared, step, client, source, asked).await;
            }
            drop(place);
        });
    }
}
