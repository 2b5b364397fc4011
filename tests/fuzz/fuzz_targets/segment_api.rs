//! Bodies of Segment clients.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::segment_api(bytes));
