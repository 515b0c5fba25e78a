//! Reaching what was authorised: the name, as the host resolves it, or the address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use network_policy::Destination;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::UpstreamProxy;
use crate::destination::{forbidden, own_addresses};
use crate::forward::{read_some, write_all};
use crate::gateway::Shared;
use crate::limits;
use crate::name::Host;
use crate::resolver::LookupError;

#[cfg(test)]
mod hostile_names;

/// Largest answer of a proxy to `CONNECT`.
const LARGEST_ANSWER: usize = 16 * 1024;

/// An established connection to the outside.
pub(crate) struct Dialled {
    pub(crate) stream: TcpStream,
    /// The far end's address, unless only a proxy knows it.
    pub(crate) address: Option<IpAddr>,
    /// Bytes of the far end that arrived with the proxy's answer.
    pub(crate) early: Vec<u8>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The name stands for an address that a build must not reach.
    Forbidden { address: IpAddr, why: &'static str },
    /// It cannot be reached.
    Failed { address: Option<IpAddr>, why: String },
}

fn failed(why: impl Into<String>) -> DialError {
    DialError::Failed { address: None, why: why.into() }
}

/// A forbidden address among a name's addresses, and why it is forbidden.
type LeftOut = (IpAddr, &'static str);

/// Dials `destination`. Addresses must have been checked before; names are checked here, after resolving them. Where
/// a name has other addresses, the forbidden ones are `left_out`.
pub(crate) async fn dial(
    shared: &Shared,
    destination: &Destination,
    port: u16,
    left_out: &mut Vec<LeftOut>,
) -> Result<Dialled, DialError> {
    let config = &shared.config;
    let name = destination.name();
    if let Some(test) = name.and_then(|name| config.test_names.get(name)) {
        let port = if test.port() == 0 { port } else { test.port() };
        return direct(&[SocketAddr::new(test.ip(), port)], config.deadlines.connect).await;
    }
    let mirror = name.and_then(|name| config.mirrors.get(name));
    let port = mirror.map_or(port, |mirror| mirror.port);
    let host = match (mirror, destination) {
        (Some(mirror), _) => mirror.host.clone(),
        (None, Destination::Name(name) | Destination::Named(_, name)) => name.clone(),
        (None, Destination::Address(IpAddr::V4(address))) => address.to_string(),
        (None, Destination::Address(IpAddr::V6(address))) => format!("[{address}]"),
    };
    if let Some(proxy) = config.proxy_to(&host, Some(port)) {
        return through(shared, proxy, &format!("{host}:{port}")).await;
    }
    let mut addresses = resolve(shared, &host).await?;
    if mirror.is_none() && name.is_some() {
        let own =
            own_addresses().map_err(|error| failed(format!("list this machine's own addresses: {error}")))?;
        addresses = permitted(addresses, &own, left_out)?;
    }
    let targets: Vec<SocketAddr> =
        addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    direct(&targets, config.deadlines.connect).await
}

async fn resolve(shared: &Shared, host: &str) -> Result<Vec<IpAddr>, DialError> {
    if let Some(Host::Address(address)) = Host::parse(host) {
        return Ok(vec![address]);
    }
    match shared.resolver.resolve(host).await {
        Ok(addresses) => Ok(addresses.to_vec()),
        Err(LookupError::NoSuchName) => Err(failed(format!("this machine's resolver knows no {host}"))),
        Err(LookupError::Failed(why)) => Err(failed(format!("resolve {host}: {why}"))),
    }
}

/// Leaves out the addresses that a build must not reach; an error when none is left.
fn permitted(
    addresses: Vec<IpAddr>,
    own: &[IpAddr],
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<IpAddr>, DialError> {
    let mut left = Vec::new();
    for address in addresses {
        match forbidden(address, own) {
            Some(why) => left_out.push((address, why)),
            None => left.push(address),
        }
    }
    match left_out.pop_if(|_| left.is_empty()) {
        Some((address, why)) => Err(DialError::Forbidden { address, why }),
        None => Ok(left),
    }
}

/// Tries the first addresses in order.
async fn direct(targets: &[SocketAddr], most: Duration) -> Result<Dialled, DialError> {
    let mut last = failed("it has no address");
    for target in targets.iter().take(limits::ADDRESSES) {
        let why = match timeout(most, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => {
                // Latency is worth more than fewer packets; a socket that refuses this still works.
                let _ = stream.set_nodelay(true);
                return Ok(Dialled { stream, address: Some(target.ip()), early: Vec::new() });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {most:?}"),
        };
        last = DialError::Failed { address: Some(target.ip()), why: format!("connect to {target}: {why}") };
    }
    Err(last)
}

/// Asks the upstream proxy for a tunnel to `authority`.
async fn through(shared: &Shared, proxy: &UpstreamProxy, authority: &str) -> Result<Dialled, DialError> {
    let addresses = resolve(shared, &proxy.host).await?;
    let targets: Vec<SocketAddr> =
        addresses.into_iter().map(|address| (address, proxy.port).into()).collect();
    let Dialled { stream, .. } =
        direct(&targets, shared.config.deadlines.connect).await.map_err(|error| match error {
            DialError::Failed { why, .. } => failed(format!("upstream proxy: {why}")),
            forbidden @ DialError::Forbidden { .. } => forbidden,
        })?;
    let authorization = proxy
        .authorization
        .as_ref()
        .map_or(String::new(), |value| format!("Proxy-Authorization: {value}\r\n"));
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{authorization}\r\n");
    let answer = async {
        write_all(&stream, request.as_bytes()).await?;
        read_answer(&stream).await
    };
    match timeout(shared.config.deadlines.message * 3, answer).await {
        Ok(Ok((200..=299, early))) => Ok(Dialled { stream, address: None, early }),
        Ok(Ok((status, _))) => {
            Err(failed(format!("the upstream proxy refused {authority} with status {status}")))
        }
        Ok(Err(error)) => Err(failed(format!("ask the upstream proxy for {authority}: {error}"))),
        Err(_) => Err(failed(format!("the upstream proxy did not answer for {authority}"))),
    }
}

/// The status of the proxy's answer and what follows its head.
async fn read_answer(stream: &TcpStream) -> io::Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::new();
    while bytes.len() < LARGEST_ANSWER {
        if read_some(stream, &mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&bytes) {
            Ok(httparse::Status::Complete(length)) => {
                let status = response.code.unwrap_or_default();
                return Ok((status, bytes.split_off(length)));
            }
            Ok(httparse::Status::Partial) => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(answers: &[&str]) -> (Result<Vec<IpAddr>, DialError>, Vec<LeftOut>) {
        let own = ["203.0.113.7".parse().unwrap()];
        let mut left_out = Vec::new();
        let addresses = answers.iter().map(|text| text.parse().unwrap()).collect();
        (permitted(addresses, &own, &mut left_out), left_out)
    }

    #[test]
    fn forbidden_addresses_are_left_out_wherever_they_stand_among_good_ones() {
        let (left, out) = permit(&["127.0.0.1", "192.0.2.1", "169.254.169.254", "203.0.113.7", "192.0.2.2"]);
        assert_eq!(left.unwrap(), ["192.0.2.1".parse::<IpAddr>().unwrap(), "192.0.2.2".parse().unwrap()]);
        let why: Vec<_> = out.iter().map(|(_, why)| *why).collect();
        assert_eq!(why, ["loopback", "link-local", "an address of this machine itself"]);
    }

    #[test]
    fn of_very_many_addresses_only_the_first_are_tried() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let end = runtime.block_on(async {
            let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut targets = vec![closed; limits::ADDRESSES];
            targets.push(listener.local_addr().unwrap());
            direct(&targets, Duration::from_secs(10)).await.map(|dialled| dialled.address)
        });
        assert!(matches!(end, Err(DialError::Failed { address: Some(_), .. })), "{end:?}");
    }

    #[test]
    fn a_name_with_only_forbidden_addresses_is_forbidden() {
        let (left, out) = permit(&["224.0.0.1", "::1"]);
        assert!(matches!(left, Err(DialError::Forbidden { why: "loopback", .. })), "{left:?}");
        assert_eq!(out.len(), 1, "the last one is the connection's own row");
    }
}
