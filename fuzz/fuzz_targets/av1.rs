//! See [`fuzz::av1`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::av1(bytes));
