//! Listening on every interface of this machine while a sandbox talks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};

/// Room for what arrives while nobody reads, so that nothing is missed.
const ROOM: usize = 64 << 20;

/// An IP packet on one of this machine's interfaces.
#[derive(Debug)]
pub struct Packet {
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// All of it, from the IP header.
    pub bytes: Vec<u8>,
}

/// A capture that is running.
pub struct Capture {
    last: UdpSocket,
    reader: JoinHandle<Vec<Packet>>,
}

impl Capture {
    /// Starts to keep every packet that `wanted` wants; an error where this machine does not allow it.
    pub fn start(wanted: fn(&Packet) -> bool) -> io::Result<Self> {
        // A datagram socket of this family gets packets without their link header.
        let raw =
            socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
        setsockopt(&raw, sockopt::RcvBufForce, &ROOM)?;
        let last = UdpSocket::bind("127.0.0.1:0")?;
        let end = last.local_addr()?;
        let reader = thread::spawn(move || read_until(&raw, end, wanted));
        Ok(Self { last, reader })
    }

    /// What was captured until now.
    pub fn finish(self) -> Vec<Packet> {
        // A packet to ourselves: when it is captured, so is all that was sent before.
        self.last.send_to(b"end", self.last.local_addr().unwrap()).unwrap();
        self.reader.join().unwrap()
    }
}

fn read_until(raw: &OwnedFd, end: SocketAddr, wanted: fn(&Packet) -> bool) -> Vec<Packet> {
    let mut bytes = vec![0; 1 << 17];
    let mut packets = Vec::new();
    loop {
        let length = match recv(raw.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EINTR) => continue,
            Err(error) => panic!("the capture failed: {error}"),
        };
        match parse(&bytes[..length]) {
            Some(packet) if packet.to == end => return packets,
            Some(packet) if wanted(&packet) => packets.push(packet),
            _ => {}
        }
    }
}

/// Addresses and, where it has them, ports; other protocols than IP are of no interest.
fn parse(bytes: &[u8]) -> Option<Packet> {
    let (from, to, length): (IpAddr, IpAddr, usize) = match bytes.first()? >> 4 {
        4 => {
            let address = |at: usize| Some(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?).into());
            (address(12)?, address(16)?, usize::from(bytes[0] & 15) * 4)
        }
        6 => {
            let address = |at: usize| Some(Ipv6Addr::from(*bytes.get(at..)?.first_chunk::<16>()?).into());
            (address(8)?, address(24)?, 40)
        }
        _ => return None,
    };
    let port =
        |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |port| u16::from_be_bytes(*port));
    Some(Packet {
        from: (from, port(length)).into(),
        to: (to, port(length + 2)).into(),
        bytes: bytes.to_vec(),
    })
}
