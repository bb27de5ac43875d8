//! Bytes and views of them. Pure, no allocation, nothing panics on any input.
#![forbid(unsafe_code)]

pub mod rtp;
