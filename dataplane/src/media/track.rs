//! A published source with its encodings and its packets. It outlives its publisher, so that viewers stay
//! when the publisher goes and comes back.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::arrival::SenderReport;
use super::crossing::{Crossing, Lineup};
use super::encoding::{Encoding, Run};
use super::format::{Codec, Format, MediaKind};
use super::ladder::{Ladder, Rung};
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

    /// Its encodings, as another shard is to see them.
    pub fn lineup(&self) -> Lineup {
        let rids = self.encodings.iter().take(ENCODINGS_PER_TRACK_MAX).map(|encoding| encoding.rid);
        Lineup { feed: self.feed, rids: rids.collect(), ladder: self.ladder.clone() }
    }

    /// Takes over how the encodings do from the shard that feeds the track.
    pub fn follow_lineup(&mut self, lineup: &Lineup) {
        self.follow_feed(lineup.feed);
        for (at, rid) in lineup.rids.iter().enumerate() {
            match self.encodings.get_mut(at) {
                Some(encoding) => encoding.rid = *rid,
                None => self.encodings.push(Encoding::new(*rid)),
            }
        }
        self.ladder = lineup.ladder.clone();
        self.reconsider_at = None;
    }

    fn follow_feed(&mut self, feed: u32) {
        if self.feed != feed {
            self.feed = feed;
            self.encodings.clear();
        }
    }

    /// Takes over what the shard that feeds the track knows of a packet that crossed with this dependency
    /// descriptor. False if it belongs to no encoding that a track can have.
    pub fn follow(&mut self, crossing: &Crossing, dependency: &[u8], now: Instant) -> bool {
        self.follow_feed(crossing.feed);
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
        self.encodings[at].follow(crossing, dependency, now);
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

    /// Whether it is time to look anew at the encodings; then the next time is some while off.
    pub fn begin_review(&mut self, now: Instant) -> bool {
        let is_time = self.reconsider_at.is_none_or(|at| now >= at);
        if is_time {
            self.reconsider_at = Some(now + RECONSIDER_INTERVAL);
        }
        is_time
    }

    /// Looks anew at how the encodings do if it is time, and says whether it was. Those whose size is not known
    /// yet are asked for a keyframe, as without it they cannot be compared.
    pub fn reconsider(&mut self, now: Instant) -> bool {
        if !self.begin_review(now) {
            return false;
        }
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
