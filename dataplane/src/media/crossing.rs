//! A packet that crosses to another shard, with what that shard has to know of its source to forward it as the
//! shard does that feeds the track.
//!
//! Each packet carries all of it, so that a packet that is lost on the way leaves nothing out of step. Only the
//! [`Lineup`] goes with the first packet after it has changed, and again until one of them had room.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use super::arrival::SenderReport;
use super::carried::Remembered;
use super::encoding::Encoding;
use super::format::{Format, MediaKind};
use super::ladder::Ladder;
use super::packet::Packet;
use super::packet_cache::CacheKey;
use super::track::Track;
use crate::id::{Rid, Ssrc};
use crate::limits::ENCODINGS_PER_TRACK_MAX;

/// See the module. The payload stands beside it.
#[derive(Clone, Copy, Debug)]
pub struct Crossing {
    /// The packet.
    pub packet: Packet,
    /// Which publisher it is of.
    pub feed: u32,
    /// Width and height of the last keyframe of its encoding, pixels.
    pub size: Option<(u16, u16)>,
    /// The SSRC of its run.
    pub ssrc: Ssrc,
    /// Its format at the publisher.
    pub format: Format,
    /// The newest index of its run.
    pub highest: u64,
    /// The newest sender report of its run.
    pub sender_report: Option<SenderReport>,
    /// What its run says now and then.
    pub remembered: Remembered,
    /// The frame that the structure came with by which its dependency descriptor was read.
    pub structure_from: Option<u64>,
    /// Seconds from the publisher's clock to ours.
    pub clock_offset_seconds: Option<f64>,
    /// What is given up first where not all can cross.
    pub rank: Rank,
}

/// The encodings of a track, as they were seen by the shard that feeds it.
#[derive(Clone, Debug)]
pub struct Lineup {
    /// Which publisher they are of.
    pub feed: u32,
    /// Their RIDs, in the order of the offer.
    pub rids: ArrayVec<Option<Rid>, ENCODINGS_PER_TRACK_MAX>,
    /// How they do.
    pub ladder: Ladder,
}

/// How long a packet is kept where not all can cross: the first is given up last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A word between shards.
    Word,
    /// A keyframe, or sound.
    Keyframe,
    /// The base layer of the smallest encoding.
    Base,
    /// A higher spatial layer, or a larger encoding.
    Spatial,
    /// The first temporal layer above the base.
    Temporal,
    /// The temporal layers above that.
    Smooth,
}

impl Rank {
    /// How many places of a queue that holds `len` must be free before one of this rank is put in.
    pub fn reserve(self, len: usize) -> usize {
        let sixteenths = match self {
            Rank::Word => 0,
            Rank::Keyframe => 1,
            Rank::Base => 2,
            Rank::Spatial => 4,
            Rank::Temporal => 6,
            Rank::Smooth => 8,
        };
        (len * sixteenths).div_ceil(16)
    }
}

impl Crossing {
    /// The packet `key` of `track`; `None` if it was overwritten, or is of a run that has ended.
    pub fn of(track: &Track, key: CacheKey) -> Option<Self> {
        let (packet, _) = track.cache.get(key)?;
        let encoding = track.encodings.get(usize::from(packet.source.encoding))?;
        let run = encoding.run.as_ref().filter(|run| run.epoch == packet.source.epoch)?;
        let is_vital = track.kind == MediaKind::Audio || run.remembered.is_of_keyframe(packet.timestamp);
        let rank = if is_vital { Rank::Keyframe } else { rank_of(packet, encoding, &track.encodings) };
        Some(Self {
            packet: *packet,
            feed: track.feed(),
            size: encoding.size,
            ssrc: run.ssrc,
            format: run.format,
            highest: run.arrivals.highest(),
            sender_report: run.sender_report,
            remembered: run.remembered,
            structure_from: packet
                .picture
                .dependency
                .and_then(|it| run.pictures.structure_from(it.frame_number)),
            clock_offset_seconds: track.clock_offset_seconds,
            rank,
        })
    }
}

fn rank_of(packet: &Packet, encoding: &Encoding, all: &[Encoding]) -> Rank {
    let layer = packet.picture.layer.unwrap_or_default();
    let pixels = |size: (u16, u16)| u32::from(size.0) * u32::from(size.1);
    let own = encoding.size.map(pixels);
    let has_smaller = own.is_some_and(|own| all.iter().filter_map(|it| it.size).any(|it| pixels(it) < own));
    match (layer.temporal, layer.spatial) {
        (0, 0) if !has_smaller => Rank::Base,
        (0, _) => Rank::Spatial,
        (1, _) => Rank::Temporal,
        _ => Rank::Smooth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_first_needs_the_most_room() {
        let ranks = [Rank::Word, Rank::Keyframe, Rank::Base, Rank::Spatial, Rank::Temporal, Rank::Smooth];
        for len in [1, 16, 100, 1024] {
            assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(ranks.windows(2).all(|pair| pair[0].reserve(len) <= pair[1].reserve(len)));
        }
        assert_eq!(ranks.map(|rank| rank.reserve(1024)), [0, 64, 128, 256, 384, 512]);
    }
}
