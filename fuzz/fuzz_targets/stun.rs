//! See [`fuzz::stun`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::stun(bytes));
