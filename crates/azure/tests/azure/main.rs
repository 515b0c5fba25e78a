//! The client against answers from a script, and against an endpoint over TLS.

#![allow(clippy::unnecessary_wraps, reason = "answers of a script are what a wire gives")]

mod published;
mod requests;
mod retries;
mod script;
mod tls;
