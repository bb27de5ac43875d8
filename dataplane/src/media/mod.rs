//! Tracks, their encodings and who watches them. Knows no sockets, no SRTP, no SDP.
#![forbid(unsafe_code)]

pub mod format;
