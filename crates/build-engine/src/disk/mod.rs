//! From a finished root file system to the fixed VHD that Azure takes, and back again for validation.

pub mod gpt;
pub mod vhd;
