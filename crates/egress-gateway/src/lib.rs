//! The only way out of a build: transparent TCP proxy and DNS, enforced and recorded.
//!
//! A build step runs in a network namespace without a route; its only way out are the
//! [`sandbox::NetworkSockets`]. A [`Gateway`] serves them: it learns which *name* a connection is meant for
//! (from DNS, the TLS server name or the HTTP `Host`), asks the [policy](Decide), and then dials the name it
//! authorised, resolved by the host's own resolver, never the address that the client chose. Everything else
//! is refused. What was let out and what was refused is in the [`EgressRecord`].
//!
//! Names keep their meaning although one address may serve many of them: the DNS answers of the gateway are
//! addresses of 198.18.0.0/15 (RFC 2544), one per name. TLS is never terminated.

mod config;
mod decide;
mod destination;
mod dial;
mod dns;
mod error;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gateway;
mod http;
mod limits;
mod name;
mod names;
mod nameserver;
mod nflog;
mod no_proxy;
mod opening;
mod record;
mod refused;
mod resolver;
mod tcp;

pub use config::{Config, Mirror, Mode, Observer, TestLookup, UpstreamProxy};
pub use decide::Decide;
pub use error::Error;
pub use gateway::{Gateway, Session};
pub use limits::Deadlines;
pub use no_proxy::NoProxy;
pub use record::{Connection, EgressRecord, Layer, Outcome};
