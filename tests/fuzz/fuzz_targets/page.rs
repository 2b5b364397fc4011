//! Addresses of pages and of what else can be read.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::page(bytes));
