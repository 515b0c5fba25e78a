//! One TCP connection of a build step: find out whom it is meant for, decide, dial, carry.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use network_policy::{Application, Destination, Direction, Flow, Protocol};
use tokio::net::TcpStream;

use crate::destination::{forbidden, own_addresses};
use crate::dial::{DialError, dial};
use crate::forward::{First, Stop, first_bytes, forward};
use crate::gateway::{Ruling, Shared};
use crate::http::Head;
use crate::names::stands_for_a_name;
use crate::opening::Opening;
use crate::record::{Connection, Open};

/// What a connection is meant for, as far as the address that the client chose tells.
#[derive(Debug)]
pub(crate) struct Meant {
    /// The name that the address stands for, if it stands for one.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// What to write into `Host` headers, where a mirror takes the place of the name.
    pub(crate) mirror: Option<String>,
}

impl Meant {
    /// The flow's destination, given the client's first bytes. The application is known only when the client
    /// itself named the host in the way that a firewall's application rules match.
    pub(crate) fn flow(&self, opening: &Opening) -> Result<(Destination, Option<Application>), Stop> {
        let unnamed = match &self.name {
            Some(name) => Destination::Name(name.to_string()),
            None => Destination::Address(self.address),
        };
        match opening {
            Opening::Tls(Some(name)) => {
                if let Some(known) = self.name.as_deref().filter(|known| known != name) {
                    let rule =
                        format!("its TLS server name differs from {known}, which the address stands for");
                    return Err(Stop::Refused { name: Some(name.clone()), rule });
                }
                Ok((Destination::Name(name.clone()), Some(Application::Https)))
            }
            Opening::Http(head) => {
                let named = match (&self.name, &head.host) {
                    (_, None) => return Ok((unnamed, None)),
                    // Without a name from DNS, the header alone tells whom to dial.
                    (None, Some((crate::name::Host::Name(name), _))) => Some(name.clone()),
                    _ => self.name.as_deref().map(str::to_owned),
                };
                self.permits_as(head, named.as_deref())?;
                Ok((named.map_or(unnamed, Destination::Name), Some(Application::Http)))
            }
            Opening::Malformed(reason) => Err(self.refused(reason)),
            Opening::Tls(None) | Opening::Neither | Opening::More => Ok((unnamed, None)),
        }
    }

    /// Passes first bytes on if they are for whom the connection was authorised.
    pub(crate) fn checked(&self, first: First) -> Result<First, Stop> {
        self.flow(&first.opening).map(|_| first)
    }

    /// Whether a request on this connection is for whom it was authorised.
    pub(crate) fn permits(&self, head: &Head) -> Result<(), Stop> {
        self.permits_as(head, self.name.as_deref())
    }

    fn permits_as(&self, head: &Head, name: Option<&str>) -> Result<(), Stop> {
        head.is_for(name, self.address, self.port).map_err(|reason| {
            let rule = format!("its HTTP request is not for whom the connection is: {reason}");
            match &head.host {
                Some((crate::name::Host::Name(name), _)) => Stop::Refused { name: Some(name.clone()), rule },
                _ => Stop::Refused { name: self.name.as_deref().map(str::to_owned), rule },
            }
        })
    }

    /// A refusal that has to do with how the client speaks.
    pub(crate) fn refused(&self, reason: &str) -> Stop {
        Stop::Refused { name: self.name.as_deref().map(str::to_owned), rule: reason.to_owned() }
    }
}

/// One connection being served.
struct Call<'a> {
    shared: &'a Shared,
    step: u32,
    source: SocketAddr,
    meant: Meant,
}

/// Serves a connection that a step made to `asked`. What is refused or fails is reset without one byte.
pub(crate) async fn serve(
    shared: &Shared,
    step: u32,
    client: TcpStream,
    source: SocketAddr,
    asked: SocketAddr,
) {
    let address = asked.ip().to_canonical();
    let name = shared.name_of(address);
    let mut call =
        Call { shared, step, source, meant: Meant { name, address, port: asked.port(), mirror: None } };
    // Latency is worth more than fewer packets; a socket that refuses this still works.
    let _ = client.set_nodelay(true);
    if !call.run(&client).await {
        // Closing a socket that lingers for no time sends RST.
        let _ = client.set_zero_linger();
    }
}

