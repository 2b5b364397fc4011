//! The text form of every report.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::query_text(bytes));
