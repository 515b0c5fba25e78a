//! The workflow against an endpoint in this process, undisturbed and with a fault at every request.

mod designs;
mod faults;
mod patience;
mod roles;
mod trials;
mod whole;
mod wire;
mod world;
