//! Addresses, names and endpoints as rules and allow lists write them, and the file of service tags.
#![no_main]

use document::SourceText;
use network_policy::{Address, Endpoint, FqdnPattern, read_service_tags};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = (Address::parse(text), Endpoint::parse(text));
    if let Ok(pattern) = FqdnPattern::parse(text) {
        pattern.matches(text);
    }
    if let Ok(tags) = read_service_tags(&SourceText::new("tags.json", text), "0") {
        assert!(tags.names().all(|name| tags.contains(name)));
    }
});
