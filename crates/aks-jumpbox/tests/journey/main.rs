//! Whole builds by the real program: real namespaces, real packages, a real disk. They need root and the host tools
//! that `doctor` names; elsewhere they say that they were skipped.

mod boots;
mod builds;
mod disk;
mod processes;
mod rootless;
#[path = "../shared/terminal.rs"]
mod terminal;
mod tree;
mod vm;
mod world;
