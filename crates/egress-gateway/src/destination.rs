//! Addresses that nothing in a build may reach, whatever the policy says.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is out of reach, or `None` when the policy decides alone. `own` are addresses of the host and
/// of the build machine itself.
pub(crate) fn forbidden(address: IpAddr, own: &[IpAddr]) -> Option<&'static str> {
    let address = address.to_canonical();
    let by_kind = match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) if address.is_loopback() => Some("loopback"),
        IpAddr::V6(address) if address.is_unspecified() => Some("unspecified"),
        IpAddr::V6(address) if address.is_multicast() => Some("multicast"),
        IpAddr::V6(address) if address.is_unicast_link_local() => Some("link-local"),
        IpAddr::V6(address) => embedded(address).and_then(forbidden_v4),
    };
    by_kind.or_else(|| own.contains(&address).then_some("an address of this machine itself"))
}

/// The IPv4 address that a translator would make of an IPv6 one: IPv4-compatible (RFC 4291 section 2.5.5.1), NAT64
/// (RFC 6052 section 2.1), 6to4 (RFC 3056 section 2).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d] = match address.segments() {
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            [high >> 8, high & 0xff, low >> 8, low & 0xff]
        }
        _ => return None,
    }
    .map(|part| part.to_be_bytes()[1]);
    Some(Ipv4Addr::new(a, b, c, d))
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address == Ipv4Addr::new(168, 63, 129, 16) {
        Some("Azure's platform address")
    } else if address.is_loopback() {
        Some("loopback")
    } else if address.is_link_local() {
        Some("link-local")
    } else if address.is_multicast() {
        Some("multicast")
    } else if address.octets()[0] == 0 {
        Some("unspecified")
    } else if address.octets()[0] >= 240 {
        Some("reserved")
    } else {
        None
    }
}

/// The addresses of this machine's interfaces.
pub(crate) fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let ip = |storage: nix::sys::socket::SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    Ok(nix::ifaddrs::getifaddrs()?.filter_map(|interface| interface.address.and_then(ip)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_reach() {
        let own = ["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        for (text, reachable) in [
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("169.254.169.254", false),
            ("168.63.129.16", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("203.0.113.7", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("2001:db8::7", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:203.0.113.7", false),
            ("::127.0.0.1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("2002:7f00:1::1", false),
            ("64:ff9b::a00:1", true),
            ("10.0.0.1", true),
            ("168.63.129.17", true),
            ("203.0.113.8", true),
            ("2001:db8::8", true),
        ] {
            assert_eq!(forbidden(text.parse().unwrap(), &own).is_none(), reachable, "{text}");
        }
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        assert!(own_addresses().unwrap().iter().any(IpAddr::is_loopback));
    }
}
