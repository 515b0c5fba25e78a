//! The numbers that bound what a build step can make the gateway hold or wait for.

use std::time::Duration;

/// How long a client may stay silent before the connection is decided without its first bytes.
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(2);
/// How long a TLS hello or an HTTP head may take once it has begun.
pub(crate) const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// Largest TLS hello or HTTP head that is looked at.
pub(crate) const LARGEST_MESSAGE: usize = 32 * 1024;
/// Time to reach one address.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// Silence in both directions after which a connection is closed (noticed within twice this time).
pub(crate) const IDLE: Duration = Duration::from_mins(10);
/// Silence after which a DNS-over-TCP connection is closed.
pub(crate) const DNS_IDLE: Duration = Duration::from_secs(10);
/// DNS questions of one step that may wait for the host's resolver at once.
pub(crate) const DNS_WAITING: usize = 512;
/// What connections of a finished step get to deliver their last bytes.
pub(crate) const LAST_BYTES: Duration = Duration::from_millis(500);
/// Distinct rows of the record; what is beyond is counted in one row per step and outcome.
pub(crate) const ROWS: usize = 10_000;
/// Descriptors that one connection needs: two sockets, two pipes.
pub(crate) const DESCRIPTORS_PER_CONNECTION: u64 = 6;
/// Descriptors left to the rest of the process.
pub(crate) const DESCRIPTORS_LEFT: u64 = 256;
