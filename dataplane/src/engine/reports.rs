//! RTCP that peers get: reports, feedback to publishers, goodbyes; and when the next is due.
#![forbid(unsafe_code)]

use std::time::Instant;

use arrayvec::ArrayVec;

use super::peer::Peer;
use super::tracks::Tracks;
use super::{Engine, PeerIndex};
use crate::congestion::estimator::Estimate;
use crate::counters::add;
use crate::id::Ssrc;
use crate::limits::{
    NACK_RETRY_DEFAULT, PUBLISHER_BITRATE_BPS_MAX, REPORT_BLOCKS_LEN_MAX, REPORT_INTERVAL,
    RTCP_SIZE_BYTES_MAX, SECTIONS_PER_OFFER_MAX, TWCC_PACKETS_PER_TURN_MAX,
};
use crate::media::encoding::Run;
use crate::media::format::ExtensionKind;
use crate::media::packet::Source;
use crate::media::subscription::Subscription;
use crate::media::track::Track;
use crate::time::NtpTime;
use crate::transport::path::Egress;
use crate::wire::rtcp::{ReportBlock, RtcpWriter, SenderInfo};

/// Missing packets asked for in one NACK.
const NACKS_PER_PACKET_MAX: usize = 64;

type ReportBlocks = ArrayVec<ReportBlock, REPORT_BLOCKS_LEN_MAX>;
type SenderReports = ArrayVec<(Ssrc, SenderInfo), SECTIONS_PER_OFFER_MAX>;

impl Engine {
    /// Sends the RTCP that is due.
    pub(super) fn send_rtcp(&mut self, index: PeerIndex, egress: &mut impl Egress, now: Instant) {
        if self.peers[index.0].reports_due <= now {
            self.peers[index.0].reports_due = now + REPORT_INTERVAL;
            let peer = &self.peers[index.0];
            let estimate = (!peer.watches.is_empty()).then(|| peer.estimator.estimate());
            self.show_estimate(index, estimate);
            self.send_reports(index, egress, now);
        }
        if !self.peers[index.0].feeds.is_empty() {
            self.send_requests(index, egress, now);
            self.send_transport_feedback(index, egress, now);
        }
    }

    pub(super) fn send_bye(&mut self, index: PeerIndex, egress: &mut impl Egress) {
        self.send_compound(index, egress, |peer, _, writer| {
            writer.receiver_report(peer.rtcp_ssrc, &[]);
            writer.sdes_cname(peer.rtcp_ssrc, peer.cname());
            match peer.farewell_ssrcs.as_slice() {
                [] => writer.bye(&[peer.rtcp_ssrc]),
                sent => writer.bye(sent),
            };
        });
    }

    /// Brings the gauges up to date with the estimate of a peer; `None` takes it out.
    pub(super) fn show_estimate(&mut self, index: PeerIndex, estimate: Option<Estimate>) {
        let shown = std::mem::replace(&mut self.peers[index.0].shown_estimate, estimate);
        let bps = |estimate: Option<Estimate>| estimate.map_or(0, |estimate| estimate.bitrate_bps);
        let gauges = &self.counters.estimates;
        add(&gauges.bitrate_bps, bps(estimate).wrapping_sub(bps(shown)));
        if let Some(shown) = shown {
            add(&gauges.by_cause[shown.cause as usize], u64::MAX);
        }
        if let Some(estimate) = estimate {
            add(&gauges.by_cause[estimate.cause as usize], 1);
        }
    }

    /// Sender reports for what it watches, receiver reports for what it feeds, and our name.
    fn send_reports(&mut self, index: PeerIndex, egress: &mut impl Egress, now: Instant) {
        let ntp = self.config.wall_clock.ntp(now);
        self.send_compound(index, egress, |peer, tracks, writer| {
            let senders = sender_reports(peer, tracks, ntp);
            let blocks = report_blocks(peer, tracks, now);
            if senders.is_empty() {
                writer.receiver_report(peer.rtcp_ssrc, &blocks);
                writer.sdes_cname(peer.rtcp_ssrc, peer.cname());
            }
            for (at, (ssrc, info)) in senders.iter().enumerate() {
                writer.sender_report(*ssrc, info, if at == 0 { &blocks } else { &[] });
                writer.sdes_cname(*ssrc, peer.cname());
            }
            for asked in std::mem::take(&mut peer.reference_times) {
                let delay = now.saturating_duration_since(asked.received_at).as_secs_f64() * 65_536.0;
                let sender = senders.first().map_or(peer.rtcp_ssrc, |sender| sender.0);
                writer.delay_since_reference_time(sender, asked.receiver, asked.middle, delay as u32);
            }
            if feeds_want_remb(peer) {
                writer.remb(peer.rtcp_ssrc, PUBLISHER_BITRATE_BPS_MAX, &media_ssrcs(peer, tracks));
            }
        });
    }

