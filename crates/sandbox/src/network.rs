//! The network of a sandbox: a loopback interface on which every address is local, rules that hand TCP to the
//! gateway's listener and refuse the rest, and the sockets that the gateway serves from outside.
//!
//! Nothing can leave, because no interface leads out; the rules only decide what the gateway gets to see.

use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrIn, bind,
    listen, recv, send, setsockopt, socket, sockopt,
};

use crate::{GUEST_ADDRESS, NetworkSockets};

const PROXY_PORT: u16 = 15001;

/// Congestion control inside. Nothing is ever lost on the way to the gateway, and a host's choice that paces (BBR)
/// would halve what a download gets; this one every kernel has and lets everyone choose.
const CONGESTION_CONTROL: &str = "reno";

/// TCP goes to the proxy, DNS is local by `AnyIP`, everything else is logged and rejected at once, so that a
/// program fails now instead of waiting. Loopback addresses stay the sandbox's own.
const RULES: &str = "
table inet build {
  chain proxy {
    type filter hook prerouting priority mangle; policy accept;
    ip daddr 127.0.0.0/8 accept
    meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:15001 accept
  }
  chain refuse {
    type filter hook output priority filter; policy drop;
    ip daddr 127.0.0.0/8 accept
    ip6 daddr ::1 accept
    meta nfproto ipv4 meta l4proto tcp accept
    meta nfproto ipv4 udp dport 53 accept
    meta nfproto ipv4 udp sport 53 accept
    meta nfproto ipv4 icmp type destination-unreachable accept
    meta nfproto ipv6 icmpv6 type destination-unreachable accept
    meta nfproto ipv6 meta l4proto tcp log group 7 snaplen 128 queue-threshold 1 reject with tcp reset
    log group 7 snaplen 128 queue-threshold 1 reject
  }
}
";

pub fn set_up() -> Result<NetworkSockets, String> {
    // IPv4 everywhere is local; IPv6 too, so that a refused IPv6 packet is seen and not just unroutable.
    feed(
        "ip",
        &["-batch", "-"],
        &format!(
            "link set lo up\naddr add {GUEST_ADDRESS}/32 dev lo\nroute add local default dev lo src {GUEST_ADDRESS}\n"
        ),
    )?;
    // For uploads. Where /proc/sys cannot be written they are merely slower; downloads go by the listener's own.
    let _ = std::fs::write("/proc/sys/net/ipv4/tcp_congestion_control", CONGESTION_CONTROL);
    // Hosts without IPv6 have nothing to refuse.
    let _ = feed("ip", &["-6", "-batch", "-"], "route add local default dev lo\n");
    feed("nft", &["-f", "-"], RULES)?;
    let read_back = feed("nft", &["list", "chain", "inet", "build", "refuse"], "")?;
    if !read_back.contains("policy drop") {
        return Err("the network rules were not applied".to_owned());
    }
    Ok(NetworkSockets {
        tcp: proxy_listener().map_err(|error| format!("failed to open the proxy's socket: {error}"))?,
        dns: dns_socket().map_err(|error| format!("failed to open the DNS socket: {error}"))?,
        refused: log_socket().map_err(|error| format!("failed to open the packet log: {error}"))?,
    })
}

fn feed(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let failed = |why: String| format!("failed to run {program} for the network rules: {why}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

const FLAGS: SockFlag = SockFlag::SOCK_CLOEXEC.union(SockFlag::SOCK_NONBLOCK);

fn proxy_listener() -> nix::Result<OwnedFd> {
    let tcp = socket(AddressFamily::Inet, SockType::Stream, FLAGS, None)?;
    setsockopt(&tcp, sockopt::ReuseAddr, &true)?;
    setsockopt(&tcp, sockopt::IpTransparent, &true)?;
    setsockopt(&tcp, sockopt::TcpCongestion, &CONGESTION_CONTROL.into())?;
    bind(tcp.as_raw_fd(), &address(Ipv4Addr::LOCALHOST, PROXY_PORT))?;
    // As many as the kernel lets wait: a client of a connection that did not fit would wait for ever, in silence.
    listen(&tcp, Backlog::MAXCONN)?;
    Ok(tcp)
}

fn dns_socket() -> nix::Result<OwnedFd> {
    let dns = socket(AddressFamily::Inet, SockType::Datagram, FLAGS, None)?;
    setsockopt(&dns, sockopt::Ipv4PacketInfo, &true)?;
    bind(dns.as_raw_fd(), &address(Ipv4Addr::UNSPECIFIED, 53))?;
    Ok(dns)
}

fn address(ip: Ipv4Addr, port: u16) -> SockaddrIn {
    SockaddrIn::from(std::net::SocketAddrV4::new(ip, port))
}

const NFULA_CFG_CMD: u16 = 1;
const NFULA_CFG_MODE: u16 = 2;

/// `libnetfilter_log`'s handshake: bind to the group, then ask for the packets' first bytes.
fn log_socket() -> nix::Result<OwnedFd> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    bind(netlink.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    let bind_command = [1];
    let copy_packet = [0, 0, 0, 128, 2, 0];
    configure(&netlink, NFULA_CFG_CMD, &bind_command)?;
    configure(&netlink, NFULA_CFG_MODE, &copy_packet)?;
    nix::fcntl::fcntl(&netlink, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    Ok(netlink)
}

/// Sends one `NFULNL_MSG_CONFIG` with one attribute for group 7 and reads the acknowledgement.
fn configure(netlink: &OwnedFd, attribute: u16, value: &[u8]) -> nix::Result<()> {
    const NFULNL_MSG_CONFIG: u16 = (4 << 8) | 1;
    const NLM_F_REQUEST_ACK: u16 = 0x1 | 0x4;
    let attribute_length = 4 + value.len();
    let padded = attribute_length.next_multiple_of(4);
    let total = 16 + 4 + padded;
    let mut message = Vec::with_capacity(total);
    message.extend(u32::try_from(total).unwrap_or_default().to_ne_bytes());
    message.extend(NFULNL_MSG_CONFIG.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0, 0, 0, 7]);
    message.extend(u16::try_from(attribute_length).unwrap_or_default().to_ne_bytes());
    message.extend(attribute.to_ne_bytes());
    message.extend(value);
    message.resize(total, 0);
    send(netlink.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut reply = [0; 256];
    let length = recv(netlink.as_raw_fd(), &mut reply, MsgFlags::empty())?;
    let code = reply.get(16..20).filter(|_| length >= 20).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(negative) => Err(nix::errno::Errno::from_raw(-negative)),
        None => Err(nix::errno::Errno::EPROTO),
    }
}
