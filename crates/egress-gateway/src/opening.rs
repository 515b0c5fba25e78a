//! What a client's first bytes tell: the TLS server name, an HTTP request, or neither.

use crate::http;
use crate::limits::LARGEST_MESSAGE;
use crate::name::host_name;

/// What the bytes seen so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The beginning of something that more bytes may complete.
    More,
    /// A TLS hello; its server name, if it has one.
    Tls(Option<String>),
    /// The head of an HTTP/1 request.
    Http(http::Head),
    /// Neither TLS nor HTTP.
    Neither,
    /// TLS or HTTP, but not in a way that everyone would understand alike.
    Malformed(&'static str),
}

/// Looks at the first bytes of a connection. Never more than [`LARGEST_MESSAGE`] bytes are needed.
pub(crate) fn look(bytes: &[u8]) -> Opening {
    let opening = match bytes {
        [] => Opening::More,
        [22] | [22, 3, ..] => look_at_tls(bytes),
        _ => look_at_http(bytes),
    };
    match opening {
        Opening::More if bytes.len() >= LARGEST_MESSAGE => {
            Opening::Malformed("its first message is too large")
        }
        opening => opening,
    }
}

/// What bytes amount to that no more will follow although [`look`] wants more.
pub(crate) fn at_end(bytes: &[u8]) -> Opening {
    if bytes.first() == Some(&22) || http::looks_like_a_request(bytes) {
        Opening::Malformed("its first message is cut short")
    } else {
        Opening::Neither
    }
}

fn look_at_http(bytes: &[u8]) -> Opening {
    match http::parse_head(bytes) {
        http::Parsed::More => Opening::More,
        http::Parsed::Head(head) => Opening::Http(head),
        http::Parsed::Malformed(reason) => Opening::Malformed(reason),
        http::Parsed::NotHttp => Opening::Neither,
    }
}

/// Puts the hello together from its records (RFC 8446 section 5.1) and reads its server name (RFC 6066).
fn look_at_tls(bytes: &[u8]) -> Opening {
    let malformed = Opening::Malformed("its TLS hello is malformed");
    let mut hello = Vec::new();
    let mut rest = bytes;
    loop {
        if let [kind, length @ ..] = &hello[..] {
            // Handshake type 1 is the ClientHello; its length has three bytes.
            if *kind != 1 {
                return malformed;
            }
            if let [a, b, c, body @ ..] = length {
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                if length > LARGEST_MESSAGE {
                    return Opening::Malformed("its first message is too large");
                }
                if let Some(body) = body.get(..length) {
                    return server_name(body).map_or(malformed, |name| Opening::Tls(name.0));
                }
            }
        }
        match rest {
            [22, 3, _, high, low, after @ ..] => {
                let length = usize::from(*high) << 8 | usize::from(*low);
                if length == 0 || length > 1 << 14 {
                    return malformed;
                }
                hello.extend_from_slice(&after[..length.min(after.len())]);
                rest = after.get(length..).unwrap_or_default();
            }
            [] | [22] | [22, 3] | [22, 3, _] | [22, 3, _, _] => return Opening::More,
            _ => return malformed,
        }
    }
}

/// The server name of a hello, if it has one.
struct ServerName(Option<String>);

/// Reads the body of a `ClientHello`; `None` when it is malformed.
fn server_name(body: &[u8]) -> Option<ServerName> {
    let (rest, hello) = tls_parser::parse_tls_handshake_client_hello(body).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let mut extensions = hello.ext.unwrap_or_default();
    let mut name = None;
    while !extensions.is_empty() {
        let (kind, after) = take_u16(extensions)?;
        let (content, after) = take_block(after)?;
        extensions = after;
        if kind == 0 {
            // Two server names would leave open which of them counts.
            if name.is_some() {
                return None;
            }
            name = Some(only_name(content)?);
        }
    }
    Some(ServerName(name))
}

