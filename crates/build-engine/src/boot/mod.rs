//! Boots a finished image under QEMU and runs its smoke tests over SSH.
