//! The client against answers from a script, and against an endpoint over TLS.

mod requests;
mod retries;
mod script;
mod tls;
