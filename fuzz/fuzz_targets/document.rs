//! JSON and TOML: every diagnostic can be shown.
#![no_main]

use document::{Document, SourceText, parse_json, parse_toml};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let source = SourceText::new("input", text);
    let show = |document: Document| {
        document.diagnostics.iter().for_each(|diagnostic| {
            diagnostic.render(&source);
        });
    };
    show(parse_json(&source));
    show(parse_toml(&source));
});
