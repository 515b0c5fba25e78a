//! Azure as the commands meet it: where it is, who asks, what is to be made, and how the work is shown.

mod arguments;
mod build;
mod connect;
mod error;
pub mod live;
mod local;
mod prerequisites;
mod quota;
mod trial;
mod watch;

pub use arguments::{Endpoint, Place, Runner, Target};
pub use build::{What, build};
pub use connect::{deployed, open};
pub use prerequisites::require;
pub use trial::{Trial, try_image};
pub use watch::Teller;
