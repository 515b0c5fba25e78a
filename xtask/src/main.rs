//! Set-up, test, bench and generated documentation.
fn main() {}
