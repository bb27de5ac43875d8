//! Promises of a shard, kept under a virtual clock and a seeded network.

#![allow(clippy::unwrap_used)]

mod replay;
mod sealed;
mod strangers;
mod worlds;
