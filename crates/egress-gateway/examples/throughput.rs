//! Measures what the gateway costs: the same transfers directly over loopback and from a real sandbox through the
//! gateway, in turns. Needs root, `ip`, `nft` and `curl`.
//!
//! Prints one line per scenario: its name, seconds of the direct runs, seconds of the runs through the gateway,
//! separated by tabs. `cargo xtask bench --only gateway` judges them.
//!
//! The server does not pace what it sends (BBR would, and hide the gateway's cost behind its own pauses).
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::unnecessary_wraps,
    reason = "a measurement, not a program"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use egress_gateway::{Config, Decide, Gateway};
use network_policy::{Decision, Flow, Layer, Verdict};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use sandbox::{Entry, Exit, IdMap, Job, JobContext, Spec};

/// The name of the server: from this machine's resolver (by a hosts file, so that no server's delay counts for us) or
/// from the gateway.
const NAME: &str = "bench.example.com";
/// Bytes of a transfer from memory to memory.
const BULK: u64 = 4 << 30;
/// Bytes that curl downloads.
const DOWNLOAD: u64 = 1_000_000_000;
/// Bytes of a small answer.
const SMALL: u64 = 1000;
/// Small transfers, one after the other.
const CONNECTIONS: usize = 1000;
/// Path below which the server sends no faster than a fast line, in bytes per second.
const LINE: &str = "/line/";
const LINE_RATE: f64 = 1.25e9;
/// Runs of each scenario.
const ROUNDS: usize = 7;

/// What is measured: a name, and what does it, given `host:port` of the server and a folder for files.
type Scenario = (&'static str, fn(&str, &Path));
const SCENARIOS: &[Scenario] = &[
    ("curl 1 GB to /dev/null", |server, _| ended(curl(server, "/", DOWNLOAD, Path::new("/dev/null")))),
    ("curl 1 GB to a file", |server, folder| ended(curl(server, "/", DOWNLOAD, &folder.join("download")))),
    ("curl 1 GB at 10 Gbit/s", |server, _| ended(curl(server, LINE, DOWNLOAD, Path::new("/dev/null")))),
    ("100 curls at once", |server, _| {
        let curls: Vec<_> = (0..100).map(|_| curl(server, "/", SMALL, Path::new("/dev/null"))).collect();
        curls.into_iter().for_each(ended);
    }),
    ("1000 connections in turn", |server, _| (0..CONNECTIONS).for_each(|_| fetch(server, SMALL))),
    ("4 GiB from memory to memory", |server, _| fetch(server, BULK)),
];

struct Everything;

impl Decide for Everything {
    fn decide(&self, _: &Flow) -> Decision {
        self.may_resolve("")
    }

    fn may_resolve(&self, _: &str) -> Decision {
        let (resource, rule) = (String::new(), "measurement".to_owned());
        Decision { verdict: Verdict::Allowed, layer: Layer::Platform, resource, rule }
    }
}

fn main() {
    sandbox::enter_if_requested(&[Job { name: "measure", run: measure_inside }]);
    let folder = std::env::temp_dir().join(format!("egress-gateway-throughput-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    replace("/etc/hosts", &folder, &format!("127.0.0.1 {NAME}\n"));
    let server = start_server();
    let outside = format!("{NAME}:{}", server.port());
    let mut config = Config::new(Arc::new(Everything), Ipv4Addr::new(10, 0, 0, 4));
    config.test_names.insert(NAME.to_owned(), server);
    let gateway = Gateway::start(config).unwrap();
    for (index, (name, _)) in SCENARIOS.iter().enumerate() {
        let (mut direct, mut through) = (String::new(), String::new());
        for _ in 0..ROUNDS {
            let _ = write!(direct, " {:.6}", measure(index, &outside, &folder));
            let _ = write!(through, " {}", measure_through(&gateway, index, &folder));
        }
        println!("{name}\t{}\t{}", direct.trim_start(), through.trim_start());
    }
    fs::remove_dir_all(&folder).unwrap();
}

/// Seconds of one run.
fn measure(scenario: usize, server: &str, folder: &Path) -> f64 {
    let _ = fs::remove_file(folder.join("download"));
    let begin = Instant::now();
    SCENARIOS[scenario].1(server, folder);
    begin.elapsed().as_secs_f64()
}

/// Seconds of one run in a sandbox behind the gateway.
fn measure_through(gateway: &Gateway, scenario: usize, folder: &Path) -> String {
    let input = format!("{scenario} {}", folder.display());
    let entry = Entry::Job { name: "measure".into(), input };
    let id_map = IdMap::choose(&[folder]).unwrap().id_map;
    let spec = Spec { network: true, folders: vec![folder.to_owned()], ..Spec::new(id_map, entry) };
    let mut running = sandbox::spawn(&spec).unwrap();
    let _session = gateway.attach(1, running.take_sockets().unwrap()).unwrap();
    let Exit::Job(output) = running.wait().unwrap() else { panic!("no output") };
    output
}

fn measure_inside(_: &JobContext, input: &str) -> Result<String, String> {
    let (scenario, folder) = input.split_once(' ').unwrap();
    let folder = PathBuf::from(folder);
    // The job sees the host's settings; the host's name server may be on loopback, which is the sandbox's own here.
    replace("/etc/resolv.conf", &folder, "nameserver 192.0.2.53\n");
    replace("/etc/hosts", &folder, "");
    Ok(format!("{:.6}", measure(scenario.parse().unwrap(), &format!("{NAME}:80"), &folder)))
}

/// Gives a file of this process's mount namespace another content.
fn replace(file: &str, folder: &Path, content: &str) {
    let source = folder.join(format!("{}-{}", file.replace('/', "-"), content.len()));
    fs::write(&source, content).unwrap();
    mount(Some(&source), file, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

/// Downloads `bytes` from below `path`.
fn curl(server: &str, path: &str, bytes: u64, to: &Path) -> Child {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--ipv4"]).arg("--output").arg(to);
    curl.arg(format!("http://{server}{path}{bytes}")).spawn().unwrap()
}

fn ended(mut child: Child) {
    let status = child.wait().unwrap();
    assert!(status.success(), "curl: {status}");
}

/// Asks for bytes and counts them.
fn fetch(server: &str, bytes: u64) {
    let address = server.to_socket_addrs().unwrap().find(SocketAddr::is_ipv4).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /{bytes} HTTP/1.1\r\nHost: {server}\r\n\r\n").unwrap();
    let mut block = vec![0; 1 << 18];
    let mut received = 0;
    loop {
        match stream.read(&mut block).unwrap() {
            0 => break,
            read => received += read as u64,
        }
    }
    assert!(received > bytes, "cut short");
}

fn start_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    nix::sys::socket::setsockopt(&listener, nix::sys::socket::sockopt::TcpCongestion, &"reno".into())
        .unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that went away shows at the client.
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Sends as many bytes as the request's path says.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap()?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap();
    let rate = if path.starts_with(LINE) { LINE_RATE } else { f64::INFINITY };
    let mut left: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {left}\r\nConnection: close\r\n\r\n")?;
    let block = vec![7; 1 << 18];
    let mut due = Instant::now();
    while left > 0 {
        let part = usize::try_from(left).unwrap().min(block.len());
        stream.write_all(&block[..part])?;
        left -= part as u64;
        due += Duration::from_secs_f64(part as f64 / rate);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
