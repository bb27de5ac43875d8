//! The control plane of Sluice: rooms, sessions, HTTP. It tells shards what to do and never touches a
//! packet.
//!
//! [`start::start`] is the whole of it: what the binary runs, the tests run.
#![forbid(unsafe_code)]

pub mod api;
pub mod config;
pub mod events;
pub mod limits;
pub mod metrics;
pub mod random;
pub mod service;
pub mod shards;
