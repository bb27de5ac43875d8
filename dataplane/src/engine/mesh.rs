//! Tracks that are fed on one shard and watched on others (D7).
//!
//! The **home** of a track is the shard of its publisher. On another shard with subscribers stands a **mirror** of
//! it: a track of its own, with its own packet cache, that is fed by hops. A packet is opened at home and crosses
//! once for each mirror that somebody watches; from the cache of the mirror it takes the way of every packet.
//!
//! # Invariants
//!
//! - What a mirror decides by was decided at home and came with the packet, so a subscriber gets the same
//!   wherever it is.
//! - A word that could not be told (who watches, who waits for a keyframe) is told with a later turn.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::hop::{Hop, News, Outlets, Wants, What};
use super::tracks::{Mirror, TrackNode};
use super::{Engine, TrackIndex};
use crate::counters::{Counters, DropReason, add};
use crate::id::{ShardId, Ssrc, TrackId};
use crate::limits::{CROSSINGS_PER_TURN_MAX, EARLY_MIRRORS_MAX, LEFT_MIRRORS_MAX};
use crate::media::crossing::{Crossing, Rank};
use crate::media::packet_cache::CacheKey;
use crate::media::track::Track;
use crate::media::wish::Wish;

/// What waits to cross.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    /// What this turn has for the mirrors, in order.
    leaving: Vec<Leaving>,
    /// Mirrors that have something to tell their homes.
    untold: Vec<TrackId>,
    /// Mirrors that have gone although their homes take them for watched.
    left: VecDeque<(ShardId, TrackId)>,
    /// Who watches tracks that are not here yet.
    early: VecDeque<(TrackId, Mirror)>,
}

#[derive(Debug)]
struct Leaving {
    track: TrackIndex,
    id: TrackId,
    what: ForMirrors,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is almost always a packet, and its memory is reused")]
enum ForMirrors {
    Packet { key: CacheKey, crossing: Crossing },
    News(News),
}

impl Engine {
    /// Takes one hop of the shard `from`.
    pub fn receive_hop(&mut self, from: ShardId, hop: &Hop, now: Instant) {
        add(&self.counters.hops_received_total, 1);
        // Subscribers are guarded one by one; what is left is ours, and must not cost the shard either (D14).
        let taken = catch_unwind(AssertUnwindSafe(|| self.take_hop(from, hop, now)));
        match taken {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => self.counters.note_drop(reason),
            Err(_) => {
                add(&self.counters.panics_total, 1);
                tracing::error!("a hop panicked");
            }
        }
    }

    /// Hands over what waits to cross.
    pub fn poll_hops(&mut self, outlets: &mut impl Outlets, now: Instant) {
        self.tell_homes(outlets, now);
        let mut leaving = std::mem::take(&mut self.mesh.leaving);
        for Leaving { track, id, what } in leaving.drain(..) {
            let Some(node) = self.tracks.get_mut(track).filter(|node| node.id == id) else { continue };
            match what {
                ForMirrors::Packet { key, crossing } => {
                    hand_over(node, key, &crossing, outlets, &self.counters)
                }
                ForMirrors::News(news) => {
                    add(&self.counters.hops_sent_total, tell_mirrors(node, news, outlets))
                }
            }
        }
        self.mesh.leaving = leaving;
    }

    /// How many packets wait to cross.
    pub(super) fn leaving_len(&self) -> usize {
        self.mesh.leaving.len()
    }

    /// A packet that is offered here is offered on the shards that mirror its track, too.
    pub(super) fn cross(&mut self, track: TrackIndex, key: CacheKey) {
        let node = &self.tracks[track];
        if node.mirrors.is_empty() {
            return;
        }
        let Some(crossing) = Crossing::of(&node.track, key) else { return };
        if self.mesh.leaving.len() >= CROSSINGS_PER_TURN_MAX {
            self.counters.note_drops(DropReason::MeshFull, node.mirrors.len() as u64);
            return;
        }
        let what = ForMirrors::Packet { key, crossing };
        self.mesh.leaving.push(Leaving { track, id: node.id, what });
    }

