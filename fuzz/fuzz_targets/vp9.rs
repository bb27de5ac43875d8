//! See [`fuzz::vp9`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::vp9(bytes));
