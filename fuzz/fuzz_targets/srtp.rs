//! See [`fuzz::srtp`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::srtp(bytes));
