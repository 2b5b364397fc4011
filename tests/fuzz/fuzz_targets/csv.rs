//! A table to be imported.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::csv(bytes));
