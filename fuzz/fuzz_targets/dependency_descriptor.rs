//! See [`fuzz::dependency_descriptor`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::dependency_descriptor(bytes));
