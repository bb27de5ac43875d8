//! See [`fuzz::whip_offer`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::whip_offer(bytes));
