//! Carries out commands of the control plane, and lets peers go.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::header::Forms;
use super::peer::{Feed, Peer, Watch};
use super::streams::Streams;
use super::tracks::Home;
use super::{Engine, PeerIndex, TrackIndex};
use crate::command::{
    Binding, CloseReason, Command, EncodingReport, EstimateReport, Event, LayerReport, Refusal, Reply,
    TrackReport, TransportReport,
};
use crate::congestion::reports::StreamReports;
use crate::counters::add;
use crate::id::{Ssrc, TrackId, TransportId};
use crate::limits::{TRACKS_PER_SHARD_MAX, TRANSPORTS_PER_SHARD_MAX};
use crate::media::format::{ExtensionKind, MediaKind};
use crate::media::subscription::Subscription;
use crate::media::track::Track;
use crate::transport::Transport;
use crate::transport::description::{Section, SectionRole};
use crate::wire::layers_allocation::LayersAllocation;

impl Engine {
    pub(super) fn command(&mut self, command: Command, now: Instant) -> Reply {
        let outcome = match command {
            Command::AddTrack { track, kind } => self.add_track(track, kind, None),
            Command::MirrorTrack { track, kind, home } => self.add_track(track, kind, Some(Home::new(home))),
            Command::RemoveTrack { track } => self.remove_track(track),
            Command::AddTransport { id, transport, bindings } => {
                self.add_transport(id, transport, &bindings, now)
            }
            Command::RemoveTransport { id } => self.remove_transport(id),
            Command::RequestLayer { id, mid, wish } => self.request_layer(id, mid, wish, now),
            Command::DescribeTransport { id } => return self.describe_transport(id),
            Command::DescribeTrack { track } => return self.describe_track(track, now),
            Command::CloseAll => {
                self.close_all();
                Ok(())
            }
        };
        outcome.map_or_else(Reply::Refused, |()| Reply::Done)
    }

    fn add_track(&mut self, id: TrackId, kind: MediaKind, home: Option<Home>) -> Result<(), Refusal> {
        if self.tracks.find(id).is_some() {
            return Err(Refusal::AlreadyExists);
        }
        if self.tracks.len() >= TRACKS_PER_SHARD_MAX {
            return Err(Refusal::ShardFull);
        }
        let mirrors = if home.is_none() { self.take_early(id) } else { Vec::new() };
        self.tracks.insert(id, Track::new(kind), home, mirrors);
        self.publish_gauges();
        Ok(())
    }

    fn remove_track(&mut self, id: TrackId) -> Result<(), Refusal> {
        let index = self.tracks.find(id).ok_or(Refusal::UnknownTrack)?;
        if let Some(publisher) = self.tracks[index].publisher {
            self.begin_close(publisher, CloseReason::Requested);
        }
        let node = self.tracks.remove(index);
        self.note_removal(&node);
        for (peer, _) in node.subscribers {
            self.remove_watches_of(peer, index);
        }
        self.publish_gauges();
        Ok(())
    }

    /// Takes the watches of a removed track out of a peer. The places behind them move, and the tracks are
    /// told.
    fn remove_watches_of(&mut self, peer: PeerIndex, removed: TrackIndex) {
        let watcher = &mut self.peers[peer.0];
        watcher.outbox.clear();
        watcher.watches.retain(|watch| watch.track != removed);
        for (place, watch) in watcher.watches.iter().enumerate() {
            let subscribers = &mut self.tracks[watch.track].subscribers;
            for entry in subscribers.iter_mut().filter(|entry| entry.0 == peer) {
                entry.1 = place as u16;
            }
        }
    }

    fn add_transport(
        &mut self,
        id: TransportId,
        transport: Box<Transport>,
        bindings: &[Binding],
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.find_peer(id).is_ok() {
            return Err(Refusal::AlreadyExists);
        }
        if self.peers.len() >= TRANSPORTS_PER_SHARD_MAX {
            return Err(Refusal::ShardFull);
        }
        let places = self.check_bindings(&transport, bindings)?;

        let rtcp_ssrc = Ssrc(self.random.number() as u32 | 1);
        let ufrag = transport.local_ufrag().to_owned();
        let index = PeerIndex(self.peers.insert(Peer::new(id, transport, rtcp_ssrc, now)));
        self.demux.add_ufrag(&ufrag, index);
        for (section, track) in places {
            self.bind(index, section, track);
            self.note_demand(track, now);
        }
        self.mark_dirty(index);
        self.publish_gauges();
        Ok(())
    }

