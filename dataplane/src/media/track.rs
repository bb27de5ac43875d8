//! A published source with its encodings and its packets. It outlives its publisher, so that viewers stay
//! when the publisher goes and comes back.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::arrival::SenderReport;
use super::crossing::Crossing;
use super::encoding::{Encoding, Run};
use super::format::{Codec, Format, MediaKind};
use super::packet_cache::PacketCache;
use crate::id::{Rid, Ssrc};
use crate::limits::{AUDIO_CACHE_LEN, ENCODINGS_PER_TRACK_MAX, SIZE_REQUESTS_MAX, VIDEO_CACHE_LEN};

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
    best: Option<u8>,
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
            best: None,
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
        self.best = None;
        self.reconsider_at = None;
    }

    /// The publisher left.
    pub fn detach(&mut self) {
        self.encodings.clear();
        self.codec = None;
        self.best = None;
    }

    /// Which publisher feeds the track: a number that changes with each.
    pub fn feed(&self) -> u32 {
        self.feed
    }

    /// The encoding that subscribers should get: the best that flows.
    pub fn best(&self) -> Option<u8> {
        self.best
    }

    /// Takes over what the shard that feeds the track knows of a packet that crossed. False if it belongs to no
    /// encoding that a track can have.
    pub fn follow(&mut self, crossing: &Crossing, now: Instant) -> bool {
        if self.feed != crossing.feed {
            self.feed = crossing.feed;
            self.encodings.clear();
        }
        let packet = &crossing.packet;
        let at = usize::from(packet.source.encoding);
        if at >= ENCODINGS_PER_TRACK_MAX {
            return false;
        }
        while self.encodings.len() <= at {
            self.encodings.push(Encoding::new(None));
        }
        self.codec = Some(crossing.format.codec);
        self.clock_offset_seconds = crossing.clock_offset_seconds;
        self.best = crossing.best;
        self.encodings[at].follow(crossing, now);
        true
    }

    /// Takes over what the publisher told of its clock on the shard that feeds the track: about the run of an epoch,
    /// and in all.
    pub fn follow_clock(&mut self, run: Option<(u32, SenderReport)>, clock_offset_seconds: Option<f64>) {
        self.clock_offset_seconds = clock_offset_seconds;
        let Some((epoch, report)) = run else { return };
        let runs = self.encodings.iter_mut().filter_map(|encoding| encoding.run.as_mut());
        for run in runs.filter(|run| run.epoch == epoch) {
            run.sender_report = Some(report);
        }
    }

    /// The publisher `feed` left the shard that feeds the track.
    pub fn stop_following(&mut self, feed: u32) {
        if self.feed == feed {
            self.detach();
        }
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

    /// Chooses the best encoding anew if it is time. Encodings whose size is not known yet are asked for a
    /// keyframe, as without it they cannot be compared.
    pub fn reconsider(&mut self, now: Instant) {
        if self.reconsider_at.is_some_and(|at| now < at) {
            return;
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
        let current = self.best.and_then(|best| {
            let rank = self.encodings.get_mut(usize::from(best))?.rank(now);
            (rank.1 > 0).then_some((best, rank))
        });
        let ranked = self.encodings.iter_mut().enumerate();
        let challenger =
            ranked.map(|(at, encoding)| (at as u8, encoding.rank(now))).max_by_key(|entry| entry.1);
        self.best = match (current, challenger) {
            (Some((best, mine)), Some((other, theirs))) => {
                Some(if is_clearly_better(theirs, mine) { other } else { best })
            }
            (None, Some((other, rank))) if rank.1 > 0 => Some(other),
            _ => None,
        };
    }
}

/// More pixels win at once; more bits only by a quarter, so that two like encodings do not alternate.
fn is_clearly_better(challenger: (u32, u64), current: (u32, u64)) -> bool {
    challenger.0 > current.0 || (challenger.0 == current.0 && challenger.1 * 4 > current.1 * 5)
}