    /// Losses and keyframes that a publisher is asked for.
    fn send_requests(&mut self, index: PeerIndex, egress: &mut impl Egress, now: Instant) {
        let (mut nacks, mut keyframes) = (0, 0);
        self.send_compound(index, egress, |peer, tracks, writer| {
            let retry = peer.round_trip_or(NACK_RETRY_DEFAULT);
            let sender = peer.rtcp_ssrc;
            for feed in &peer.feeds {
                for encoding in &mut tracks[feed.track].track.encodings {
                    let Some(run) = &mut encoding.run else { continue };
                    let mut lost = [0; NACKS_PER_PACKET_MAX];
                    let count = run.missing.take_due(now, retry, &mut lost);
                    if count > 0 {
                        lead(peer, writer);
                        writer.nack(sender, run.ssrc, &lost[..count]);
                        nacks += count as u64;
                    }
                    let is_flowing = now < run.silent_at();
                    let request = is_flowing.then(|| encoding.keyframes.take_due(now)).flatten();
                    if let Some(sequence_number) = request {
                        lead(peer, writer);
                        request_keyframe(run, sender, sequence_number, writer);
                        keyframes += 1;
                    }
                }
            }
        });
        add(&self.counters.nacks_sent_total, nacks);
        add(&self.counters.keyframe_requests_sent_total, keyframes);
    }

    /// Transport-wide feedback: without it a browser stays at its start bitrate.
    fn send_transport_feedback(&mut self, index: PeerIndex, egress: &mut impl Egress, now: Instant) {
        for _ in 0..TWCC_PACKETS_PER_TURN_MAX {
            if self.peers[index.0].twcc_log.due_at().is_none_or(|due| due > now) {
                break;
            }
            self.send_compound(index, egress, |peer, _, writer| {
                lead(peer, writer);
                let sender = peer.rtcp_ssrc;
                peer.twcc_log.write_feedback(sender, writer, now);
            });
        }
    }

