//! Host names and `host[:port]` texts, as clients write them.

use std::net::IpAddr;

/// A host as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A name: lower case, no trailing dot.
    Name(String),
    /// An address literal; IPv6 without its brackets.
    Address(IpAddr),
}

impl Host {
    /// Reads a host without a port.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return inner.parse().ok().map(|address| Self::Address(IpAddr::V6(address)));
        }
        match text.parse::<IpAddr>() {
            Ok(address) => Some(Self::Address(address)),
            Err(_) => host_name(text.as_bytes()).map(Self::Name),
        }
    }
}

/// Splits `host[:port]`; brackets of an IPv6 address stay on. `None` when the port is not a number.
pub(crate) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let after_address = text.rfind(']').map_or(0, |end| end + 1);
    match text[after_address..].rfind(':') {
        Some(colon) => {
            let port = &text[after_address + colon + 1..];
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            digits
                .then(|| port.parse().ok())
                .flatten()
                .map(|port| (&text[..after_address + colon], Some(port)))
        }
        None => Some((text, None)),
    }
}

/// Normalises a DNS name: lower case, no trailing dot. `None` unless every label is 1 to 63 letters, digits,
/// hyphens or underscores, and the whole at most 253 bytes (RFC 1035 section 2.3.4; underscores as in SRV names).
pub(crate) fn host_name(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    let right = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if bytes.len() > 253 || !bytes.split(|byte| *byte == b'.').all(right) {
        return None;
    }
    String::from_utf8(bytes.to_ascii_lowercase()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_or_rejected() {
        assert_eq!(host_name(b"Host.Example.COM.").as_deref(), Some("host.example.com"));
        assert_eq!(host_name(b"_dns.resolver").as_deref(), Some("_dns.resolver"));
        for bad in [&b""[..], b".", b"a..b", b".a", b"a b", b"a/b", b"\xff", b"a\0b", &[b'a'; 64]] {
            assert_eq!(host_name(bad), None, "{bad:?}");
        }
        assert_eq!(host_name("a.".repeat(127).as_bytes()).map(|name| name.len()), Some(253));
        assert_eq!(host_name("a.".repeat(128).as_bytes()), None);
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(split_port("a:80"), Some(("a", Some(80))));
        assert_eq!(split_port("a"), Some(("a", None)));
        assert_eq!(split_port("[::1]:80"), Some(("[::1]", Some(80))));
        assert_eq!(split_port("[::1]"), Some(("[::1]", None)));
        for bad in ["a:", "a:x", "a:+80", "a:65536"] {
            assert_eq!(split_port(bad), None, "{bad}");
        }
        assert_eq!(Host::parse("[::1]"), Some(Host::Address("::1".parse().unwrap())));
        assert_eq!(Host::parse("10.0.0.1"), Some(Host::Address("10.0.0.1".parse().unwrap())));
        assert_eq!(Host::parse("[nonsense]"), None);
    }
}
