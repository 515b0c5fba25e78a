//! `serve` and those it is for: the real Azure CLI, Azure's newest SDK for Python, and whoever sends something else.
//!
//! `cargo xtask test` installs the clients; where they are not, tests that need them say that they are skipped.

mod azure;
mod blobs;
mod crash;
mod deployments;
mod faults;
mod features;
mod galleries;
mod groups;
mod hostile;
mod identities;
mod images;
mod live;
mod networks;
mod process;
mod proxy;
mod resources;
mod rest;
mod seed;
mod serve;
mod story;
#[path = "../shared/terminal.rs"]
mod terminal;
mod trial;
mod tutorial;