impl Call<'_> {
    /// Whether the connection came to an orderly end.
    async fn run(&mut self, client: &TcpStream) -> bool {
        if self.meant.name.is_none()
            && let Some(ruling) = self.out_of_reach()
        {
            self.shared.recorder.add(self.row(&ruling, None));
            return false;
        }
        // Where neither TLS nor HTTP is expected, the server may be the one that speaks first: when the name
        // alone is allowed, it is dialled at once and the first bytes are checked when they come.
        if let (Some(name), false) = (&self.meant.name, matches!(self.meant.port, 80 | 443)) {
            let destination = Destination::Name(name.to_string());
            let ruling = self.shared.rule(&self.flow(&destination, None));
            if ruling.pass {
                return self.carry(client, &destination, &ruling, None).await;
            }
        }
        let Ok(first) = first_bytes(client, false, &self.shared.config.deadlines).await else { return false };
        let (destination, application) = match self.meant.flow(&first.opening) {
            Ok((destination, _)) if first.ended && first.bytes.is_empty() => {
                return self.only_knocked(&destination);
            }
            Ok(flow) => flow,
            Err(stop) => return self.stopped(stop),
        };
        let ruling = self.shared.rule(&self.flow(&destination, application));
        if !ruling.pass {
            self.shared.recorder.add(self.row(&ruling, Some(&destination)));
            return false;
        }
        self.carry(client, &destination, &ruling, Some(first)).await
    }

    /// The refusal of an address that nothing in a build may reach.
    fn out_of_reach(&self) -> Option<Ruling> {
        let address = self.meant.address;
        let why = if stands_for_a_name(address) {
            "the address stands for no name"
        } else if [self.shared.config.guest_source, sandbox::GUEST_ADDRESS].map(IpAddr::V4).contains(&address)
        {
            "the build machine itself"
        } else {
            match own_addresses() {
                Ok(own) => forbidden(address, &own)?,
                Err(_) => "this machine's own addresses cannot be listed",
            }
        };
        let flow = self.flow(&Destination::Address(address), None);
        Some(self.shared.rule_or_refuse(&flow, &format!("no build reaches this address: {why}")))
    }

    /// A client that connects and leaves without a word (a port probe) is judged by what the port suggests, and
    /// nothing is dialled for it.
    fn only_knocked(&self, destination: &Destination) -> bool {
        let application = match self.meant.port {
            80 => Some(Application::Http),
            443 => Some(Application::Https),
            _ => None,
        };
        let mut ruling = self.shared.rule(&self.flow(destination, application));
        ruling.note = Some("closed by the client before it said anything".to_owned());
        self.shared.recorder.add(self.row(&ruling, Some(destination)));
        ruling.pass
    }

    async fn carry(
        &mut self,
        client: &TcpStream,
        destination: &Destination,
        ruling: &Ruling,
        first: Option<First>,
    ) -> bool {
        let mut open = Open::new(&self.shared.recorder, self.row(ruling, Some(destination)));
        let mut left_out = Vec::new();
        let dialled = dial(self.shared, destination, self.meant.port, &mut left_out).await;
        for (address, why) in left_out {
            let mut row = self.row(&forbidden_answer(why), Some(destination));
            row.address = Some(address);
            self.shared.recorder.add(row);
        }
        let dialled = match dialled {
            Ok(dialled) => dialled,
            Err(DialError::Failed { address, why }) => {
                open.connection.address = address.or(open.connection.address);
                open.connection.note = Some(why);
                return false;
            }
            Err(DialError::Forbidden { address, why }) => {
                open.connection = self.row(&forbidden_answer(why), Some(destination));
                open.connection.address = Some(address);
                return false;
            }
        };
        open.connection.address = dialled.address.or(open.connection.address);
        if let Destination::Name(name) = destination {
            // From here on the connection is for this name, whatever told it.
            self.meant.name = Some(name.as_str().into());
            self.meant.mirror = self.shared.config.mirrors.get(name).map(|mirror| match mirror.port {
                80 => mirror.host.clone(),
                _ => mirror.to_string(),
            });
        }
        let sides = (client, &dialled.stream);
        match forward(sides, first, &dialled.early, &self.meant, &open, &self.shared.config.deadlines).await {
            Ok(()) => true,
            Err(stop) => {
                if matches!(stop, Stop::Idle) {
                    open.connection.note = Some("closed after a long silence".to_owned());
                }
                let _ = dialled.stream.set_zero_linger();
                self.stopped(stop)
            }
        }
    }

    /// Records why a connection was stopped, if a rule of the gateway did it.
    fn stopped(&self, stop: Stop) -> bool {
        if let Stop::Refused { name, rule } = stop {
            let destination = name.map(Destination::Name);
            self.shared.recorder.add(self.row(&Ruling::refusal(rule), destination.as_ref()));
        }
        false
    }

    fn flow(&self, destination: &Destination, application: Option<Application>) -> Flow {
        Flow {
            direction: Direction::Outbound,
            protocol: Protocol::Tcp,
            source: IpAddr::V4(self.shared.config.guest_source),
            source_port: self.source.port(),
            destination: destination.clone(),
            port: self.meant.port,
            application,
        }
    }

    fn row(&self, ruling: &Ruling, destination: Option<&Destination>) -> Connection {
        let name = match destination {
            Some(Destination::Name(name)) => Some(name.clone()),
            _ => self.meant.name.as_deref().map(str::to_owned),
        };
        // An address that merely stands for a name would mislead.
        let address = name.is_none().then_some(self.meant.address);
        ruling.row(self.step, name, address, self.meant.port, "tcp")
    }
}

