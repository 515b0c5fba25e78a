//! Resource ids: what is accepted is accepted again, and has a parent that is.
#![no_main]

use arm::ResourceId;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(id) = ResourceId::parse(text) else { return };
    let again = ResourceId::parse(id.as_str());
    assert_eq!(again.as_ref(), Ok(&id));
    if let Some(parent) = id.parent() {
        assert!(ResourceId::parse(parent.as_str()).is_ok(), "{parent:?}");
    }
});
