//! The control plane of Sluice: rooms, sessions, HTTP. It tells shards what to do and never touches a
//! packet.
//!
//! [`start::start`] is the whole of it: what the binary runs, the tests run.
#![forbid(unsafe_code)]

pub mod api;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod events;
pub mod healthcheck;
pub mod host;
pub mod limits;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod random;
pub mod report;
pub mod service;
pub mod shards;
pub mod start;
pub mod systemd;
pub mod terminal;
pub mod tls;
