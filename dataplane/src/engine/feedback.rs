//! RTCP that peers send: reports, losses, keyframe requests. Terminated here; nothing is passed on as it
//! came.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::peer::{ReferenceTime, Watch};
use super::tracks::Tracks;
use super::{Engine, PeerIndex};
use crate::command::Event;
use crate::counters::{DropReason, add};
use crate::id::Ssrc;
use crate::limits::{DATAGRAM_SIZE_BYTES_MAX, NACK_RETRY_DEFAULT};
use crate::media::arrival::SenderReport;
use crate::transport::TransportEvent;
use crate::transport::path::Datagram;
use crate::wire::rtcp::{NackEntries, ReportBlock, RtcpPacket, SenderInfo, packets};

/// How fast the clock offset may follow a drifting clock: 50 parts per million.
const CLOCK_DRIFT_MAX: f64 = 50e-6;
/// A measured round trip above this is not believed.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) fn receive_rtcp(
        &mut self,
        index: PeerIndex,
        datagram: Datagram<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let peer = &mut self.peers[index.0];
        if !peer.is_live {
            return Err(DropReason::NotConnected);
        }
        let mut plain = std::mem::take(&mut self.compound);
        plain.resize(DATAGRAM_SIZE_BYTES_MAX, 0);
        let outcome = peer.transport.open_rtcp(datagram.bytes, &mut plain[..], now).and_then(|len| {
            // Counted only now: what strangers forge must not use up the peer's share.
            if !self.peers[index.0].rtcp_budget.spend(now) {
                return Err(DropReason::TooMuchRtcp);
            }
            for packet in packets(&plain[..len])? {
                self.handle_rtcp(index, &packet, datagram.received_at, now);
            }
            Ok(())
        });
        self.compound = plain;
        outcome
    }

    fn handle_rtcp(&mut self, index: PeerIndex, packet: &RtcpPacket<'_>, received_at: Instant, now: Instant) {
        match packet {
            RtcpPacket::SenderReport { ssrc, info, blocks } => {
                self.handle_sender_report(index, *ssrc, info, received_at);
                for block in blocks.clone() {
                    self.handle_report_block(index, &block, received_at);
                }
            }
            RtcpPacket::ReceiverReport { blocks, .. } => {
                for block in blocks.clone() {
                    self.handle_report_block(index, &block, received_at);
                }
            }
            RtcpPacket::Nack { media, entries, .. } => self.handle_nack(index, *media, entries.clone(), now),
            RtcpPacket::Pli { media, .. } => self.handle_keyframe_request(index, *media, now),
            RtcpPacket::Fir(entries) => {
                for (media, _) in entries.clone() {
                    self.handle_keyframe_request(index, media, now);
                }
            }
            RtcpPacket::TransportFeedback(feedback) => {
                add(&self.counters.feedback_received_total, 1);
                if self.peers[index.0].estimator.on_feedback(feedback, received_at).is_err() {
                    add(&self.counters.feedback_refused_total, 1);
                }
            }
            RtcpPacket::Remb { bitrate_bps, .. } => {
                self.peers[index.0].estimator.on_remb(*bitrate_bps, received_at);
            }
            RtcpPacket::ReferenceTime { ssrc, ntp } => {
                let asked = ReferenceTime { receiver: *ssrc, middle: ntp.middle(), received_at };
                self.peers[index.0].note_reference_time(asked);
            }
            _ => {}
        }
    }

    /// Keeps the publisher's clock: the smallest way from its clock to ours, which loses least on queues
    /// and is the same for its audio and video.
    fn handle_sender_report(
        &mut self,
        index: PeerIndex,
        ssrc: Ssrc,
        info: &SenderInfo,
        received_at: Instant,
    ) {
        let arrived = self.config.wall_clock.ntp(received_at);
        let report = SenderReport { ntp: info.ntp, rtp_timestamp: info.rtp_timestamp, received_at };
        let peer = &mut self.peers[index.0];
        let mut since_last = None;
        for feed in &peer.feeds {
            let runs = self.tracks[feed.track].track.encodings.iter_mut().filter_map(|e| e.run.as_mut());
            for run in runs.filter(|run| run.ssrc == ssrc) {
                let last = run.sender_report.replace(report);
                since_last = Some(last.map_or(0.0, |last| {
                    received_at.saturating_duration_since(last.received_at).as_secs_f64()
                }));
            }
        }
        let Some(elapsed) = since_last else { return };
        let measured = arrived.seconds_since(info.ntp);
        let offset = match peer.clock_offset_seconds {
            Some(known) => measured.min(known + elapsed * CLOCK_DRIFT_MAX),
            None => measured,
        };
        peer.clock_offset_seconds = Some(offset);
        for at in 0..self.peers[index.0].feeds.len() {
            let track = self.peers[index.0].feeds[at].track;
            self.tracks[track].track.clock_offset_seconds = Some(offset);
            self.note_report(track, ssrc);
        }
    }

    fn handle_report_block(&mut self, index: PeerIndex, block: &ReportBlock, received_at: Instant) {
        let arrived = self.config.wall_clock.ntp(received_at).middle();
        let peer = &mut self.peers[index.0];
        let Some(watch) = peer.watches.iter_mut().find(|watch| watch.subscription.ssrc == block.ssrc) else {
            return;
        };
        watch.subscription.is_known_to_peer = true;
        peer.stats.fraction_lost = f64::from(block.fraction_lost) / 256.0;
        if block.fraction_lost > 0 {
            watch.subscription.note_loss(received_at);
        }
        let sent = watch.subscription.sent.packets;
        let delivered = watch.reports.note(block.highest_sequence, block.cumulative_lost, sent);
        let round_trip = round_trip_of(block, arrived);
        peer.estimator.on_report(delivered, round_trip, received_at);
        peer.stats.round_trip = round_trip.or(peer.stats.round_trip);
    }

    fn handle_nack(&mut self, index: PeerIndex, media: Ssrc, entries: NackEntries<'_>, now: Instant) {
        let peer = &mut self.peers[index.0];
        let round_trip = peer.round_trip_or(NACK_RETRY_DEFAULT).min(NACK_RETRY_DEFAULT);
        let Some(at) = peer.watches.iter().position(|watch| watch.subscription.ssrc == media) else {
            return;
        };
        let mut asked = 0;
        for sequence_number in entries {
            asked += 1;
            let subscription = &mut peer.watches[at].subscription;
            subscription.note_loss(now);
            let Some(outgoing) = subscription.repeat(sequence_number, round_trip, now) else { continue };
            if !peer.enqueue(at as u16, outgoing) {
                self.counters.note_drop(DropReason::OutboxFull);
            }
        }
        add(&self.counters.nacks_received_total, asked);
        self.mark_dirty(index);
    }

    fn handle_keyframe_request(&mut self, index: PeerIndex, media: Ssrc, now: Instant) {
        add(&self.counters.keyframe_requests_received_total, 1);
        let peer = &mut self.peers[index.0];
        let Some(at) = peer.watches.iter().position(|watch| watch.subscription.ssrc == media) else {
            return;
        };
        let watch = &mut peer.watches[at];
        let Some(encoding) = encoding_to_ask(watch, &self.tracks, now) else { return };
        let track = watch.track;
        if self.tracks[track].track.encodings[usize::from(encoding)].keyframes.is_wanted() {
            return;
        }
        match watch.subscription.spend_keyframe_request(now) {
            Ok(()) => self.want_keyframe(track, encoding),
            Err(later) => {
                watch.keyframe_due.get_or_insert(later);
                self.mark_dirty(index);
            }
        }
    }

    /// Asks for the keyframes that a peer wanted too soon: whoever waits is not forgotten.
    pub(super) fn ask_for_postponed_keyframes(&mut self, index: PeerIndex, now: Instant) {
        for at in 0..self.peers[index.0].watches.len() {
            let watch = &mut self.peers[index.0].watches[at];
            if watch.keyframe_due.is_none_or(|due| due > now) {
                continue;
            }
            watch.keyframe_due = None;
            let track = watch.track;
            if let Some(encoding) = encoding_to_ask(watch, &self.tracks, now) {
                self.want_keyframe(track, encoding);
            }
        }
    }

    /// Takes note of what happened to a transport.
    pub(super) fn note_transport_events(&mut self, index: PeerIndex, now: Instant) {
        while let Some(event) = self.peers[index.0].transport.poll_event() {
            match event {
                TransportEvent::Connected => self.go_live(index, now),
                TransportEvent::Closed(reason) => self.begin_close(index, reason),
            }
        }
    }

    /// Media may flow. Whoever watches needs a keyframe to begin with.
    fn go_live(&mut self, index: PeerIndex, now: Instant) {
        let peer = &mut self.peers[index.0];
        peer.is_live = peer.closing.is_none();
        peer.reports_due = now;
        let id = peer.id;
        for at in 0..self.peers[index.0].watches.len() {
            let watch = &self.peers[index.0].watches[at];
            let (track, ladder) = (watch.track, self.tracks[watch.track].track.ladder());
            match watch.subscription.target_encoding(ladder) {
                Some(target) => self.want_keyframe(track, target),
                None if ladder.rungs().is_empty() => self.want_best_keyframe(track),
                None => {}
            }
        }
        self.push_event(Event::TransportConnected { id });
    }
}

/// From our sender report to this answer, less the time that it lay with the peer. `None` if it answers none, or
/// says what cannot be.
fn round_trip_of(block: &ReportBlock, arrived: u32) -> Option<Duration> {
    let ticks = arrived.wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
    let round_trip = Duration::from_secs_f64(f64::from(ticks) / 65_536.0);
    (block.last_sr != 0 && round_trip <= ROUND_TRIP_MAX).then_some(round_trip)
}

/// The encoding that a keyframe request of a subscriber is about: what it is shown if that flows, else what
/// it should be shown.
fn encoding_to_ask(watch: &Watch, tracks: &Tracks, now: Instant) -> Option<u8> {
    let track = &tracks[watch.track].track;
    let is_flowing = |at: &u8| track.encodings.get(usize::from(*at)).is_some_and(|e| e.is_flowing(now));
    let target = watch.subscription.target_encoding(track.ladder());
    watch.subscription.current_encoding().filter(is_flowing).or(target).filter(is_flowing)
}
