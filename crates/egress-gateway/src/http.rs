//! HTTP/1 as far as a gateway must understand it: whom each request is for, and where the next one begins.
//!
//! Strict where servers differ (RFC 9112 sections 3.2 and 6.3): a request that two readers could understand in
//! two ways is malformed, because the name that is authorised must be the name that the server sees.

use std::net::IpAddr;
use std::ops::Range;

use crate::name::{Host, split_port};

/// Headers of one request.
const MOST_HEADERS: usize = 128;
/// Longest line of a chunk's size or of a trailer.
const LONGEST_LINE: usize = 8192;

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its length with the empty line, in bytes.
    pub(crate) length: usize,
    /// The `Host` header, if there is one (HTTP/1.0 needs none).
    pub(crate) host: Option<(Host, Option<u16>)>,
    /// Where the value of `Host` lies in the head.
    pub(crate) host_value: Option<Range<usize>>,
    /// How its body is delimited.
    pub(crate) body: Body,
}

impl Head {
    /// Whether the request is for `name`, or for `address` when there is no name, on `port`.
    pub(crate) fn is_for(&self, name: Option<&str>, address: IpAddr, port: u16) -> Result<(), &'static str> {
        let Some((host, host_port)) = &self.host else { return Ok(()) };
        if host_port.is_some_and(|other| other != port) {
            return Err("the Host header names another port");
        }
        let same = match (host, name) {
            (Host::Name(host), Some(name)) => host == name,
            (Host::Address(host), None) => *host == address,
            _ => false,
        };
        if same { Ok(()) } else { Err("the Host header names another host") }
    }
}

/// Where a request's body ends, and the reading position in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// This many bytes are left.
    Length(u64),
    /// Chunked (RFC 9112 section 7.1).
    Chunked(Chunked),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunked {
    state: ChunkState,
    /// Bytes of the present line, for its bound.
    line: usize,
    /// Size of the present chunk, or what is left of it.
    left: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

/// What bytes amount to as the head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    More,
    Head(Head),
    Malformed(&'static str),
    NotHttp,
}

/// Reads the head of a request.
pub(crate) fn parse_head(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => match head_of(&request, bytes, length) {
            Ok(head) => Parsed::Head(head),
            Err(reason) => Parsed::Malformed(reason),
        },
        Ok(httparse::Status::Partial) => Parsed::More,
        Err(_) if looks_like_a_request(bytes) => Parsed::Malformed("its HTTP request is malformed"),
        Err(_) => Parsed::NotHttp,
    }
}

/// Whether the first line that is not empty ends like a request line: a server may understand what our parser
/// does not, so such bytes are malformed HTTP and not some other protocol.
pub(crate) fn looks_like_a_request(bytes: &[u8]) -> bool {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let line = bytes[start..].split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    line.windows(6).any(|part| part.eq_ignore_ascii_case(b"HTTP/1"))
}

fn head_of(request: &httparse::Request<'_, '_>, bytes: &[u8], length: usize) -> Result<Head, &'static str> {
    let mut host: Option<&[u8]> = None;
    let mut content_length: Option<u64> = None;
    let mut chunked = false;
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("host") {
            if host.replace(header.value).is_some() {
                return Err("its HTTP request has two Host headers");
            }
        } else if header.name.eq_ignore_ascii_case("content-length") {
            let value = decimal(header.value).ok_or("its Content-Length is malformed")?;
            if content_length.replace(value).is_some() {
                return Err("its HTTP request has two Content-Length headers");
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err("its Transfer-Encoding is not just chunked");
            }
            chunked = true;
        }
    }
    let body = match (chunked, content_length) {
        (true, Some(_)) => return Err("its HTTP request has both Content-Length and Transfer-Encoding"),
        (true, None) => Body::Chunked(Chunked::default()),
        (false, length) => Body::Length(length.unwrap_or(0)),
    };
    let parsed = host.map(parse_authority).transpose()?;
    check_target(request, parsed.as_ref())?;
    let host_value = host.map(|value| {
        // httparse hands out slices of the bytes it was given.
        let start = value.as_ptr() as usize - bytes.as_ptr() as usize;
        start..start + value.len()
    });
    Ok(Head { length, host: parsed, host_value, body })
}

fn parse_authority(value: &[u8]) -> Result<(Host, Option<u16>), &'static str> {
    let text = std::str::from_utf8(value.trim_ascii()).ok();
    let parts = text.and_then(split_port);
    let host = parts.and_then(|(host, port)| Some((Host::parse(host)?, port)));
    host.ok_or("its Host header is malformed")
}

/// A target may name a host of its own (RFC 9112 section 3.2.2), which then counts instead of `Host`.
fn check_target(
    request: &httparse::Request<'_, '_>,
    host: Option<&(Host, Option<u16>)>,
) -> Result<(), &'static str> {
    let target = request.path.unwrap_or_default();
    if request.method.is_some_and(|method| method.eq_ignore_ascii_case("connect")) {
        return Err("it asks for an HTTP proxy, and a build's network has none");
    }
    if target.starts_with('/') || target == "*" {
        return Ok(());
    }
    let authority = match target.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
            rest.split(['/', '?', '#']).next().unwrap_or_default()
        }
        _ => return Err("its HTTP request target is malformed"),
    };
    match parse_authority(authority.as_bytes()) {
        Ok(target) if Some(&target) == host => Ok(()),
        _ => Err("its HTTP request target names another host than its Host header"),
    }
}

fn decimal(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) { None } else { text.parse().ok() }
}