/// The one `host_name` of a server name list (RFC 6066 section 3).
fn only_name(content: &[u8]) -> Option<String> {
    let (list, after) = take_block(content)?;
    let (name, after_name) = take_block(list.strip_prefix(&[0])?)?;
    if after.is_empty() && after_name.is_empty() { host_name(name) } else { None }
}

fn take_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u16::from_be_bytes(*number), rest))
}

fn take_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = take_u16(bytes)?;
    rest.split_at_checked(usize::from(length))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A `ClientHello` for `name`, its handshake message cut into records of `fragment` bytes.
    pub(crate) fn client_hello(name: Option<&str>, fragment: usize) -> Vec<u8> {
        let block = |content: &[u8]| {
            let mut bytes = u16::try_from(content.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend_from_slice(content);
            bytes
        };
        let mut extensions = vec![0, 43];
        extensions.extend(block(&[2, 3, 4]));
        if let Some(name) = name {
            let entry = [vec![0], block(name.as_bytes())].concat();
            extensions.extend([vec![0, 0], block(&block(&entry))].concat());
        }
        let body =
            [vec![3, 3], vec![7; 32], vec![0], block(&[0x13, 0x01]), vec![1, 0], block(&extensions)].concat();
        let mut message = vec![1, 0];
        message.extend(block(&body));
        let record = |part: &[u8]| [vec![22, 3, 1], block(part)].concat();
        message.chunks(fragment).flat_map(record).collect()
    }

    #[test]
    fn a_server_name_is_found_however_the_hello_is_cut() {
        for fragment in [1, 2, 5, 50, 9000] {
            let hello = client_hello(Some("Host.Example.com"), fragment);
            assert_eq!(look(&hello), Opening::Tls(Some("host.example.com".into())), "{fragment}");
            for end in 0..hello.len() {
                assert_eq!(look(&hello[..end]), Opening::More, "{fragment} {end}");
            }
        }
        assert_eq!(look(&client_hello(None, 9000)), Opening::Tls(None));
    }

    #[test]
    fn a_hello_that_could_be_read_in_two_ways_is_malformed() {
        let hello = client_hello(Some("a.example.com"), 9000);
        let with = |position: usize, byte: u8| {
            let mut changed = hello.clone();
            changed[position] = byte;
            look(&changed)
        };
        assert!(matches!(with(5, 2), Opening::Malformed(_)), "not a ClientHello");
        assert!(matches!(with(3, 0xff), Opening::Malformed(_)), "a record that is too long");
        let name = hello.len() - "a.example.com".len();
        assert!(matches!(with(name, b' '), Opening::Malformed(_)), "not a host name");
        assert!(matches!(with(name - 1, 3), Opening::Malformed(_)), "a name list with something after it");
        assert!(matches!(with(name - 3, 1), Opening::Malformed(_)), "not a host_name entry");
        let huge = [22, 3, 1, 0, 4, 1, 0xff, 0, 0];
        assert!(matches!(look(&huge), Opening::Malformed(_)));
    }

    #[test]
    fn what_is_neither() {
        for bytes in
            [&b"SSH-2.0-OpenSSH_9.2 Debian\r\n"[..], b"\0\0\0\x08\x04\xd2\x16/", b"HELO a\r\n", &[22, 9]]
        {
            assert_eq!(look(bytes), Opening::Neither, "{bytes:?}");
        }
    }

    #[test]
    fn random_changes_never_panic_and_never_invent_a_name() {
        let hello = client_hello(Some("a.example.com"), 40);
        let mut state = 0x9e37_79b9_u64;
        for _ in 0..20_000 {
            let mut bytes = hello.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let position = usize::try_from(state >> 33).unwrap() % bytes.len();
                bytes[position] = state.to_be_bytes()[4];
            }
            if let Opening::Tls(Some(name)) = look(&bytes) {
                assert_eq!(host_name(name.as_bytes()), Some(name));
            }
        }
    }
}
