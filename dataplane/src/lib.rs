//! The data plane of Sluice: shards that forward RTP between authenticated transports.
//!
//! A shard is one thread, one UDP port and one [`engine::Engine`]. The engine is sans-IO: packets,
//! time and randomness are arguments, so a whole shard runs under a virtual clock in a test. Only
//! `shard`, `udp` and the backends (feature `io`) touch sockets, threads and clocks.
//!
//! This crate knows no HTTP, no JSON and no room names; what it is told, it is told by
//! [`command::Command`].
// Tests may read clocks and bind sockets; the code they test may not (see .clippy.toml).
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod command;
pub mod congestion;
pub mod counters;
pub mod engine;
pub mod id;
pub mod limits;
pub mod media;
pub mod time;
pub mod transport;
pub mod wire;

#[cfg(feature = "io")]
pub mod mmsg;
#[cfg(feature = "io")]
pub mod shard;
#[cfg(feature = "io")]
pub mod udp;
#[cfg(feature = "io")]
pub mod uring;
