//! See [`fuzz::layers_allocation`].
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::layers_allocation(bytes));
