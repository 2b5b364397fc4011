//! A line of Kissmetrics' export.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::kissmetrics(bytes));
