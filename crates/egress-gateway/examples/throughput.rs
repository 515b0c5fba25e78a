//! Measures what the gateway costs: bulk throughput and time per connection, directly over loopback and from a
//! real sandbox through the gateway, in turns. Needs root, `ip` and `nft`.
//!
//! `cargo run --release -p egress-gateway --example throughput`
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::unnecessary_wraps,
    reason = "a measurement, not a program"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use egress_gateway::{Config, Decide, Gateway};
use network_policy::{Decision, Flow, Layer, Verdict};
use sandbox::{Entry, Exit, Job, JobContext, Spec};

/// Bytes of a bulk transfer.
const BULK: u64 = 2 << 30;
/// Connections that are timed.
const CONNECTIONS: u32 = 2000;
const ROUNDS: usize = 3;

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
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let mut config = Config::new(Arc::new(Everything), Ipv4Addr::new(10, 0, 0, 4));
    config.test_names.insert("bench.example.com".to_owned(), server);
    let gateway = Gateway::start(config).unwrap();
    for _ in 0..ROUNDS {
        let direct = measure(server);
        let through = measure_through(&gateway);
        println!(
            "bulk: direct {:.0} MB/s, gateway {:.0} MB/s ({:.0} %); connection: direct {:.3} ms, gateway {:.3} ms (+{:.3} ms)",
            direct.0,
            through.0,
            100.0 * through.0 / direct.0,
            direct.1,
            through.1,
            through.1 - direct.1
        );
    }
}

/// Sends as many bytes as the client's request says.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut wanted = [0; 9];
    stream.read_exact(&mut wanted)?;
    let mut left = u64::from_le_bytes(wanted[1..].try_into().unwrap());
    let block = vec![7; 1 << 18];
    while left > 0 {
        let part = usize::try_from(left).unwrap().min(block.len());
        stream.write_all(&block[..part])?;
        left -= part as u64;
    }
    Ok(())
}

/// Asks for bytes and counts them. The first byte is no letter, so that this is neither TLS nor HTTP.
fn fetch(server: SocketAddr, bytes: u64) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.write_all(&[&[0][..], &bytes.to_le_bytes()].concat()).unwrap();
    let mut block = vec![0; 1 << 18];
    let mut received = 0;
    while received < bytes {
        let read = stream.read(&mut block).unwrap();
        assert!(read > 0, "cut short");
        received += read as u64;
    }
}

/// MB/s of a bulk transfer and milliseconds per connection of a thousand bytes.
fn measure(server: SocketAddr) -> (f64, f64) {
    let begin = Instant::now();
    fetch(server, BULK);
    let bulk = BULK as f64 / 1e6 / begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for _ in 0..CONNECTIONS {
        fetch(server, 1000);
    }
    (bulk, begin.elapsed().as_secs_f64() * 1e3 / f64::from(CONNECTIONS))
}

/// Inside the sandbox: 198.18.0.1 is the first name that was asked for.
fn measure_inside(_: &JobContext, _: &str) -> Result<String, String> {
    let query = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x05bench\x07example\x03com\0\0\x01\0\x01";
    let dns = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    dns.send_to(query, "192.0.2.53:53").unwrap();
    dns.recv(&mut [0; 512]).unwrap();
    let (bulk, connection) = measure("198.18.0.1:443".parse().unwrap());
    Ok(format!("{bulk} {connection}"))
}

fn measure_through(gateway: &Gateway) -> (f64, f64) {
    let spec = Spec {
        overlay: None,
        hostname: "bench".into(),
        network: true,
        binds: Vec::new(),
        uploads: Vec::new(),
        entry: Entry::Job { name: "measure".into(), input: String::new() },
        interactive: false,
    };
    let mut running = sandbox::spawn(&spec).unwrap();
    let _session = gateway.attach(1, running.take_sockets().unwrap()).unwrap();
    let Exit::Job(output) = running.wait().unwrap() else { panic!("no output") };
    let (bulk, connection) = output.split_once(' ').unwrap();
    (bulk.parse().unwrap(), connection.parse().unwrap())
}
