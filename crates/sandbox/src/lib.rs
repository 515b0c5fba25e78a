//! Namespaces, mounts, pid 1 and sockets made inside a namespace.

use std::os::fd::OwnedFd;

/// Sockets that were created inside a sandbox's network namespace and handed out to the engine.
///
/// The namespace has only a loopback interface, on which *every* IPv4 address is local (AnyIP), so nothing can
/// leave it but through these sockets.
#[derive(Debug)]
pub struct NetworkSockets {
    /// A listening, non-blocking, `IP_TRANSPARENT` TCP socket that accepts connections to any address and port
    /// outside 127.0.0.0/8 (nftables tproxy). On an accepted socket `getsockname` (`local_addr`) is the original
    /// destination that the client chose and `peer_addr` is the client. DNS over TCP (port 53) arrives here too.
    pub tcp: OwnedFd,
    /// A non-blocking UDP socket bound to 0.0.0.0:53 with `IP_PKTINFO` on. A datagram to any address's port 53
    /// arrives here; the reply must be sent with an `in_pktinfo` whose `ipi_spec_dst` is the datagram's original
    /// destination, so that the client sees the answer coming from the server it asked.
    pub dns: OwnedFd,
    /// A non-blocking netlink (`NETLINK_NETFILTER`) socket already bound to NFLOG group 7, copy mode packet (128
    /// bytes), queue threshold 1: one message per packet that the namespace's rules refused (UDP other than
    /// DNS, ICMP, other protocols, IPv6). Payload (`NFULA_PAYLOAD`) starts at the IP header.
    pub refused: OwnedFd,
}
