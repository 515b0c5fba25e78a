//! What a gateway is told once, when it starts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;

use crate::limits::Deadlines;
use crate::name::{Host, split_port};
use crate::no_proxy::NoProxy;
use crate::{Connection, Decide, Error};

/// Called with every allowed connection when it ends, and with every refused one the first time that a row of
/// its kind appears (so that a flood of refused packets is not a flood of calls). Must not block.
pub type Observer = Arc<dyn Fn(&Connection) + Send + Sync>;

/// Stands for this machine's resolver.
pub type TestLookup = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// Whether the policy is applied or only compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What the policy does not allow is refused.
    #[default]
    Enforce,
    /// Every TCP connection and name is let through and recorded with what the policy would have said. Only
    /// addresses of the host itself, loopback, link-local, multicast and platform addresses stay refused, and
    /// so does everything that is neither TCP nor DNS.
    Learn,
}

/// Everything a gateway needs to know.
#[derive(Clone)]
pub struct Config {
    /// Decides.
    pub policy: Arc<dyn Decide>,
    /// Enforce or learn.
    pub mode: Mode,
    /// Lets flows through that the policy leaves undecided; they are recorded as undecided all the same.
    pub allow_undecided: bool,
    /// Proxy through which the gateway's connections go.
    pub upstream_proxy: Option<UpstreamProxy>,
    /// Archive host name -> what is dialled in its place. The policy and the record see the archive's name. In
    /// plain HTTP the `Host` header is replaced, since mirrors tell their sites apart by it. The mirror is the
    /// operator's choice: it may live on any address, also on loopback.
    pub mirrors: BTreeMap<String, Mirror>,
    /// **For tests only.** Name -> address that it resolves to, exempt from the check for forbidden addresses,
    /// so that test servers can live on loopback. Port 0 stands for the port that the client asked for.
    pub test_names: BTreeMap<String, SocketAddr>,
    /// Address of the build machine, as the policy knows it.
    pub guest_source: Ipv4Addr,
    /// How many connections may be open at once (all sessions together); one more is refused and recorded.
    /// Lowered to what the process's limit of open files has room for.
    pub max_connections: usize,
    /// **For tests only.** Asked for a name's addresses instead of this machine's resolver; none means that there
    /// is no such name. The addresses are checked like any other answer.
    pub test_lookup: Option<TestLookup>,
    /// How long is waited for what.
    pub deadlines: Deadlines,
    /// Told about connections as they happen.
    pub observer: Option<Observer>,
}

impl Config {
    /// A configuration that enforces `policy` for a machine with address `guest_source`, with up to 4096
    /// connections and nothing else set.
    pub fn new(policy: Arc<dyn Decide>, guest_source: Ipv4Addr) -> Self {
        Self {
            policy,
            mode: Mode::Enforce,
            allow_undecided: false,
            upstream_proxy: None,
            mirrors: BTreeMap::new(),
            test_names: BTreeMap::new(),
            guest_source,
            max_connections: 4096,
            test_lookup: None,
            deadlines: Deadlines::default(),
            observer: None,
        }
    }

    /// The proxy that leads to a port of a host, if one does; without a port, to any of its ports.
    pub(crate) fn proxy_to(&self, host: &str, port: Option<u16>) -> Option<&UpstreamProxy> {
        self.upstream_proxy.as_ref().filter(|proxy| proxy.leads_to(host, port))
    }
}

/// What is dialled in place of an archive's own host, written `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Name or address, as the host resolves it.
    pub host: String,
    /// Port, 1 to 65535.
    pub port: u16,
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Mirror {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match split_port(text) {
            Some((host, Some(port))) if Host::parse(host).is_some() && port != 0 => {
                Ok(Self { host: host.to_owned(), port })
            }
            _ => Err(Error::Mirror { text: text.to_owned() }),
        }
    }
}

/// An HTTP proxy that understands `CONNECT` for every port, as companies put in front of the internet.
///
/// It resolves the names itself, so this machine need not know them; it is the operator's choice and may
/// therefore live on loopback. Neither `Debug` nor any error shows the credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamProxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Value of the `Proxy-Authorization` header.
    pub(crate) authorization: Option<String>,
    /// Hosts that it does not lead to.
    except: NoProxy,
}

impl UpstreamProxy {
    /// The same proxy for all hosts but these.
    #[must_use]
    pub fn except(self, except: NoProxy) -> Self {
        Self { except, ..self }
    }

    /// Whether it leads to a port of a host (brackets of an IPv6 address stay on); without a port, to any of its ports.
    pub fn leads_to(&self, host: &str, port: Option<u16>) -> bool {
        !self.except.covers(host, port)
    }
}

impl fmt::Debug for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamProxy({}:{})", self.host, self.port)
    }
}

impl FromStr for UpstreamProxy {
    type Err = Error;

    /// Reads `http://[user:password@]host[:port][/]`; the credentials may be percent-encoded, the port is 80
    /// when none is given.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::Proxy { reason };
        let rest = text.strip_prefix("http://").ok_or(wrong("it does not begin with http://"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, authority) = match rest.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, rest),
        };
        let (host, port) = split_port(authority).ok_or(wrong("its port is not a number from 1 to 65535"))?;
        if Host::parse(host).is_none() || port == Some(0) {
            return Err(wrong("its host or port is malformed"));
        }
        let authorization = match credentials {
            Some(text) => {
                let plain = percent_decode(text).ok_or(wrong("its credentials are badly percent-encoded"))?;
                Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain)))
            }
            None => None,
        };
        Ok(Self {
            host: host.to_owned(),
            port: port.unwrap_or(80),
            authorization,
            except: NoProxy::default(),
        })
    }
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_address_is_read_and_its_credentials_stay_hidden() {
        let proxy: UpstreamProxy = "http://us%40er:p%3Ass@proxy.example.com:3128/".parse().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example.com", 3128));
        let encoded = base64::engine::general_purpose::STANDARD.encode("us@er:p:ss");
        assert_eq!(proxy.authorization, Some(format!("Basic {encoded}")));
        assert_eq!(format!("{proxy:?}"), "UpstreamProxy(proxy.example.com:3128)");
        let plain: UpstreamProxy = "http://10.0.0.9".parse().unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.authorization), ("10.0.0.9", 80, None));
    }

    #[test]
    fn a_wrong_proxy_address_is_refused_without_showing_the_password() {
        for text in [
            "https://u:secret@proxy.example.com",
            "u:secret@proxy.example.com:1",
            "http://u:secret@proxy.example.com:99999",
            "http://u:secret@proxy.example.com:0",
            "http://u:secret%zz@proxy.example.com:1",
            "http://u:secret@bad host:1",
            "http://",
        ] {
            let error = text.parse::<UpstreamProxy>().unwrap_err().to_string();
            assert!(error.contains("http://[user:password@]host:port"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_mirror_is_a_host_and_a_port() {
        let mirror: Mirror = "mirror.example.com:8080".parse().unwrap();
        assert_eq!(mirror, Mirror { host: "mirror.example.com".into(), port: 8080 });
        for text in ["mirror.example.com", "mirror.example.com:0", ":80", "http://mirror.example.com:80"] {
            assert!(text.parse::<Mirror>().is_err(), "{text}");
        }
    }
}
