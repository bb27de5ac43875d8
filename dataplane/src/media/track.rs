//! A published source with its encodings and its packets. It outlives its publisher, so that viewers stay
//! when the publisher goes and comes back.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::encoding::{Encoding, Run};
use super::format::{Codec, Format, MediaKind};
use super::ladder::{Ladder, Rung};
use super::packet_cache::PacketCache;
use crate::id::{Rid, Ssrc};
use crate::limits::{AUDIO_CACHE_LEN, SIZE_REQUESTS_MAX, VIDEO_CACHE_LEN};

/// How often the best encoding is chosen anew.
const RECONSIDER_INTERVAL: Duration = Duration::from_millis(100);

/// The state of one track.
#[derive(Debug)]
pub struct Track {
    /// Audio or video.
    pub kind: MediaKind,
    /// Its encodings, in the order of the offer.
    pub encodings: Vec<Encoding>,
    /// Its newest packets.
    pub cache: PacketCache,
    /// The codec of the newest packet.
    pub codec: Option<Codec>,
    /// Seconds from the publisher's clock to ours. The same for all tracks of one publisher.
    pub clock_offset_seconds: Option<f64>,
    feed: u32,
    next_epoch: u32,
    ladder: Ladder,
    reconsider_at: Option<Instant>,
}

impl Track {
    /// A track without a publisher.
    pub fn new(kind: MediaKind) -> Self {
        let cache_len = match kind {
            MediaKind::Audio => AUDIO_CACHE_LEN,
            MediaKind::Video => VIDEO_CACHE_LEN,
        };
        Self {
            kind,
            encodings: Vec::new(),
            cache: PacketCache::new(cache_len),
            codec: None,
            clock_offset_seconds: None,
            feed: 0,
            next_epoch: 0,
            ladder: Ladder::default(),
            reconsider_at: None,
        }
    }

    /// A publisher takes over, with these simulcast encodings or one without a name.
    pub fn attach(&mut self, rids: &[Rid]) {
        self.feed += 1;
        self.encodings = if rids.is_empty() {
            vec![Encoding::new(None)]
        } else {
            rids.iter().map(|rid| Encoding::new(Some(*rid))).collect()
        };
        self.codec = None;
        self.clock_offset_seconds = None;
        self.ladder.reset(self.encodings.len() > 1);
        self.reconsider_at = None;
    }

    /// The publisher left.
    pub fn detach(&mut self) {
        self.encodings.clear();
        self.codec = None;
        self.ladder.reset(false);
    }

    /// Which publisher feeds the track: a number that changes with each.
    pub fn feed(&self) -> u32 {
        self.feed
    }

    /// Its encodings, in the order of what they show.
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// Begins a new run of numbers for `encoding`.
    pub fn begin_run(&mut self, encoding: u8, ssrc: Ssrc, format: Format, index: u64, now: Instant) {
        self.next_epoch += 1;
        let epoch = self.next_epoch;
        if let Some(encoding) = self.encodings.get_mut(usize::from(encoding)) {
            encoding.run = Some(Run::new(epoch, ssrc, format, index, now));
            encoding.size = None;
            encoding.allocation = None;
        }
        self.reconsider_at = None;
    }

    /// Looks anew at how the encodings do if it is time, and says whether it was. Those whose size is not known
    /// yet are asked for a keyframe, as without it they cannot be compared.
    pub fn reconsider(&mut self, now: Instant) -> bool {
        if self.reconsider_at.is_some_and(|at| now < at) {
            return false;
        }
        self.reconsider_at = Some(now + RECONSIDER_INTERVAL);
        let shows_size = self.codec.is_some_and(|codec| codec != Codec::Opus);
        let is_simulcast = self.encodings.len() > 1;
        for encoding in &mut self.encodings {
            let is_unknown =
                is_simulcast && shows_size && encoding.size.is_none() && encoding.is_flowing(now);
            let Some(run) = encoding.run.as_mut().filter(|_| is_unknown) else { continue };
            if run.size_requests < SIZE_REQUESTS_MAX && !encoding.keyframes.is_wanted() {
                run.size_requests += 1;
                encoding.keyframes.want();
            }
        }
        for (at, encoding) in self.encodings.iter_mut().enumerate() {
            let rank = encoding.rank(now);
            let (rid, size, is_flowing) = (encoding.rid, encoding.size, encoding.is_flowing(now));
            self.ladder.note(Rung { encoding: at as u8, rid, size, is_flowing }, rank);
        }
        self.ladder.sort();
        true
    }
}
