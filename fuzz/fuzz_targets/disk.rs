//! Partition tables, VHD footers and listings of file systems that hostile scripts have filled.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| build_engine::disk::fuzzing::everything(bytes));
