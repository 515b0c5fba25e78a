//! Shell scripts, read for their mistakes: every finding stands in the script.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let findings = image_template::lint_script(text).into_iter().chain(image_template::lint_local_script(text));
    for finding in findings {
        assert!(text.is_char_boundary(finding.offset), "{finding:?}");
    }
});
