//! Packets that the namespace's rules refused, as the kernel reports them (`linux/netfilter/nfnetlink_log.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET`.
const PACKET: u16 = 4 << 8;
/// `NFULA_PAYLOAD`.
const PAYLOAD: u16 = 9;
/// Length of `nlmsghdr`, of `nfgenmsg`, and of an attribute's header.
const MESSAGE_HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

/// A refused packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// IP protocol number.
    pub(crate) protocol: u8,
    /// 0 where the protocol has none or the packet is a later fragment.
    pub(crate) source_port: u16,
    pub(crate) port: u16,
}

impl Packet {
    /// Whether it is housekeeping that the kernel itself sends to its neighbours (IGMP, and `ICMPv6` router
    /// solicitation, neighbour discovery and multicast listener reports), not something a build step did.
    pub(crate) fn is_housekeeping(&self) -> bool {
        let to_neighbours = match self.destination {
            IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
            IpAddr::V6(address) => address.segments()[0] == 0xff02,
        };
        to_neighbours && matches!(self.protocol, 2 | 58)
    }
}

/// The packets of one datagram of the netlink socket. What is malformed is left out.
pub(crate) fn packets(datagram: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut rest = datagram;
    while let Some((length, kind)) = header(rest) {
        let Some(message) = rest.get(MESSAGE_HEADER..length) else { break };
        if kind == PACKET {
            let attributes = message.get(FAMILY_HEADER..).unwrap_or_default();
            packets.extend(payload(attributes).and_then(parse_ip));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    packets
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?);
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    (length >= MESSAGE_HEADER).then_some((length, kind))
}

fn payload(mut attributes: &[u8]) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?) & 0x3fff;
        let content = attributes.get(ATTRIBUTE_HEADER..length)?;
        if kind == PAYLOAD {
            return Some(content);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn parse_ip(packet: &[u8]) -> Option<Packet> {
    match packet.first()? >> 4 {
        4 => parse_v4(packet),
        6 => parse_v6(packet),
        _ => None,
    }
}

fn parse_v4(packet: &[u8]) -> Option<Packet> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let header_length = usize::from(header[0] & 15) * 4;
    let offset = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    let (source, destination) = (&header[12..16], &header[16..20]);
    let content = if offset == 0 && header_length >= 20 { packet.get(header_length..) } else { None };
    Some(with_ports(
        Ipv4Addr::from(*source.first_chunk()?).into(),
        Ipv4Addr::from(*destination.first_chunk()?).into(),
        header[9],
        content,
    ))
}

fn parse_v6(packet: &[u8]) -> Option<Packet> {
    let header: &[u8; 40] = packet.first_chunk()?;
    let (source, destination) = (&header[8..24], &header[24..40]);
    let (mut protocol, mut content) = (header[6], packet.get(40..));
    // Extension headers (RFC 8200 section 4): hop-by-hop, routing, fragment, destination options.
    while let (0 | 43 | 44 | 60, Some(bytes)) = (protocol, content) {
        let (Some(next), Some(length)) = (bytes.first(), bytes.get(1)) else { break };
        let is_fragment = protocol == 44;
        let later_fragment =
            is_fragment && bytes.get(2..4).is_some_and(|offset| offset[0] != 0 || offset[1] >> 3 != 0);
        let length = if is_fragment { 8 } else { (usize::from(*length) + 1) * 8 };
        protocol = *next;
        content = if later_fragment { None } else { bytes.get(length..) };
    }
    Some(with_ports(
        Ipv6Addr::from(*source.first_chunk()?).into(),
        Ipv6Addr::from(*destination.first_chunk()?).into(),
        protocol,
        content,
    ))
}

/// TCP, UDP, SCTP and UDP-Lite have their ports in the same place.
fn with_ports(source: IpAddr, destination: IpAddr, protocol: u8, content: Option<&[u8]>) -> Packet {
    let (source_port, port) = match content {
        Some([a, b, c, d, ..]) if matches!(protocol, 6 | 17 | 132 | 136) => {
            (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))
        }
        _ => (0, 0),
    };
    Packet { source, destination, protocol, source_port, port }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the kernel sends for a packet.
    pub(crate) fn message(packet: &[u8]) -> Vec<u8> {
        let attribute = |kind: u16, content: &[u8]| {
            let length = u16::try_from(content.len() + ATTRIBUTE_HEADER).unwrap();
            let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let body = [vec![2, 0, 0, 7], attribute(10, b"refused\0"), attribute(PAYLOAD, packet)].concat();
        let length = u32::try_from(body.len() + MESSAGE_HEADER).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(PACKET.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    pub(crate) fn v4(protocol: u8, destination: [u8; 4], port: u16) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 5];
        packet.extend(destination);
        packet.extend(40_000_u16.to_be_bytes());
        packet.extend(port.to_be_bytes());
        packet.extend([0, 8, 0, 0]);
        packet
    }

    fn v6(next: u8, content: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 8, next, 64];
        packet.extend("2001:db8::5".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("2001:db8::9".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(content);
        packet
    }

    #[test]
    fn packets_are_read_from_the_kernels_messages() {
        let datagram = [message(&v4(17, [192, 0, 2, 1], 123)), message(&v4(1, [192, 0, 2, 2], 9))].concat();
        let found = packets(&datagram);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].protocol, found[0].port, found[0].source_port), (17, 123, 40_000));
        assert_eq!(found[0].destination, IpAddr::from([192, 0, 2, 1]));
        assert_eq!((found[1].protocol, found[1].port), (1, 0));
    }

    #[test]
    fn ipv6_and_its_extension_headers() {
        let udp = [0, 53, 1, 187, 0, 8, 0, 0];
        let plain = packets(&message(&v6(17, &udp)))[0];
        assert_eq!((plain.protocol, plain.port), (17, 443));
        assert_eq!(plain.destination, "2001:db8::9".parse::<IpAddr>().unwrap());
        let behind_options = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp].concat();
        assert_eq!(packets(&message(&v6(0, &behind_options)))[0].port, 443);
        let later_fragment = [&[17, 0, 0, 8, 0, 0, 0, 1][..], &udp].concat();
        let found = packets(&message(&v6(44, &later_fragment)))[0];
        assert_eq!((found.protocol, found.port), (17, 0));
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut packet = v4(17, [192, 0, 2, 1], 123);
        packet[7] = 8;
        assert_eq!(packets(&message(&packet))[0].port, 0);
    }

    #[test]
    fn truncated_and_changed_messages_never_panic() {
        let datagram = [message(&v4(17, [192, 0, 2, 1], 123)), message(&v6(0, &[17, 0, 1, 4]))].concat();
        for end in 0..datagram.len() {
            packets(&datagram[..end]);
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = datagram.clone();
                changed[end] = value;
                packets(&changed);
            }
        }
    }

    #[test]
    fn the_kernels_own_housekeeping_is_told_apart() {
        assert!(packets(&message(&v4(2, [224, 0, 0, 22], 0)))[0].is_housekeeping());
        assert!(!packets(&message(&v4(17, [224, 0, 0, 251], 5353)))[0].is_housekeeping());
        assert!(!packets(&message(&v4(1, [192, 0, 2, 1], 0)))[0].is_housekeeping());
    }
}