    /// The section and track of each binding, or why they do not fit. Changes nothing.
    fn check_bindings(
        &self,
        transport: &Transport,
        bindings: &[Binding],
    ) -> Result<Vec<(usize, TrackIndex)>, Refusal> {
        let sections = &transport.description().sections;
        let mut places: Vec<(usize, TrackIndex)> = Vec::with_capacity(bindings.len());
        for binding in bindings {
            let track = self.tracks.find(binding.track).ok_or(Refusal::UnknownTrack)?;
            let place = sections.iter().position(|section| section.mid == binding.mid);
            let place = place.ok_or(Refusal::BindingDoesNotFit)?;
            let node = &self.tracks[track];
            let is_taken_twice = places.iter().any(|earlier| earlier.0 == place || earlier.1 == track);
            if sections[place].kind != node.track.kind || is_taken_twice {
                return Err(Refusal::BindingDoesNotFit);
            }
            let is_ingress = matches!(sections[place].role, SectionRole::Ingress { .. });
            if is_ingress && (node.publisher.is_some() || node.home.is_some()) {
                return Err(Refusal::TrackIsPublished);
            }
            places.push((place, track));
        }
        Ok(places)
    }

    fn bind(&mut self, index: PeerIndex, place: usize, track: TrackIndex) {
        let peer = &mut self.peers[index.0];
        let node = &mut self.tracks[track];
        let section: &Section = &peer.transport.description().sections[place];
        match &section.role {
            SectionRole::Ingress { rids, .. } => {
                node.track.attach(rids);
                node.publisher = Some(index);
                peer.feeds.push(Feed { section: place, track });
            }
            SectionRole::Egress { ssrc, rtx_ssrc } => {
                let first = self.random.first_number(*ssrc);
                let first_rtx = self.random.first_number(rtx_ssrc.unwrap_or(*ssrc));
                let allows_mixed = peer.transport.description().allows_mixed_extensions;
                let forms = Forms::of(allows_mixed, &section.extensions, section.mid);
                let mut subscription = Subscription::new(*ssrc, *rtx_ssrc, first, first_rtx);
                if section.extensions.id(ExtensionKind::DependencyDescriptor).is_some() {
                    subscription.dependency_len_max = forms.element_len_max();
                }
                let watch = Watch {
                    section: place,
                    track,
                    mid: section.mid,
                    extensions: section.extensions,
                    forms,
                    subscription,
                    reports: StreamReports::default(),
                    keyframe_due: None,
                };
                node.subscribers.push((index, peer.watches.len() as u16));
                peer.watches.push(watch);
                self.note_untold(track);
            }
        }
    }

    fn remove_transport(&mut self, id: TransportId) -> Result<(), Refusal> {
        let index = self.find_peer(id)?;
        self.begin_close(index, CloseReason::Requested);
        Ok(())
    }

    fn close_all(&mut self) {
        let all: Vec<PeerIndex> = self.peers.iter().map(|(at, _)| PeerIndex(at)).collect();
        for index in all {
            self.begin_close(index, CloseReason::Requested);
        }
    }

    /// Takes a peer out of all tracks at once; its farewell leaves with the next flush.
    pub(super) fn begin_close(&mut self, index: PeerIndex, reason: CloseReason) {
        if self.peers[index.0].closing.is_none() {
            self.peers[index.0].closing = Some(reason);
        }
        self.unbind(index);
        self.mark_dirty(index);
    }

    /// Ends everything that flows over a peer. Nothing of it is left behind: places of tracks are reused.
    fn unbind(&mut self, index: PeerIndex) {
        let peer = &mut self.peers[index.0];
        peer.outbox.clear();
        peer.streams = Streams::default();
        for feed in std::mem::take(&mut peer.feeds) {
            self.note_stop(feed.track);
            let node = &mut self.tracks[feed.track];
            node.publisher = None;
            let was_flowing = node.track.codec.is_some();
            node.track.detach();
            let track = node.id;
            if was_flowing {
                self.push_event(Event::TrackStopped { track });
            }
        }
        for watch in std::mem::take(&mut self.peers[index.0].watches) {
            self.tracks[watch.track].subscribers.retain(|entry| entry.0 != index);
            self.note_untold(watch.track);
            self.peers[index.0].farewell_ssrcs.push(watch.subscription.ssrc);
        }
    }

