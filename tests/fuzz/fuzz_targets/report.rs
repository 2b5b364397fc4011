//! Reports answered: what a query may ask of a store.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::report(bytes));
