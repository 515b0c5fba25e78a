//! JSON (with comments) and TOML read into values that remember where they stand.
