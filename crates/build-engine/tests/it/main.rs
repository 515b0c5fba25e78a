//! The engine with real programs of the host.

#![allow(clippy::unwrap_used, reason = "a test that cannot do its work fails")]

mod derived;
mod disk;
