//! Azure Resource Manager, as a program that waits for its answers asks it: credentials, retries, paging, long-running
//! operations, blobs.
//!
//! A [`Client`] speaks to one cloud over one [`Wire`]: TLS, or an endpoint in the same process. It repeats what may be
//! repeated and nothing else: a request that starts something goes out again only when it cannot have arrived.

mod adapter;
mod blob;
mod client;
mod cloud;
mod credential;
mod error;
mod operation;
pub mod resources;
mod wire;

pub use blob::Blob;
pub use client::{Client, Started};
pub use cloud::Cloud;
pub use credential::{Login, Secret, Who};
pub use error::{Error, ErrorKind, ServiceError};
pub use operation::{Follow, Operation, Outcome, Poll};
pub use wire::{Tls, Wire, WireError, WireRequest, WireResponse};
