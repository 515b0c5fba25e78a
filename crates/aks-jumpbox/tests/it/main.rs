//! The whole program, run as a user runs it.

mod bad_templates;
mod build;
mod check;
mod deploy;
mod diagnose;
mod explain_flow;
mod explain_log;
mod host;
mod hostile;
mod init;
mod page;
mod program;
mod prove;
mod reference;
mod render;
mod snapshot;
mod templates;
