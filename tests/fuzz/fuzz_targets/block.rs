//! The rows of one name and chunk: columns.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::block(bytes));
