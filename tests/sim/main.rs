//! Promises of a shard, kept under a virtual clock and a seeded network.

#![allow(clippy::unwrap_used)]

mod audio;
mod captures;
mod codecs;
mod congestion;
mod dependency;
mod extensions;
mod layers;
mod mesh;
mod replay;
mod sealed;
mod strangers;
mod wishes;
mod worlds;
