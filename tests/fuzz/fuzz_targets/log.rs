//! A write-ahead log and the entries in it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::log(bytes));
