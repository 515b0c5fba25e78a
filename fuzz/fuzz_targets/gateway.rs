//! What a build step may send: TLS hellos, HTTP requests, DNS questions, and the packets that the kernel reports.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| egress_gateway::fuzzing::everything(bytes));
