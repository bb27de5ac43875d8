//! Bytes and views of them. Pure, no allocation, nothing panics on any input.
//!
//! | module        | what it reads or writes                                          | by              |
//! |---------------|------------------------------------------------------------------|-----------------|
//! | [`classify`]  | which protocol a datagram is                                     | RFC 7983, 5761  |
//! | [`stun`]      | the username fragment of a binding request                       | RFC 8489, 8445  |
//! | [`rtp`]       | the RTP header and padding                                       | RFC 3550        |
//! | [`extension`] | RTP header extension elements                                    | RFC 8285        |
//! | [`rtcp`]      | compounds: reports, SDES, BYE, NACK, PLI, FIR, REMB              | RFC 3550, 4585  |
//! | [`twcc`]      | transport-wide congestion control feedback                       | draft-holmer-01 |
//! | [`vp8`]       | the payload descriptor, rewritten at drops and switches          | RFC 7741        |
//! | [`vp9`]       | the payload descriptor, rewritten at switches                    | RFC 9628        |
//! | [`picture_id`]| the picture id of VP8 and VP9                                    | both            |
//! | [`layers_allocation`] | which layers a publisher sends, at which bitrates  | libwebrtc       |
//! | [`layer`]     | the place of a frame among layers                                |                 |
//! | [`h264`]      | where a keyframe begins                                          | RFC 6184        |
//! | [`h265`]      | where a keyframe begins                                          | RFC 7798        |
//! | [`opus`]      | what is no packet                                                | RFC 6716        |
//! | [`red`]       | redundant audio, unwrapped                                       | RFC 2198        |
//! | [`av1`]       | where a coded video sequence begins                              | AV1 RTP 1.0     |
//! | [`dependency_descriptor`] | frames, their layers and what they need         | AV1 RTP 1.0, A  |
//! | [`serial`]    | numbers that wrap, made numbers that do not                      | RFC 1982        |
//!
//! Nothing here knows a key, a transport or a clock, and nothing keeps state between two calls except
//! the unwrappers of [`serial`].
//!
//! # Invariants
//!
//! - A parser looks at each byte a bounded number of times and never behind the slice it was given.
//! - A writer that does not fit writes nothing that counts and says so.
#![forbid(unsafe_code)]

pub mod av1;
mod bits;
pub mod classify;
pub mod dependency_descriptor;
pub mod extension;
pub mod h264;
pub mod h265;
pub mod layer;
pub mod layers_allocation;
pub mod opus;
pub mod picture_id;
mod reader;
pub mod red;
pub mod rtcp;
pub mod rtp;
pub mod serial;
pub mod stun;
pub mod twcc;
pub mod vp8;
pub mod vp9;
