//! What subscribers ask for, and what publishers are told of it.
#![forbid(unsafe_code)]

use std::time::Instant;

use super::hop::Wants;
use super::{Engine, PeerIndex, TrackIndex};
use crate::command::{Event, LayerPlace, Refusal, SubscriptionReport};
use crate::id::{Mid, TransportId};
use crate::media::format::MediaKind;
use crate::media::track::Track;
use crate::media::wish::Wish;
use crate::wire::layer::Layer;

impl Engine {
    pub(super) fn request_layer(
        &mut self,
        id: TransportId,
        mid: Option<Mid>,
        wish: Wish,
        now: Instant,
    ) -> Result<(), Refusal> {
        let index = self.find_peer(id)?;
        let watches = self.peers[index.0].watches.iter().enumerate();
        let is_meant = |at_mid: Mid, kind: MediaKind| match mid {
            Some(mid) => at_mid == mid,
            None => kind == MediaKind::Video,
        };
        let meant: Vec<(usize, TrackIndex)> = watches
            .filter(|(_, watch)| is_meant(watch.mid, self.tracks[watch.track].track.kind))
            .map(|(at, watch)| (at, watch.track))
            .collect();
        if meant.is_empty() {
            return Err(Refusal::UnknownSection);
        }
        let has_encoding = |track: &Track| {
            track.encodings.is_empty() || track.encodings.iter().any(|encoding| encoding.rid == wish.rid)
        };
        if wish.rid.is_some() && !meant.iter().any(|(_, track)| has_encoding(&self.tracks[*track].track)) {
            return Err(Refusal::UnknownEncoding);
        }
        for (at, track) in meant {
            let ladder = self.tracks[track].track.ladder();
            let subscription = &mut self.peers[index.0].watches[at].subscription;
            if !subscription.request(wish, ladder, now) {
                return Err(Refusal::TooManyWishes);
            }
            let target = subscription.target_encoding(ladder);
            let is_new = target.is_some() && target != subscription.current_encoding();
            if let Some(target) = target.filter(|_| is_new) {
                self.want_keyframe(track, target);
            }
            self.note_demand(track, now);
        }
        Ok(())
    }

    /// Finds out which encodings of a track somebody wants, and says what has changed: a mirror to the home of the
    /// track, and that to the control plane.
    pub(super) fn note_demand(&mut self, index: TrackIndex, now: Instant) {
        let node = &mut self.tracks[index];
        if node.track.kind == MediaKind::Audio {
            return;
        }
        let ladder = node.track.ladder();
        let mut wanted = 0;
        for (peer, watch) in &node.subscribers {
            let watch = &mut self.peers[peer.0].watches[usize::from(*watch)];
            wanted |= watch.subscription.wanted_encodings(ladder);
        }
        if let Some(home) = &mut node.home {
            let (feed, ladder_version) = (node.track.feed(), ladder.version());
            let is_known = !ladder.rungs().is_empty();
            let wants = is_known.then_some(Wants { feed, ladder_version, encodings: wanted });
            if home.wants != wants {
                home.wants = wants;
                self.note_untold(index);
            }
            return;
        }
        for mirror in &node.mirrors {
            wanted |= mirror.wanted_encodings(&node.track);
        }
        let seen = ladder.rungs().iter().fold(0u32, |mask, rung| mask | 1 << rung.encoding);
        let track = node.id;
        let mut changes = arrayvec::ArrayVec::<Event, { crate::limits::ENCODINGS_PER_TRACK_MAX }>::new();
        for (at, encoding) in node.track.encodings.iter_mut().enumerate() {
            // What was never seen may be the best there is.
            let is_wanted = (wanted | !seen) & 1 << at != 0;
            if let Some(is_wanted) = encoding.demand.note(is_wanted, now) {
                let _ = changes.try_push(Event::EncodingDemand { track, rid: encoding.rid, is_wanted });
            }
        }
        for event in changes {
            self.push_event(event);
        }
    }

    pub(super) fn subscription_reports(&mut self, index: PeerIndex) -> Vec<SubscriptionReport> {
        let tracks = &self.tracks;
        let watches = self.peers[index.0].watches.iter_mut();
        watches
            .map(|watch| {
                let node = &tracks[watch.track];
                let state = watch.subscription.layer_state(node.track.ladder());
                let place = |encoding, layer| place_of(&node.track, encoding, layer);
                SubscriptionReport {
                    mid: watch.mid,
                    track: node.id,
                    kind: node.track.kind,
                    requested: state.requested,
                    target: state.target.map(|target| place(target.encoding, Some(target.layer))),
                    current: state.current.map(|(encoding, layer)| place(encoding, layer)),
                    reason: state.reason,
                }
            })
            .collect()
    }
}

/// A layer in the words of a report: a bound that no stream reaches is none.
fn place_of(track: &Track, encoding: u8, layer: Option<Layer>) -> LayerPlace {
    let bound = |value: u8| (value < u8::MAX).then_some(value);
    LayerPlace {
        rid: track.encodings.get(usize::from(encoding)).and_then(|encoding| encoding.rid),
        spatial: layer.and_then(|layer| bound(layer.spatial)),
        temporal: layer.and_then(|layer| bound(layer.temporal)),
    }
}