    /// Frees a peer that said its farewell, or that panicked.
    pub(super) fn forget(&mut self, index: PeerIndex) {
        self.unbind(index);
        self.timers.set(index, None);
        self.show_estimate(index, None);
        let peer = self.peers.remove(index.0);
        self.demux.remove(peer.transport.local_ufrag(), peer.transport.paths(), index);
        let reason = peer.closing.unwrap_or(CloseReason::Panicked);
        self.push_event(Event::TransportClosed { id: peer.id, reason });
        self.publish_gauges();
        // What str0m leaves behind may panic as well; that must not reach the shard (D14).
        if catch_unwind(AssertUnwindSafe(|| drop(peer))).is_err() {
            add(&self.counters.panics_total, 1);
        }
    }

    pub(super) fn find_peer(&self, id: TransportId) -> Result<PeerIndex, Refusal> {
        let found = self.peers.iter().find(|(_, peer)| peer.id == id && peer.closing.is_none());
        found.map(|(at, _)| PeerIndex(at)).ok_or(Refusal::UnknownTransport)
    }

    fn publish_gauges(&self) {
        self.counters.transports.store(self.peers.len() as u64, Relaxed);
        self.counters.tracks.store(self.tracks.len() as u64, Relaxed);
    }

    fn describe_transport(&mut self, id: TransportId) -> Reply {
        let Ok(index) = self.find_peer(id) else {
            return Reply::Refused(Refusal::UnknownTransport);
        };
        let subscriptions = self.subscription_reports(index);
        let peer = &self.peers[index.0];
        Reply::Transport(TransportReport {
            is_connected: peer.is_live,
            remote: peer.transport.nominated().map(|path| path.remote),
            srtp_profile: peer.transport.srtp_profile(),
            round_trip_ms: peer.stats.round_trip.map(|round_trip| round_trip.as_secs_f64() * 1e3),
            packets_received: peer.stats.packets_received,
            packets_sent: peer.stats.packets_sent,
            fraction_lost: peer.stats.fraction_lost,
            estimate: (!peer.watches.is_empty()).then(|| {
                let estimate = peer.estimator.estimate();
                EstimateReport { bitrate_bps: estimate.bitrate_bps, cause: estimate.cause.name() }
            }),
            subscriptions,
        })
    }

    fn describe_track(&mut self, id: TrackId, now: Instant) -> Reply {
        let Some(index) = self.tracks.find(id) else {
            return Reply::Refused(Refusal::UnknownTrack);
        };
        let node = &mut self.tracks[index];
        let encodings = node.track.encodings.iter_mut().map(|encoding| EncodingReport {
            rid: encoding.rid.map(|rid| rid.0.as_str().to_owned()),
            is_flowing: encoding.is_flowing(now),
            bitrate_bps: encoding.bitrate_bps(now),
            size: encoding.size,
            packets_received: encoding.run.as_ref().map_or(0, |run| run.arrivals.received_total()),
            packets_lost: encoding.run.as_ref().map_or(0, |run| run.missing.lost_total()),
            is_wanted: encoding.demand.is_wanted(),
            layers: encoding.allocation.as_ref().map(layer_reports).unwrap_or_default(),
        });
        let mut encodings: Vec<EncodingReport> = encodings.collect();
        encodings.sort_by_key(|encoding| std::cmp::Reverse((encoding.size, encoding.bitrate_bps)));
        Reply::Track(TrackReport {
            kind: node.track.kind,
            codec: node.track.codec,
            encodings,
            subscription_count: node.subscribers.len(),
        })
    }
}

fn layer_reports(allocation: &LayersAllocation) -> Vec<LayerReport> {
    let layers = allocation.own_layers().map(|layer| LayerReport {
        spatial: layer.highest.spatial,
        bitrates_kbps: layer.bitrates_kbps.to_vec(),
        size: layer.size,
        frame_rate: layer.frame_rate,
    });
    layers.collect()
}
