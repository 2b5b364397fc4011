//! A manifest with a sound checksum.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::manifest(bytes));
