//! Azure as the commands meet it: where it is, who asks, what is to be made, and how the work is shown.

mod arguments;
mod connect;
mod error;
mod local;
mod watch;

pub use arguments::{Place, Target};
pub use connect::{Session, open};
pub use watch::Teller;
