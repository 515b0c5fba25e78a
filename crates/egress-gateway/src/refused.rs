//! Recording the packets that the sandbox's own rules refused: everything that is neither TCP nor DNS over IPv4.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use network_policy::{Destination, Direction, Flow, Protocol};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::gateway::{Ruling, Shared};
use crate::nflog::{Packet, packets};

/// Room for one message of the kernel, which may hold several packets.
const LARGEST_MESSAGE: usize = 64 * 1024;

/// Records refused packets, without end.
pub(crate) async fn serve(shared: Arc<Shared>, step: u32, socket: Arc<AsyncFd<OwnedFd>>) {
    let mut bytes = vec![0; LARGEST_MESSAGE];
    loop {
        match socket.async_io(Interest::READABLE, |fd| receive(fd, &mut bytes)).await {
            Ok(0) => return,
            Ok(length) => record(&shared, step, &bytes[..length]),
            Err(_) => lost(&shared, step),
        }
        tokio::task::yield_now().await;
    }
}

/// Records what still waits in the socket.
pub(crate) fn drain(shared: &Shared, step: u32, socket: &AsyncFd<OwnedFd>) {
    let mut bytes = vec![0; LARGEST_MESSAGE];
    loop {
        match receive(socket.get_ref(), &mut bytes) {
            Ok(0) => return,
            Ok(length) => record(shared, step, &bytes[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => lost(shared, step),
        }
    }
}

fn receive(socket: &OwnedFd, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, bytes, rustix::net::RecvFlags::DONTWAIT)?.0)
}

/// The kernel says (ENOBUFS) that it had more to tell than it could keep.
fn lost(shared: &Shared, step: u32) {
    let ruling = Ruling::refusal("refused packets came faster than they could be recorded");
    shared.recorder.add(ruling.row(step, None, None, 0, "other"));
}

fn record(shared: &Shared, step: u32, datagram: &[u8]) {
    for packet in packets(datagram) {
        if !packet.is_housekeeping() {
            let destination = match shared.name_of(packet.destination) {
                Some(name) => Destination::Name(name.to_string()),
                None => Destination::Address(packet.destination),
            };
            let ruling = rule(shared, &packet, &destination);
            let (name, address) = match destination {
                Destination::Name(name) => (Some(name), None),
                Destination::Address(address) => (None, Some(address)),
                Destination::Named(address, name) => (Some(name), Some(address)),
            };
            let protocol = protocol_name(packet.protocol);
            shared.recorder.add(ruling.row(step, name, address, packet.port, &protocol));
        }
    }
}

/// The policy may well allow the packet; a local build refuses it all the same.
fn rule(shared: &Shared, packet: &Packet, destination: &Destination) -> Ruling {
    let source = match packet.destination {
        IpAddr::V4(_) => IpAddr::V4(shared.config.guest_source),
        IpAddr::V6(_) => packet.source,
    };
    let flow = Flow {
        direction: Direction::Outbound,
        protocol: match packet.protocol {
            1 => Protocol::Icmp,
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            other => Protocol::Other(other),
        },
        source,
        source_port: packet.source_port,
        destination: destination.clone(),
        port: packet.port,
        application: None,
    };
    shared.rule_or_refuse(&flow, "only TCP and DNS over IPv4 leave a local build")
}

fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => format!("ip-{other}"),
    }
}
