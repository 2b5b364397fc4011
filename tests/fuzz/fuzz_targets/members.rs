//! The identities of the persons of a chunk.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::members(bytes));