    /// Lets `write` fill one RTCP datagram, and seals and sends it unless it stays empty.
    fn send_compound(
        &mut self,
        index: PeerIndex,
        egress: &mut impl Egress,
        write: impl FnOnce(&mut Peer, &mut Tracks, &mut RtcpWriter<'_>),
    ) {
        let peer = &mut self.peers[index.0];
        let Some(path) = peer.transport.nominated() else { return };
        let out = egress.reserve();
        let mut writer = RtcpWriter::new(&mut out[..RTCP_SIZE_BYTES_MAX]);
        write(peer, &mut self.tracks, &mut writer);
        let plain_len = writer.len();
        // Nothing is sealed without keys: consent may have ended in the turn in which it is said goodbye.
        let len = if plain_len > 0 { peer.transport.seal_rtcp(out, plain_len) } else { 0 };
        if len > 0 {
            egress.commit(path, len, None);
            add(&self.counters.rtcp_sent_total, 1);
        }
    }

    /// Computes when the peer needs attention next.
    pub(super) fn renew_deadline(&mut self, index: PeerIndex, now: Instant) {
        let peer = &self.peers[index.0];
        let mut deadline = peer.transport.next_deadline();
        if peer.is_live {
            deadline = deadline.min(peer.reports_due);
            deadline =
                peer.watches.iter().filter_map(|watch| watch.keyframe_due).fold(deadline, Instant::min);
            for feed in &peer.feeds {
                for encoding in &self.tracks[feed.track].track.encodings {
                    let missing = encoding.run.as_ref().and_then(|run| run.missing.due_at());
                    let asked = encoding.is_flowing(now).then(|| encoding.keyframes.due_at(now));
                    let keyframe = asked.flatten();
                    let due = [missing, keyframe, peer.twcc_log.due_at()];
                    deadline = due.into_iter().flatten().fold(deadline, Instant::min);
                }
            }
        }
        self.timers.set(index, Some(deadline));
    }
}

/// A compound without `rtcp-rsize` begins with a report and a name (RFC 3550, section 6.1).
fn lead(peer: &Peer, writer: &mut RtcpWriter<'_>) {
    if writer.is_empty() && !peer.transport.description().has_reduced_size_rtcp {
        writer.receiver_report(peer.rtcp_ssrc, &[]);
        writer.sdes_cname(peer.rtcp_ssrc, peer.cname());
    }
}

fn request_keyframe(run: &Run, sender: Ssrc, sequence_number: u8, writer: &mut RtcpWriter<'_>) {
    if run.format.feedback.pli || !run.format.feedback.fir {
        writer.pli(sender, run.ssrc);
    } else {
        writer.fir(sender, run.ssrc, sequence_number);
    }
}

/// A sender report for each stream that flows: now, and the timestamp of what is captured now.
fn sender_reports(peer: &mut Peer, tracks: &Tracks, ntp: NtpTime) -> SenderReports {
    let mut reports = SenderReports::new();
    for watch in &mut peer.watches {
        let track = &tracks[watch.track].track;
        let Some(timestamp) = captured_now(&mut watch.subscription, track, ntp) else { continue };
        let sent = watch.subscription.sent;
        let info = SenderInfo {
            ntp,
            rtp_timestamp: timestamp,
            packet_count: sent.packets as u32,
            octet_count: sent.octets as u32,
        };
        let _ = reports.try_push((watch.subscription.ssrc, info));
    }
    reports
}

/// The egress timestamp of what the publisher captures at `ntp` of our clock. `None` until its own sender
/// report is known: a guess from arrivals would shift lips.
fn captured_now(subscription: &mut Subscription, track: &Track, ntp: NtpTime) -> Option<u32> {
    let encoding = subscription.current_encoding()?;
    let run = track.encodings.get(usize::from(encoding))?.run.as_ref()?;
    if !subscription.follows(Source { encoding, epoch: run.epoch }) {
        return None;
    }
    subscription.timeline.note_report(run.sender_report?);
    let captured_at = ntp.plus_seconds(-track.clock_offset_seconds?);
    subscription.timeline.at_capture(captured_at, subscription.clock_rate_hz()?)
}

fn report_blocks(peer: &Peer, tracks: &mut Tracks, now: Instant) -> ReportBlocks {
    let mut blocks = ReportBlocks::new();
    for feed in &peer.feeds {
        let encodings = &mut tracks[feed.track].track.encodings;
        for run in encodings.iter_mut().filter_map(|encoding| encoding.run.as_mut()) {
            let loss = run.arrivals.report();
            let (last_sr, delay_since_last_sr) =
                run.sender_report.map_or((0, 0), |report| report.last_and_delay(now));
            let _ = blocks.try_push(ReportBlock {
                ssrc: run.ssrc,
                fraction_lost: loss.fraction_lost,
                cumulative_lost: loss.cumulative_lost,
                highest_sequence: loss.highest_sequence,
                jitter: loss.jitter,
                last_sr,
                delay_since_last_sr,
            });
        }
    }
    blocks
}

fn media_ssrcs(peer: &Peer, tracks: &Tracks) -> ArrayVec<Ssrc, REPORT_BLOCKS_LEN_MAX> {
    let encodings = peer.feeds.iter().flat_map(|feed| &tracks[feed.track].track.encodings);
    let runs = encodings.filter_map(|encoding| encoding.run.as_ref());
    runs.map(|run| run.ssrc).take(REPORT_BLOCKS_LEN_MAX).collect()
}

/// Whether the publisher's bitrate hangs on REMB: negotiated, and no transport-wide feedback beside it.
fn feeds_want_remb(peer: &Peer) -> bool {
    let sections = &peer.transport.description().sections;
    peer.feeds.iter().map(|feed| &sections[feed.section]).any(|section| {
        section.extensions.id(ExtensionKind::TransportCc).is_none()
            && section.formats.iter().any(|format| format.feedback.remb)
    })
}
