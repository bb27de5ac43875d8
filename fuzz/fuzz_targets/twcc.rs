//! See [`fuzz::twcc`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::twcc(bytes));
