//! The numbers that bound what a build step can make the gateway hold or wait for.

use std::time::Duration;

/// How long a gateway waits, and for what. Its default suits every build; tests use shorter ones.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Silence of a client before its connection is decided without its first bytes.
    pub first_byte: Duration,
    /// Time for a TLS hello or the head of an HTTP request, once it has begun.
    pub message: Duration,
    /// Time to reach one address.
    pub connect: Duration,
    /// Silence in both directions after which a connection is closed (noticed within twice this time).
    pub idle: Duration,
    /// Time in which a client of DNS over TCP must bring its next question and take its answer.
    pub dns: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(2),
            message: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            idle: Duration::from_mins(10),
            dns: Duration::from_secs(10),
        }
    }
}

/// Largest TLS hello or HTTP head that is looked at.
pub(crate) const LARGEST_MESSAGE: usize = 32 * 1024;
/// Addresses of one name that are tried, so that an answer with hundreds of dead ones holds nobody up for an hour.
pub(crate) const ADDRESSES: usize = 8;
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
