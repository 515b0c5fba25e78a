//! Image templates: what is accepted is written so that it is accepted again, as the same.
#![no_main]

use document::SourceText;
use image_template::parse;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let source = SourceText::new("input", text);
    let parsed = parse(&source);
    for diagnostic in &parsed.diagnostics {
        diagnostic.render(&source);
    }
    if let Some(template) = parsed.template {
        let written = template.to_json();
        let again = parse(&SourceText::new("again", written.as_str())).template;
        assert_eq!(again.as_ref(), Some(&template), "{written}");
    }
});
