//! The way of a packet from its track's cache to one subscriber: headers, payload, seal.
#![forbid(unsafe_code)]

use std::time::Instant;

use super::header::{Departure, Source, write_head};
use super::peer::Watch;
use super::{Engine, PeerIndex};
use crate::command::CloseReason;
use crate::congestion::estimator::SentKind;
use crate::counters::{DropReason, add};
use crate::id::{PayloadType, Ssrc};
use crate::media::format::ExtensionKind;
use crate::media::packet::Packet;
use crate::media::subscription::{Outgoing, OutgoingForm};
use crate::media::track::Track;
use crate::transport::path::{Egress, Path};
use crate::wire::rtp::set_padding_bit;

impl Engine {
    /// Writes everything that one peer gets in this turn.
    pub(super) fn flush(&mut self, index: PeerIndex, egress: &mut impl Egress, now: Instant) {
        if let Some(reason) = self.peers[index.0].closing {
            match reason {
                CloseReason::Requested => self.say_farewell(index, egress, now),
                // Its alert or its answer to the peer's goodbye.
                CloseReason::PeerLeft | CloseReason::HandshakeFailed => self.flush_transport(index, egress),
                // Nothing is sent to whom no consent is known (RFC 7675), or whose state is broken.
                CloseReason::ConsentExpired | CloseReason::ConnectTimedOut | CloseReason::Panicked => {}
            }
            self.peers[index.0].is_gone = true;
            return;
        }
        self.flush_transport(index, egress);
        if self.peers[index.0].is_live {
            self.send_rtcp(index, egress, now);
            self.send_outbox(index, egress, now);
        }
    }

    /// RTCP BYE and DTLS close_notify.
    fn say_farewell(&mut self, index: PeerIndex, egress: &mut impl Egress, now: Instant) {
        if self.peers[index.0].is_live {
            self.send_bye(index, egress);
        }
        self.peers[index.0].transport.close(now);
        self.flush_transport(index, egress);
    }

    /// Sends what ICE and DTLS have to say.
    fn flush_transport(&mut self, index: PeerIndex, egress: &mut impl Egress) {
        let peer = &mut self.peers[index.0];
        while let Some(transmit) = peer.transport.poll_transmit() {
            let space = egress.reserve();
            let len = transmit.bytes.len();
            match space.get_mut(..len) {
                Some(space) => {
                    space.copy_from_slice(&transmit.bytes);
                    egress.commit(transmit.path, len, None);
                }
                None => self.counters.note_drop(DropReason::BadSize),
            }
        }
        let foreign = peer.transport.take_foreign_srtcp_dropped();
        if foreign > 0 {
            self.counters.note_drops(DropReason::ForeignSrtcp, foreign);
        }
    }

