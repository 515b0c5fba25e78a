//! One flow, as arguments.

use std::net::IpAddr;

use clap::ValueEnum;
use network_policy::{Application, Destination, Direction, Flow, FqdnPattern, Protocol};

use crate::errors::{Category, Failure, Problem};

/// Port that a connection is taken to come from when none is said.
const EPHEMERAL_PORT: u16 = 50_000;

/// The flow that is asked about.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The flow")]
#[group(skip)]
pub struct Arguments {
    /// Seen from the build machine
    #[arg(long, value_enum, required_unless_present = "log", conflicts_with = "log")]
    direction: Option<Way>,
    /// tcp, udp, icmp, esp, ah or the number of an IP protocol
    #[arg(long, value_parser = protocol, required_unless_present = "log", conflicts_with = "log")]
    protocol: Option<Protocol>,
    /// Source, such as 10.241.0.5:50000; without a port, an ephemeral one
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = End::address, required_unless_present = "log", conflicts_with = "log")]
    from: Option<End>,
    /// Destination, such as 20.60.0.1:443 or, for an outbound flow, get.example.org:443
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = End::parse, required_unless_present = "log", conflicts_with = "log")]
    to: Option<End>,
    /// Name that the flow asks for, by TLS server name or HTTP host: application rules look at it, all others at the
    /// address of --to
    #[arg(long, value_name = "NAME", value_parser = host_name, conflicts_with = "log")]
    fqdn: Option<String>,
    /// What is spoken to a name [default: http on port 80, mssql on 1433, else https]
    #[arg(long, value_enum, conflicts_with = "log")]
    application: Option<Spoken>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    /// Towards the build machine
    Inbound,
    /// From the build machine
    Outbound,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spoken {
    /// HTTP
    Http,
    /// HTTP over TLS
    Https,
    /// What SQL Server speaks
    Mssql,
    /// None of these: no application rule of a firewall can match
    Other,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq)]
struct End {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Arguments {
    /// The flow; none when none was named.
    ///
    /// # Errors
    /// When the parts do not fit together.
    pub fn flow(&self) -> Result<Option<Flow>, Failure> {
        let (Some(direction), Some(protocol), Some(from), Some(to)) =
            (self.direction, self.protocol, &self.from, &self.to)
        else {
            return Ok(None);
        };
        let wrong =
            |message: &str, hint: &str| Failure::from(Problem::new(Category::Input, message).hint(hint));
        let Host::Address(source) = from.host else {
            return Err(wrong("--from takes an address", "such as --from 10.241.0.5:50000"));
        };
        let has_ports = matches!(protocol, Protocol::Tcp | Protocol::Udp);
        let direction = match direction {
            Way::Inbound => Direction::Inbound,
            Way::Outbound => Direction::Outbound,
        };
        let named = self.fqdn.is_some() || matches!(to.host, Host::Name(_));
        if named && direction == Direction::Inbound {
            return Err(wrong(
                "an inbound flow goes to an address",
                "leave --fqdn out, and write an address after --to",
            ));
        }
        if !has_ports && (from.port.is_some() || to.port.is_some()) {
            return Err(wrong(
                "this protocol has no ports",
                "leave the ports out, or name --protocol tcp or udp",
            ));
        }
        let port = match to.port {
            Some(port) => port,
            None if has_ports => return Err(wrong("--to needs a port", "such as --to 20.60.0.1:443")),
            None => 0,
        };
        let application = self.application(protocol, port, named);
        let destination = match (&self.fqdn, &to.host) {
            (Some(name), Host::Address(address)) => Destination::Named(*address, name.clone()),
            (None, Host::Address(address)) => Destination::Address(*address),
            (Some(name), Host::Name(other)) if name != other => {
                return Err(wrong(
                    "--fqdn and --to are different names",
                    "leave one out, or write an address after --to",
                ));
            }
            (_, Host::Name(name)) => Destination::Name(name.clone()),
        };
        let source_port = if has_ports { from.port.unwrap_or(EPHEMERAL_PORT) } else { 0 };
        Ok(Some(Flow { direction, protocol, source, source_port, destination, port, application }))
    }

    fn application(&self, protocol: Protocol, port: u16, named: bool) -> Option<Application> {
        match (self.application, port) {
            _ if protocol != Protocol::Tcp => None,
            (Some(Spoken::Http), _) => Some(Application::Http),
            (Some(Spoken::Https), _) => Some(Application::Https),
            (Some(Spoken::Mssql), _) => Some(Application::Mssql),
            (None, port) if named => Some(Application::usual(port)),
            (Some(Spoken::Other) | None, _) => None,
        }
    }
}

impl End {
    /// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`, `NAME` or `NAME:PORT`.
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: Host::Address(address), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => {
                let port = port.parse().map_err(|_| format!("'{port}' is not a port from 0 to 65535"))?;
                (host, Some(port))
            }
            None => (text, None),
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let host = match bare.parse::<IpAddr>() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(host_name(host)?),
        };
        Ok(Self { host, port })
    }

    /// The same, without names.
    fn address(text: &str) -> Result<Self, String> {
        match Self::parse(text)? {
            Self { host: Host::Name(name), .. } => Err(format!("'{name}' is not an IP address")),
            end => Ok(end),
        }
    }
}

/// A name without wildcards, in lower case.
fn host_name(text: &str) -> Result<String, String> {
    match FqdnPattern::parse(text) {
        Ok(pattern) if !text.contains('*') => Ok(pattern.to_string()),
        Ok(_) => Err("one name is expected, not a pattern".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" | "6" => Ok(Protocol::Tcp),
        "udp" | "17" => Ok(Protocol::Udp),
        "icmp" | "1" => Ok(Protocol::Icmp),
        "esp" => Ok(Protocol::Other(50)),
        "ah" => Ok(Protocol::Other(51)),
        number => number
            .parse()
            .map(Protocol::Other)
            .map_err(|_| "one of tcp, udp, icmp, esp, ah or a number from 0 to 255 is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_addresses_or_names_with_or_without_ports() {
        let read = |text: &str| End::parse(text).map(|end| (end.host, end.port));
        let address = |text: &str| Host::Address(text.parse().unwrap());
        assert_eq!(read("10.0.0.4:443"), Ok((address("10.0.0.4"), Some(443))));
        assert_eq!(read("10.0.0.4"), Ok((address("10.0.0.4"), None)));
        assert_eq!(read("[2001:db8::1]:443"), Ok((address("2001:db8::1"), Some(443))));
        assert_eq!(read("2001:db8::1"), Ok((address("2001:db8::1"), None)));
        assert_eq!(read("Get.Example.org:443"), Ok((Host::Name("get.example.org".to_owned()), Some(443))));
        for wrong in ["10.0.0.4:70000", "*.example.org:443", ":443", "a b:1", "10.0.0.4:"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(End::address("example.org:1").is_err());
    }
}
