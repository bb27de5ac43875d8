//! What one shard hands to another, and where it puts it.
//!
//! A hop is a value: the engine writes it into a place that it is given, and reads it by reference. How it gets
//! from one shard to the other is not known here.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use crate::id::{ShardId, TrackId};
use crate::limits::DATAGRAM_SIZE_BYTES_MAX;
use crate::media::arrival::SenderReport;
use crate::media::crossing::{Crossing, Lineup, Rank};

/// One thing for another shard. A new one holds nothing.
#[derive(Clone, Debug, Default)]
pub struct Hop {
    pub(super) what: Option<What>,
    /// The encodings of the track of a packet, if they are new to its mirror.
    pub(super) lineup: Option<Box<Lineup>>,
    /// The payload of a packet, and its dependency descriptor behind it.
    pub(super) bytes: ArrayVec<u8, DATAGRAM_SIZE_BYTES_MAX>,
}

/// What a hop is.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "it is written where it lies, and almost always a packet")]
pub(super) enum What {
    /// From the home of a track: its next packet, for the mirror in this place of the other shard.
    Packet { track: TrackId, place: usize, crossing: Crossing },
    /// From the home of a track, for the same: something is new that is not in a packet.
    News { track: TrackId, place: usize, news: News },
    /// From a mirror, which is in this place: somebody watches it.
    Subscribe { track: TrackId, place: usize },
    /// From a mirror: nobody watches it any more.
    Unsubscribe { track: TrackId },
    /// From a mirror: what of it is wanted there. `None`: it does not know yet what there is.
    Want { track: TrackId, wants: Option<Wants> },
    /// From a mirror: somebody waits for a keyframe of this encoding, or of the best.
    WantKeyframe { track: TrackId, encoding: Option<u8> },
}

/// Which encodings of a track are wanted on a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wants {
    /// Of which publisher.
    pub(super) feed: u32,
    /// The version of the ladder that was looked at.
    pub(super) ladder_version: u32,
    /// One bit each.
    pub(super) encodings: u32,
}

/// What is new with a publisher.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    /// It told the time: on the run of this epoch, if the track has one that it is about.
    Report { run: Option<(u32, SenderReport)>, clock_offset_seconds: Option<f64> },
    /// It left; `feed` is which it was.
    Stopped { feed: u32 },
}

impl Hop {
    pub(super) fn say(&mut self, what: What) {
        self.what = Some(what);
        self.lineup = None;
        self.bytes.clear();
    }

    pub(super) fn carry(&mut self, what: What, payload: &[u8], dependency: &[u8]) {
        self.say(what);
        // Both stood in one slot of a cache, which has no more room than this.
        let has_fit = self.bytes.try_extend_from_slice(payload).is_ok()
            && self.bytes.try_extend_from_slice(dependency).is_ok();
        debug_assert!(has_fit);
    }
}

/// The ways to the other shards.
pub trait Outlets {
    /// Gives `write` the place of the next hop to shard `to`. False if there is no room for a hop of this rank;
    /// then `write` was not called. A shard that is gone has room for everything and keeps nothing.
    fn offer(&mut self, to: ShardId, rank: Rank, write: impl FnOnce(&mut Hop)) -> bool;
}