    /// The publisher of `track` left.
    pub(super) fn note_stop(&mut self, track: TrackIndex) {
        self.note_news(track, News::Stopped { feed: self.tracks[track].track.feed() });
    }

    /// The publisher of `track` reported on `ssrc`, or on another stream of its clock. It does not wait for the
    /// next packet: timestamps hang on it.
    pub(super) fn note_report(&mut self, track: TrackIndex, ssrc: Ssrc) {
        let Track { encodings, clock_offset_seconds, .. } = &self.tracks[track].track;
        let runs = encodings.iter().filter_map(|encoding| encoding.run.as_ref());
        let run = runs.filter(|run| run.ssrc == ssrc).find_map(|run| Some((run.epoch, run.sender_report?)));
        let clock_offset_seconds = *clock_offset_seconds;
        self.note_news(track, News::Report { run, clock_offset_seconds });
    }

    fn note_news(&mut self, track: TrackIndex, news: News) {
        let node = &self.tracks[track];
        if !node.mirrors.is_empty() && self.mesh.leaving.len() < CROSSINGS_PER_TURN_MAX {
            self.mesh.leaving.push(Leaving { track, id: node.id, what: ForMirrors::News(news) });
        }
    }

    /// Somebody began or ceased to watch `track`, or waits for a keyframe of it: if it is a mirror, its home is
    /// to know.
    pub(super) fn note_untold(&mut self, track: TrackIndex) {
        let node = &mut self.tracks[track];
        if let Some(home) = node.home.as_mut().filter(|home| !home.is_listed) {
            home.is_listed = true;
            self.mesh.untold.push(node.id);
        }
    }

    /// Asks for a keyframe of the best encoding of `track` that flows, whichever that is.
    pub(super) fn want_best_keyframe(&mut self, track: TrackIndex) {
        let node = &mut self.tracks[track];
        match (Wish::default().resolve(node.track.ladder()).target, &mut node.home) {
            (Some(best), _) => self.want_keyframe(track, best.encoding),
            (None, Some(home)) => {
                home.wants_best = true;
                self.note_untold(track);
            }
            (None, None) => {}
        }
    }

    /// The shards that watched a new track before it came.
    pub(super) fn take_early(&mut self, track: TrackId) -> Vec<Mirror> {
        let (now, later) =
            std::mem::take(&mut self.mesh.early).into_iter().partition(|early| early.0 == track);
        self.mesh.early = later;
        let now: VecDeque<(TrackId, Mirror)> = now;
        now.into_iter().map(|(_, mirror)| mirror).collect()
    }

    /// A track was removed; its home is to send no more.
    pub(super) fn note_removal(&mut self, node: &TrackNode) {
        if let Some(home) = node.home.as_ref().filter(|home| home.is_told_watched) {
            self.leave(home.shard, node.id);
        }
    }

    fn leave(&mut self, home: ShardId, track: TrackId) {
        let left = &mut self.mesh.left;
        if !left.contains(&(home, track)) && left.len() < LEFT_MIRRORS_MAX {
            left.push_back((home, track));
        }
    }

    fn tell_homes(&mut self, outlets: &mut impl Outlets, now: Instant) {
        let sent = &self.counters.hops_sent_total;
        self.mesh.left.retain(|&(home, track)| {
            let is_told = outlets.offer(home, Rank::Word, |hop| hop.say(What::Unsubscribe { track }));
            add(sent, u64::from(is_told));
            !is_told
        });
        let mut untold = std::mem::take(&mut self.mesh.untold);
        untold.retain(|track| {
            let Some(place) = self.tracks.find(*track) else { return false };
            let (said, is_all) = tell_home(&mut self.tracks[place], place, outlets, now);
            add(&self.counters.hops_sent_total, said);
            !is_all
        });
        self.mesh.untold = untold;
    }