impl Body {
    /// Whether the body has ended.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.state == ChunkState::Done,
        }
    }

    /// How many of `bytes` belong to the body. Less than all of them only when it ends there.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunked) => chunked.take(bytes),
        }
    }
}

impl Chunked {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut position = 0;
        while position < bytes.len() && self.state != ChunkState::Done {
            if self.state == ChunkState::Data {
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - position);
                self.left -= taken as u64;
                position += taken;
                if self.left == 0 {
                    self.state = ChunkState::DataCr;
                }
            } else {
                self.state = self.step(bytes[position]).ok_or("its chunked body is malformed")?;
                position += 1;
            }
        }
        Ok(position)
    }

    /// One byte outside of a chunk's data. Bare line feeds are refused: servers differ about them.
    fn step(&mut self, byte: u8) -> Option<ChunkState> {
        use ChunkState::{
            Data, DataCr, DataLf, Done, Extension, LastLf, Size, SizeEnd, Trailer, TrailerLf, TrailerStart,
        };
        self.line += 1;
        if self.line > LONGEST_LINE {
            return None;
        }
        let next = match (self.state, byte) {
            (Size, digit) if digit.is_ascii_hexdigit() => {
                let value = u64::from(char::from(digit).to_digit(16)?);
                self.left = self.left.checked_mul(16)?.checked_add(value)?;
                Size
            }
            (Size, b'\r') if self.line > 1 => SizeEnd,
            (Size, b';') if self.line > 1 => Extension,
            (Extension, b'\r') => SizeEnd,
            (Extension, other) if other != b'\n' => Extension,
            (SizeEnd, b'\n') if self.left == 0 => TrailerStart,
            (SizeEnd, b'\n') => Data,
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Size,
            (TrailerStart, b'\r') => LastLf,
            (TrailerStart | Trailer, other) if other != b'\r' && other != b'\n' => Trailer,
            (Trailer, b'\r') => TrailerLf,
            (TrailerLf, b'\n') => TrailerStart,
            (LastLf, b'\n') => Done,
            _ => return None,
        };
        if matches!(byte, b'\n') {
            self.line = 0;
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        match parse_head(text.as_bytes()) {
            Parsed::Head(head) => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_tells_its_host_at_every_cut() {
        let text = "GET /a HTTP/1.1\r\nAccept: */*\r\nHost:  Archive.Example.com:8080 \r\n\r\nrest";
        let parsed = head(text);
        assert_eq!(parsed.host, Some((Host::Name("archive.example.com".into()), Some(8080))));
        assert_eq!(&text[parsed.host_value.clone().unwrap()].trim(), &"Archive.Example.com:8080");
        assert_eq!(&text[parsed.length..], "rest");
        for end in 0..parsed.length {
            assert_eq!(parse_head(&text.as_bytes()[..end]), Parsed::More, "{end}");
        }
    }

    #[test]
    fn whom_a_request_is_for() {
        let address = "203.0.113.9".parse().unwrap();
        let check = |host: &str, name| {
            head(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_for(name, address, 80)
        };
        assert_eq!(check("A.example.com", Some("a.example.com")), Ok(()));
        assert_eq!(check("a.example.com:80", Some("a.example.com")), Ok(()));
        assert!(check("a.example.com:81", Some("a.example.com")).is_err());
        assert!(check("b.example.com", Some("a.example.com")).is_err());
        assert!(check("203.0.113.9", Some("a.example.com")).is_err());
        assert_eq!(check("203.0.113.9", None), Ok(()));
        assert!(check("203.0.113.8", None).is_err());
        assert_eq!(head("GET / HTTP/1.0\r\n\r\n").is_for(Some("a.example.com"), address, 80), Ok(()));
    }

    #[test]
    fn what_servers_read_differently_is_malformed() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            "GET / HTTP/1.1\r\n folded\r\nHost: a\r\n\r\n",
        ] {
            assert!(matches!(parse_head(text.as_bytes()), Parsed::Malformed(_)), "{text:?}");
        }
        assert_eq!(
            head("GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n").host,
            Some((Host::Name("a".into()), None))
        );
    }

    #[test]
    fn a_chunked_body_ends_where_it_ends_however_it_is_cut() {
        let text = b"5;x=y\r\nhello\r\n1f\r\n0123456789012345678901234567890\r\n0\r\nT: v\r\n\r\nGET /";
        let end = text.len() - 5;
        for cut in 0..text.len() {
            let mut body = Body::Chunked(Chunked::default());
            let first = body.take(&text[..cut]).unwrap();
            let second = body.take(&text[first..]).unwrap();
            assert_eq!(first + second, end, "{cut}");
            assert!(body.is_done());
        }
    }

    #[test]
    fn a_wrong_chunked_body_is_refused() {
        for text in [
            "\r\n",
            ";x\r\n",
            "5\nhello",
            "g\r\n",
            "1\r\nab\r\n",
            "-1\r\n",
            "11111111111111111\r\n",
            "0\r\n\n",
        ] {
            let mut body = Body::Chunked(Chunked::default());
            assert!(body.take(text.as_bytes()).is_err(), "{text:?}");
        }
        let mut body = Body::Chunked(Chunked::default());
        assert!(body.take(&[b'0'; LONGEST_LINE + 1]).is_err());
    }

    #[test]
    fn a_body_of_known_length_is_followed_by_the_next_request() {
        let mut body = head("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").body;
        assert_eq!(body.take(b"hel"), Ok(3));
        assert!(!body.is_done());
        assert_eq!(body.take(b"loGET /"), Ok(2));
        assert!(body.is_done());
    }
}
