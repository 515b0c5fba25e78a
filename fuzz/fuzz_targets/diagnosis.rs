//! Logs and answers that tell of a failure.
#![no_main]

use diagnosis::{Kind, diagnose, redact};

libfuzzer_sys::fuzz_target!(|text: &str| {
    for kind in [Kind::Log, Kind::Body, Kind::Text, Kind::of(text)] {
        let diagnosis = diagnose(kind, text);
        let all = diagnosis.causes.iter().chain(&diagnosis.consequences).chain(&diagnosis.noticed);
        for finding in all {
            assert!(finding.count >= finding.rule.min_count && finding.place.line > 0);
        }
    }
    redact(text);
});
