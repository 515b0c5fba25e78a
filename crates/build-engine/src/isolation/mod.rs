//! What keeps the customizers of a build apart from this machine.

mod disk;
mod steps;
mod vm;

use serde::{Deserialize, Serialize};

pub use disk::{MAKE, TAKE_BACK};
pub use vm::{HOLD, Vm, run as run_in_vm};

/// What customizers run in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// The kernel's namespaces: this machine's kernel, one layer a step, no init.
    #[default]
    Namespaces,
    /// A virtual machine that boots the base with its own kernel and init; one layer for all steps.
    Vm,
}
