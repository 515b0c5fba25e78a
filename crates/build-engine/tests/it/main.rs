//! The engine against the host's real tools.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails by panicking")]

mod disk;
