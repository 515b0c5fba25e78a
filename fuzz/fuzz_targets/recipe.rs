//! `jumpbox.toml`.
#![no_main]

use document::SourceText;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let source = SourceText::new("input", text);
    for diagnostic in recipe::parse(&source).diagnostics {
        diagnostic.render(&source);
    }
});