/// The refusal of what a resolver answered.
fn forbidden_answer(why: &str) -> Ruling {
    Ruling::refusal(format!("the name resolves to a forbidden address: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opening::look;

    fn meant(name: Option<&str>) -> Meant {
        let address = "203.0.113.9".parse().unwrap();
        Meant { name: name.map(Into::into), address, port: 80, mirror: None }
    }

    fn http(host: &str) -> Opening {
        look(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
    }

    fn name(name: &str) -> Destination {
        Destination::Name(name.to_owned())
    }

    #[test]
    fn the_name_that_is_authorised_is_the_name_that_is_meant() {
        let (a, raw) = (meant(Some("a.example.com")), meant(None));
        let tls = |name: Option<&str>| Opening::Tls(name.map(str::to_owned));
        let address = Destination::Address(raw.address);
        let https = Some(Application::Https);
        for (meant, opening, expected) in [
            (&a, tls(Some("a.example.com")), (name("a.example.com"), https)),
            (&a, tls(None), (name("a.example.com"), None)),
            (&a, http("a.example.com"), (name("a.example.com"), Some(Application::Http))),
            (&a, Opening::Neither, (name("a.example.com"), None)),
            (&raw, tls(Some("b.example.com")), (name("b.example.com"), https)),
            (&raw, tls(None), (address.clone(), None)),
            (&raw, http("b.example.com:80"), (name("b.example.com"), Some(Application::Http))),
            (&raw, http("203.0.113.9"), (address.clone(), Some(Application::Http))),
            (&raw, Opening::Neither, (address.clone(), None)),
        ] {
            assert_eq!(meant.flow(&opening).unwrap(), expected, "{opening:?}");
        }
    }

    #[test]
    fn another_name_is_refused_and_named() {
        let (a, raw) = (meant(Some("a.example.com")), meant(None));
        let forged = Opening::Tls(Some("b.example.com".to_owned()));
        for (meant, opening, refused) in [
            (&a, forged, Some("b.example.com")),
            (&a, http("b.example.com"), Some("b.example.com")),
            (&a, http("a.example.com:81"), Some("a.example.com")),
            (&a, http("203.0.113.9"), Some("a.example.com")),
            (&raw, http("203.0.113.8"), None),
            (&raw, Opening::Malformed("odd"), None),
        ] {
            match meant.flow(&opening) {
                Err(Stop::Refused { name, .. }) => assert_eq!(name.as_deref(), refused, "{opening:?}"),
                other => panic!("{opening:?}: {other:?}"),
            }
        }
    }
}
