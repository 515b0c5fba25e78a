//! `jumpbox.toml`: base, tools and checks, and the image template they stand for.
//!
//! A [`Recipe`] is what a person decides about a jump box. [`Recipe::template`] is the Azure Image Builder
//! template that it stands for, [`Recipe::smoke_tests`] what the booted image must answer, and
//! [`Recipe::endpoints`] what its build contacts beyond the base's own archive. [`Recipe::default`] is the
//! built-in recipe; [`init_text`] is the same recipe as a commented file.

mod endpoint;
mod lacks;
mod model;
mod parse;
mod smoke;
mod template;
mod tools;

#[cfg(test)]
mod tests;

pub use endpoint::Endpoint;
pub use lacks::{Lack, kubectl_supports};
pub use model::{Azure, Base, Build, File, Image, Local, Recipe, Ssh, Step};
pub use parse::{Parsed, parse};
pub use smoke::SmokeTest;

/// The built-in recipe as a commented `jumpbox.toml`.
pub fn init_text() -> &'static str {
    include_str!("jumpbox.toml")
}