    /// Seals the packets of this turn, back to back.
    fn send_outbox(&mut self, index: PeerIndex, egress: &mut impl Egress, now: Instant) {
        let peer = &mut self.peers[index.0];
        if peer.outbox.is_empty() {
            return;
        }
        let Some(path) = peer.transport.nominated() else {
            peer.outbox.clear();
            return;
        };
        if peer.sent_path.replace(path).is_some_and(|before| before != path) {
            peer.estimator.on_path_change();
        }
        let ntp = self.config.wall_clock.ntp(now);
        let mut totals = Totals::default();
        for (watch, outgoing) in peer.outbox.drain(..) {
            let watch = &mut peer.watches[usize::from(watch)];
            let track = &self.tracks[watch.track].track;
            let Some((packet, payload)) = track.cache.get(outgoing.key) else {
                self.counters.note_drop(DropReason::TooLate);
                continue;
            };
            let Some(stream) = Stream::of(watch, &outgoing) else { continue };
            let out = egress.reserve();
            let source = source_of(track, &outgoing, packet);
            let departure = Departure { transport_sequence: peer.estimator.next_number(), ntp };
            let header_len = write_head(out, watch, &stream, &outgoing, packet, &source, departure);
            let head = &packet.picture.head;
            let borrowed = outgoing.overwrite.payload.borrowed(payload, head);
            let len = match borrowed.filter(|_| outgoing.form == OutgoingForm::Media) {
                Some(plain) => {
                    peer.transport.seal_rtp_from(out, header_len, plain, stream.ssrc, stream.index)
                }
                None => {
                    let plain_len = write_payload(out, header_len, &outgoing, packet, payload);
                    peer.transport.seal_rtp(out, header_len, plain_len, stream.ssrc, stream.index)
                }
            };
            let received_at = packet.received_at.filter(|_| outgoing.form == OutgoingForm::Media);
            egress.commit(path, len, received_at);
            let sent_at = egress.sent_at().map_or(now, |sent_at| sent_at.max(now));
            let size_bytes = len + overhead_bytes(path);
            if watch.extensions.id(ExtensionKind::TransportCc).is_some() {
                peer.estimator.on_sent(size_bytes, SentKind::Media, sent_at);
            } else {
                peer.estimator.on_sent_unnumbered(size_bytes, SentKind::Media, sent_at);
            }
            totals.note(outgoing.form, len);
            watch.subscription.sent.note(&outgoing, borrowed.unwrap_or(payload).len());
        }
        peer.stats.packets_sent += totals.forwarded;
        add(&self.counters.packets_forwarded_total, totals.forwarded);
        add(&self.counters.bytes_forwarded_total, totals.bytes);
        add(&self.counters.packets_retransmitted_total, totals.repeated);
    }
}

/// Bytes of the headers around a UDP payload: IPv4 or IPv6, and UDP.
fn overhead_bytes(path: Path) -> usize {
    if path.remote.is_ipv6() { 48 } else { 28 }
}

#[derive(Debug, Default)]
struct Totals {
    forwarded: u64,
    bytes: u64,
    repeated: u64,
}

impl Totals {
    fn note(&mut self, form: OutgoingForm, len: usize) {
        match form {
            OutgoingForm::Repeat { .. } => self.repeated += 1,
            OutgoingForm::Media | OutgoingForm::Padding => {
                self.forwarded += 1;
                self.bytes += len as u64;
            }
        }
    }
}

/// The stream that a packet leaves on, and its number there.
pub(super) struct Stream {
    pub(super) ssrc: Ssrc,
    pub(super) payload_type: PayloadType,
    pub(super) index: u64,
}

impl Stream {
    fn of(watch: &Watch, outgoing: &Outgoing) -> Option<Self> {
        let (ssrc, index) = match outgoing.form {
            OutgoingForm::Media | OutgoingForm::Padding => (watch.subscription.ssrc, outgoing.number),
            OutgoingForm::Repeat { rtx_number } => (watch.subscription.rtx_ssrc?, rtx_number),
        };
        Some(Self { ssrc, payload_type: outgoing.payload_type, index })
    }
}

/// What the source of a packet adds to its header.
fn source_of<'a>(track: &'a Track, outgoing: &Outgoing, packet: &Packet) -> Source<'a> {
    let encoding = track.encodings.get(usize::from(packet.source.encoding));
    let run = encoding.and_then(|encoding| encoding.run.as_ref());
    Source {
        dependency: track.cache.dependency(outgoing.key),
        remembered: run.filter(|run| run.epoch == packet.source.epoch).map(|run| &run.remembered),
        clock_offset_seconds: track.clock_offset_seconds,
    }
}

/// Writes a payload that differs from the cached one behind the header; returns its length.
fn write_payload(
    out: &mut [u8],
    header_len: usize,
    outgoing: &Outgoing,
    packet: &Packet,
    payload: &[u8],
) -> usize {
    let mut at = header_len;
    match outgoing.form {
        OutgoingForm::Padding => {
            set_padding_bit(out);
            out[at] = 1;
            return 1;
        }
        OutgoingForm::Repeat { .. } => {
            out[at..at + 2].copy_from_slice(&(outgoing.number as u16).to_be_bytes());
            at += 2;
        }
        OutgoingForm::Media => {}
    }
    at += outgoing.overwrite.payload.write(payload, &packet.picture.head, &mut out[at..]);
    at - header_len
}
