//! See [`fuzz::h265`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::h265(bytes));
