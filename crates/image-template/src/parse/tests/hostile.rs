//! Texts that want to break the reading.

use super::{DISTRIBUTE, IDENTITY, SOURCE, read, with_properties};

/// A template that uses most of the language.
fn sample() -> String {
    with_properties(
        "2025-10-01",
        &format!(
            "{SOURCE}, // é\n{DISTRIBUTE}, \"customize\": [{{\"type\": \"Shell\", \"inline\": [\"curl x | sh\", \"cat <<E\\n\\u00e9$(\"]}},\
             {{\"type\": \"File\", \"sourceUri\": \"a\", \"destination\": \"/tmp/a\"}}], \"buildTimeoutInMinutes\": 60"
        ),
    )
}

#[test]
fn a_template_cut_anywhere_is_an_error() {
    let text = sample();
    assert!(!read(&text).has_errors(), "{:#?}", read(&text).diagnostics);
    for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
        assert!(read(&text[..end]).has_errors(), "cut at {end}");
    }
}

#[test]
fn nesting_and_numbers_have_limits() {
    for open in ["[", "{\"a\":", "{\"resources\":[", "{\"properties\":"] {
        assert!(read(&open.repeat(100_000)).has_errors());
    }
    let huge =
        format!("{{{IDENTITY}, \"properties\": {{\"buildTimeoutInMinutes\": {}}}}}", "9".repeat(100_000));
    assert!(read(&huge).has_errors());
}

#[test]
fn thousands_of_mistakes_are_counted_and_not_all_shown() {
    let fields: String = (0..5_000)
        .flat_map(|index| ["\"f", &index.to_string(), "\": 1,"].concat().chars().collect::<Vec<_>>())
        .collect();
    let parsed = read(&format!("{{{fields} \"properties\": 1}}"));
    assert_eq!(parsed.diagnostics.len(), document::MAX_DIAGNOSTICS + 1);
    assert!(parsed.diagnostics.iter().any(|found| found.code == "too-many"));
}