    fn take_hop(&mut self, from: ShardId, hop: &Hop, now: Instant) -> Result<(), DropReason> {
        match &hop.what {
            Some(What::Packet { track, place, crossing }) => {
                self.take_packet(from, (*track, TrackIndex(*place)), crossing, hop, now)
            }
            Some(What::News { track, place, news }) => {
                self.take_news(from, (*track, TrackIndex(*place)), news, now);
                Ok(())
            }
            Some(What::Subscribe { track, place }) => {
                self.add_mirror(*track, Mirror::new(from, *place), now);
                Ok(())
            }
            Some(What::Want { track, wants }) => {
                self.take_wants(from, *track, *wants, now);
                Ok(())
            }
            Some(What::Unsubscribe { track }) => {
                self.mesh.early.retain(|(early, mirror)| early != track || mirror.shard != from);
                if let Some(index) = self.tracks.find(*track) {
                    self.tracks[index].mirrors.retain(|mirror| mirror.shard != from);
                }
                Ok(())
            }
            Some(What::WantKeyframe { track, encoding }) => {
                match (self.tracks.find(*track), encoding) {
                    (Some(index), Some(encoding)) => self.want_keyframe(index, *encoding),
                    (Some(index), None) => self.want_best_keyframe(index),
                    (None, _) => {}
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn mirror(&mut self, from: ShardId, track: TrackId, place: TrackIndex) -> Option<&mut TrackNode> {
        let is_it = |node: &&mut TrackNode| {
            node.id == track && node.home.as_ref().is_some_and(|home| home.shard == from)
        };
        self.tracks.get_mut(place).filter(is_it)
    }

    fn take_packet(
        &mut self,
        from: ShardId,
        (track, place): (TrackId, TrackIndex),
        crossing: &Crossing,
        hop: &Hop,
        now: Instant,
    ) -> Result<(), DropReason> {
        let Some(node) = self.mirror(from, track, place) else {
            // It is gone, and could not say so.
            if self.tracks.find(track).is_none() {
                self.leave(from, track);
            }
            return Err(DropReason::NoSubscriber);
        };
        if let Some(lineup) = &hop.lineup {
            node.track.follow_lineup(lineup);
        }
        let bytes = &hop.bytes;
        let dependency = bytes.get(usize::from(crossing.packet.payload_len)..).unwrap_or_default();
        if !node.track.follow(crossing, dependency, now) {
            return Err(DropReason::UnboundSsrc);
        }
        if node.track.begin_review(now) {
            self.note_demand(place, now);
        }
        let node = &mut self.tracks[place];
        if node.subscribers.is_empty() {
            // Its home has not heard that nobody watches.
            return Err(DropReason::NoSubscriber);
        }
        let cache = &mut node.track.cache;
        cache.vacant_payload()[..bytes.len()].copy_from_slice(bytes);
        let key = cache.commit(crossing.packet);
        self.route(place, key, now);
        Ok(())
    }

    fn take_news(&mut self, from: ShardId, (track, place): (TrackId, TrackIndex), news: &News, now: Instant) {
        let Some(node) = self.mirror(from, track, place) else { return };
        match news {
            News::Report { run, clock_offset_seconds } => {
                node.track.follow_clock(*run, *clock_offset_seconds);
            }
            News::Stopped { feed } => {
                node.track.stop_following(*feed);
                self.note_demand(place, now);
            }
        }
    }

    fn take_wants(&mut self, from: ShardId, track: TrackId, wants: Option<Wants>, now: Instant) {
        let Some(index) = self.tracks.find(track) else {
            let mut early = self.mesh.early.iter_mut().filter(|early| early.0 == track);
            if let Some((_, mirror)) = early.find(|early| early.1.shard == from) {
                mirror.wants = wants;
            }
            return;
        };
        let mut mirrors = self.tracks[index].mirrors.iter_mut();
        if let Some(mirror) = mirrors.find(|mirror| mirror.shard == from) {
            mirror.wants = wants;
            self.note_demand(index, now);
        }
    }

    fn add_mirror(&mut self, track: TrackId, mirror: Mirror, now: Instant) {
        let Some(index) = self.tracks.find(track) else {
            if self.mesh.early.len() >= EARLY_MIRRORS_MAX {
                self.mesh.early.pop_front();
            }
            self.mesh.early.push_back((track, mirror));
            return;
        };
        let mirrors = &mut self.tracks[index].mirrors;
        mirrors.retain(|known| known.shard != mirror.shard);
        mirrors.push(mirror);
        self.note_demand(index, now);
    }
}

/// Hands a packet to every mirror that has room for it.
fn hand_over(
    node: &mut TrackNode,
    key: CacheKey,
    crossing: &Crossing,
    outlets: &mut impl Outlets,
    counters: &Counters,
) {
    let TrackNode { id, track, mirrors, .. } = node;
    let Some((packet, payload)) = track.cache.get(key) else {
        counters.note_drops(DropReason::TooLate, mirrors.len() as u64);
        return;
    };
    let dependency = track.cache.dependency(key);
    let encoding = packet.source.encoding;
    for mirror in mirrors {
        if mirror.is_indifferent_to(encoding, track) {
            continue;
        }
        let version = track.ladder().version();
        let is_new = crossing.feed == track.feed() && mirror.ladder_version != Some(version);
        let write = |hop: &mut Hop| {
            let what = What::Packet { track: *id, place: mirror.place, crossing: *crossing };
            hop.carry(what, payload, dependency);
            hop.lineup = is_new.then(|| Box::new(track.lineup()));
        };
        // What is left of a frame that has lost a packet on purpose is of no use.
        let cut = mirror.cut.get_mut(usize::from(encoding));
        let is_rest = crossing.rank > Rank::Keyframe && cut.as_deref() == Some(&Some(packet.timestamp));
        if !is_rest && outlets.offer(mirror.shard, crossing.rank, write) {
            add(&counters.hops_sent_total, 1);
            if is_new {
                mirror.ladder_version = Some(version);
            }
            continue;
        }
        if let Some(cut) = cut {
            *cut = Some(packet.timestamp);
        }
        counters.note_drop(DropReason::MeshFull);
    }
}

/// Tells every mirror what has room; how many were told. The others learn it from the next packet.
fn tell_mirrors(node: &TrackNode, news: News, outlets: &mut impl Outlets) -> u64 {
    let track = node.id;
    let told = node.mirrors.iter().filter(|mirror| {
        let what = What::News { track, place: mirror.place, news };
        outlets.offer(mirror.shard, Rank::Word, |hop| hop.say(what))
    });
    told.count() as u64
}

/// Tells the home of a mirror what it does not know yet. Gives how much was said, and whether that was all.
fn tell_home(
    node: &mut TrackNode,
    place: TrackIndex,
    outlets: &mut impl Outlets,
    now: Instant,
) -> (u64, bool) {
    let TrackNode { id: track, home: Some(home), subscribers, track: state, .. } = node else {
        return (0, true);
    };
    let (track, place, mut said) = (*track, place.0, 0);
    let mut say = |what| {
        let is_said = outlets.offer(home.shard, Rank::Word, |hop| hop.say(what));
        said += u64::from(is_said);
        is_said
    };
    let is_watched = !subscribers.is_empty();
    if is_watched != home.is_told_watched {
        let what = if is_watched { What::Subscribe { track, place } } else { What::Unsubscribe { track } };
        if !say(what) {
            return (said, false);
        }
        home.is_told_watched = is_watched;
        home.told_wants = None;
    }
    if is_watched && home.wants != home.told_wants {
        if !say(What::Want { track, wants: home.wants }) {
            return (said, false);
        }
        home.told_wants = home.wants;
    }
    if home.wants_best && !say(What::WantKeyframe { track, encoding: None }) {
        return (said, false);
    }
    home.wants_best = false;
    for (at, encoding) in state.encodings.iter_mut().enumerate() {
        let is_due = encoding.keyframes.due_at(now).is_some_and(|due| due <= now);
        if is_due {
            if !say(What::WantKeyframe { track, encoding: Some(at as u8) }) {
                return (said, false);
            }
            encoding.keyframes.take_due(now);
        }
    }
    home.is_listed = false;
    (said, true)
}
