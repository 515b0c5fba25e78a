//! The crate against judges of its own: naive walks through small universes, an SMT solver, and Azure's documents.
//!
//! Only the public interface is asked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod documents;
mod names;
mod oracle;
mod prove;
mod repair;
mod world;

use proptest::test_runner::{Config, RngSeed};

/// How many random cases; they come from one seed, which `NETWORK_POLICY_SEED` replaces.
fn cases(cases: u32) -> Config {
    let given = std::env::var("NETWORK_POLICY_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(20_251_117);
    eprintln!("NETWORK_POLICY_SEED={seed}");
    Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    }
}
