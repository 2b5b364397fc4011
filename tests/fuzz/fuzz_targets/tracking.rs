//! The query string and form of the Kissmetrics wire.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::tracking(bytes));
