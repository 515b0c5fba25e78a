//! What a guest prints on its serial console.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    build_engine::boot::read_serial(bytes);
});
