//! What can keep a gateway from starting. Refused connections are not errors: they are in the record.

use std::io;

/// Why a gateway or a session could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The threads of the gateway could not be started.
    #[error("start the egress gateway's threads: {0}")]
    Runtime(#[source] io::Error),
    /// A socket of the sandbox could not be used.
    #[error("use the sandbox's {socket} socket: {source}")]
    Socket {
        /// Which of the sockets: `tcp`, `dns` or `refused`.
        socket: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The address of the upstream proxy cannot be used. The text never holds the credentials.
    #[error("read the upstream proxy's address: {reason} (expected http://[user:password@]host:port)")]
    Proxy {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A mirror cannot be used.
    #[error("read the mirror `{text}`: expected host:port")]
    Mirror {
        /// The text as it was given.
        text: String,
    },
}
