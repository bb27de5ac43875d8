//! What the packets of the load are: when each is due, how large it is, and what is in it.
//!
//! A [`Recipe`] says what a source sends, a [`Source`] plans its packets one after another without an end,
//! and [`read`] tells what a received payload says of itself. Sizes of frames are [`recorded`] from a real
//! encoder. This module knows no sockets, no keys and no clock; sending on time is the business of `load/`.
//!
//! # Invariants
//!
//! - A recipe and a seed determine every packet, up to the keyframes that are asked for on the way.
//! - Times of a plan never go back, and no packet is longer than [`PAYLOAD_LEN_MAX`].
#![forbid(unsafe_code)]

mod chance;
mod frames;
mod head;
mod pacer;
mod recipe;
mod record;
mod recorded;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use recipe::{Codec, NAMES, PACKETS_PER_BURST, RIDS, Recipe, VIDEO_RECIPES};
pub(crate) use record::{Record, read};
pub(crate) use source::{Planned, Source};

/// Bytes of the longest payload. A browser sends at most 1200 bytes of UDP payload; header, extensions and
/// tag take up to a hundred of them.
pub(crate) const PAYLOAD_LEN_MAX: usize = 1100;
