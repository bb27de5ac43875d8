//! A whole shard under a virtual clock and a seeded network (D10).
//!
//! Two worlds share one [`world::World`], and one oracle ([`checker::Checker`]) watches both. In the *sealed* world the clients are real WebRTC peers (str0m,
//! with its own ICE, DTLS and SRTP): promises are checked, traces are not, because str0m draws random
//! numbers. In the *replay* world nothing is encrypted and every number comes from the seed: equal seeds
//! give equal traces.

// A harness states its own mistakes by panicking.
#![allow(clippy::unwrap_used)]

pub mod bottleneck;
pub mod capture;
pub mod checker;
mod cluster;
pub mod decoder;
pub mod frames;
mod lines;
pub mod meddling;
pub mod network;
pub mod plain;
pub mod playback;
pub mod random;
pub mod replay;
pub mod sealed;
pub mod seeds;
pub mod sockets;
pub mod stories;
pub mod subscriber;
pub mod trace;
pub mod world;
