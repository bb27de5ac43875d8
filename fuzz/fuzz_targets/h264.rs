//! See [`fuzz::h264`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::h264(bytes));
