//! Network resources and environment files.
#![no_main]

use document::{SourceText, parse_json, parse_toml};
use network_policy::{Address, Endpoint, Environment, FqdnPattern, read};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = (Address::parse(text), Endpoint::parse(text));
    if let Ok(pattern) = FqdnPattern::parse(text) {
        pattern.matches(text);
    }
    let source = SourceText::new("input", text);
    if let Some(value) = parse_json(&source).value {
        let _ = read(&value);
    }
    if let Some(value) = parse_toml(&source).value {
        let _ = Environment::read(&value);
    }
});
