//! Offers a packet of a track to everyone who watches it.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use arrayvec::ArrayVec;

use super::{Engine, PeerIndex, TrackIndex};
use crate::command::Event;
use crate::counters::DropReason;
use crate::media::encoding::{Encoding, Run};
use crate::media::format::MediaKind;
use crate::media::packet::Packet;
use crate::media::packet_cache::CacheKey;
use crate::media::subscription::{Offer, Verdict};
use crate::media::track::Track;
use crate::wire::dependency_descriptor::structure::Structure;

/// How far behind the newest packet of its source a way in may stand: so many packets may have come before the
/// first packet of a keyframe although they stand behind it, and follow it.
const ENTRY_AGE_MAX: usize = 16;

/// What a subscriber needs after an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    /// It waits for a keyframe of the offered encoding.
    Keyframe,
    /// It began with the offered packet; what came early of the same keyframe is to follow.
    Rest,
}

impl Engine {
    /// Offers the packet `key` to all subscribers of `track`.
    pub(super) fn route(&mut self, track: TrackIndex, key: CacheKey, now: Instant) {
        self.cross(track, key);
        let mut wants_keyframe = false;
        for at in 0..self.tracks[track].subscribers.len() {
            let (peer, watch) = self.tracks[track].subscribers[at];
            match self.offer_guarded(track, key, peer, watch, now) {
                Need::Nothing => {}
                Need::Keyframe => wants_keyframe = true,
                Need::Rest => self.offer_rest(track, key, peer, watch, now),
            }
        }
        if wants_keyframe && let Some((packet, _)) = self.tracks[track].track.cache.get(key) {
            let encoding = packet.source.encoding;
            self.want_keyframe(track, encoding);
        }
    }

    /// Asks the publisher of `track` for a keyframe of `encoding`; the request leaves when it may.
    pub(super) fn want_keyframe(&mut self, track: TrackIndex, encoding: u8) {
        let node = &mut self.tracks[track];
        if node.track.kind == MediaKind::Audio {
            return;
        }
        let Some(encoding) = node.track.encodings.get_mut(usize::from(encoding)) else { return };
        encoding.keyframes.want();
        self.note_untold(track);
        if let Some(publisher) = self.tracks[track].publisher {
            self.mark_dirty(publisher);
        }
    }

    /// Offers a packet so that a panic in one subscriber's state ends that subscriber, and not the publisher
    /// in whose turn it happens (D14).
    fn offer_guarded(
        &mut self,
        track: TrackIndex,
        key: CacheKey,
        peer: PeerIndex,
        watch: u16,
        now: Instant,
    ) -> Need {
        let turn = AssertUnwindSafe(|| self.offer(track, key, peer, watch, now));
        catch_unwind(turn).unwrap_or_else(|_| {
            self.note_panic(peer);
            Need::Nothing
        })
    }

    fn offer(&mut self, track: TrackIndex, key: CacheKey, peer: PeerIndex, watch: u16, now: Instant) -> Need {
        let node = &self.tracks[track];
        let subscriber = &mut self.peers[peer.0];
        if !subscriber.is_live {
            return Need::Nothing;
        }
        let Some((packet, _)) = node.track.cache.get(key) else { return Need::Nothing };
        let encoding: Option<&Encoding> = node.track.encodings.get(usize::from(packet.source.encoding));
        let Some(run) = encoding.and_then(|encoding| encoding.run.as_ref()) else { return Need::Nothing };
        let offer = Offer {
            key,
            packet,
            format: &run.format,
            feed: node.track.feed(),
            ladder: node.track.ladder(),
            structure: structure_of(packet, run),
            report: run.sender_report,
            is_recent: packet.index + ENTRY_AGE_MAX as u64 >= run.arrivals.highest(),
        };
        let bound = &mut subscriber.watches[usize::from(watch)];
        let formats = &subscriber.transport.description().sections[bound.section].formats;
        let verdict = bound.subscription.offer(&offer, formats, now);
        let waiting = if bound.subscription.awaits_keyframe() { Need::Keyframe } else { Need::Nothing };
        let (outgoing, need) = match verdict {
            Verdict::Forward(outgoing) => (outgoing, waiting),
            Verdict::Switch(outgoing) => {
                subscriber.reports_due = now;
                (outgoing, Need::Rest)
            }
            Verdict::Drop(reason) => {
                self.counters.note_drop(reason);
                return self.note_refusal(track, peer, watch, reason);
            }
        };
        if !subscriber.enqueue(watch, outgoing) {
            self.counters.note_drop(DropReason::OutboxFull);
        }
        self.mark_dirty(peer);
        need
    }

    fn note_refusal(&mut self, track: TrackIndex, peer: PeerIndex, watch: u16, reason: DropReason) -> Need {
        match reason {
            DropReason::AwaitingKeyframe => Need::Keyframe,
            DropReason::CodecNotNegotiated => {
                let subscriber = &mut self.peers[peer.0];
                let id = subscriber.id;
                if let Some(codec) = subscriber.watches[usize::from(watch)].subscription.take_refused() {
                    let track = self.tracks[track].id;
                    self.push_event(Event::CodecNotNegotiated { id, track, codec });
                }
                Need::Nothing
            }
            _ => Need::Nothing,
        }
    }

    /// Offers what came before the first packet of a keyframe although it stands behind it, in the
    /// publisher's order: a receiver that saw the last packet first would ask for the others. The whole cache
    /// is searched: a burst of retransmissions, or other encodings, may lie between.
    fn offer_rest(&mut self, track: TrackIndex, first: CacheKey, peer: PeerIndex, watch: u16, now: Instant) {
        let Track { cache, encodings, .. } = &self.tracks[track].track;
        let Some((entry, _)) = cache.get(first) else { return };
        let (source, index) = (entry.source, entry.index);
        let run = encodings.get(usize::from(source.encoding)).and_then(|encoding| encoding.run.as_ref());
        if run.is_none_or(|run| run.arrivals.highest() == index) {
            return;
        }
        let newest = cache.newest(usize::MAX);
        let behind = newest.filter(|(_, packet)| packet.source == source && packet.index > index);
        let mut early: ArrayVec<(u64, CacheKey), ENTRY_AGE_MAX> =
            behind.map(|(key, packet)| (packet.index, key)).take(ENTRY_AGE_MAX).collect();
        early.sort_unstable_by_key(|(index, _)| *index);
        for (_, key) in early {
            self.offer_guarded(track, key, peer, watch, now);
        }
    }
}

/// The structure that the dependency descriptor of a packet is read with.
fn structure_of<'a>(packet: &Packet, run: &'a Run) -> Option<&'a Structure> {
    let dependency = packet.picture.dependency.as_ref()?;
    run.pictures.structure(dependency.frame_number).filter(|_| run.epoch == packet.source.epoch)
}
