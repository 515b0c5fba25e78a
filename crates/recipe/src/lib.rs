//! jumpbox.toml: base, tools and checks, and the image template they stand for.
