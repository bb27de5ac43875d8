//! See [`fuzz::vp8`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::vp8(bytes));
