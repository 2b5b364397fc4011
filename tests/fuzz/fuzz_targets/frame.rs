//! One frame of a log, and a file of one frame.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whodid_fuzz::frame(bytes));
