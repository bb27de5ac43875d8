//! The way of a packet from its track's cache to one subscriber: headers, payload, seal.
#![forbid(unsafe_code)]

use std::time::Instant;

use super::peer::Watch;
use super::{Engine, PeerIndex};
use crate::command::CloseReason;
use crate::counters::{DropReason, add};
use crate::id::{PayloadType, Ssrc};
use crate::media::format::ExtensionKind;
use crate::media::packet::{Carried, Packet};
use crate::media::subscription::{Outgoing, OutgoingForm};
use crate::time::NtpTime;
use crate::transport::path::Egress;
use crate::wire::extension::ExtensionWriter;
use crate::wire::rtp::{FIXED_HEADER_LEN, set_extension_bit, set_padding_bit, write_header};

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
        let ntp = self.config.wall_clock.ntp(now);
        let mut totals = Totals::default();
        for (watch, outgoing) in peer.outbox.drain(..) {
            let watch = &mut peer.watches[usize::from(watch)];
            let cache = &self.tracks[watch.track].track.cache;
            let Some((packet, payload)) = cache.get(outgoing.key) else {
                self.counters.note_drop(DropReason::TooLate);
                continue;
            };
            let Some(stream) = Stream::of(watch, &outgoing) else { continue };
            let out = egress.reserve();
            let header_len = write_head(out, watch, &stream, &outgoing, packet, peer.transport_sequence, ntp);
            let head = &packet.picture.head;
            let borrowed = outgoing.overwrite.payload.borrowed(payload, head);
            let len = match borrowed.filter(|_| outgoing.form == OutgoingForm::Media) {
                Some(plain) => peer.transport.seal_rtp_from(out, header_len, plain, stream.ssrc, stream.index),
                None => {
                    let plain_len = write_payload(out, header_len, &outgoing, packet, payload);
                    peer.transport.seal_rtp(out, header_len, plain_len, stream.ssrc, stream.index)
                }
            };
            let received_at = packet.received_at.filter(|_| outgoing.form == OutgoingForm::Media);
            egress.commit(path, len, received_at);
            peer.transport_sequence = peer.transport_sequence.wrapping_add(1);
            totals.note(outgoing.form, len);
            watch.subscription.sent.note(&outgoing, payload.len());
        }
        peer.stats.packets_sent += totals.forwarded;
        add(&self.counters.packets_forwarded_total, totals.forwarded);
        add(&self.counters.bytes_forwarded_total, totals.bytes);
        add(&self.counters.packets_retransmitted_total, totals.repeated);
    }
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
struct Stream {
    ssrc: Ssrc,
    payload_type: PayloadType,
    index: u64,
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

/// Writes the fixed header and the extensions; returns their length.
fn write_head(
    out: &mut [u8],
    watch: &Watch,
    stream: &Stream,
    outgoing: &Outgoing,
    packet: &Packet,
    transport_sequence: u16,
    ntp: NtpTime,
) -> usize {
    let marker = packet.marker && outgoing.form != OutgoingForm::Padding;
    write_header(out, marker, stream.payload_type, stream.index as u16, outgoing.timestamp, stream.ssrc);
    let mut writer = ExtensionWriter::new(&mut out[FIXED_HEADER_LEN..], watch.form);
    let ids = &watch.extensions;
    if let Some(id) = ids.id(ExtensionKind::Mid).filter(|_| !watch.subscription.is_known_to_peer) {
        writer.push(id, watch.mid.0.as_bytes());
    }
    if let Some(id) = ids.id(ExtensionKind::TransportCc) {
        writer.push(id, &transport_sequence.to_be_bytes());
    } else if let Some(id) = ids.id(ExtensionKind::AbsSendTime) {
        writer.push(id, &ntp.abs_send_time().to_be_bytes()[1..]);
    }
    write_carried(&mut writer, watch, &packet.carried);
    let extension_len = writer.finish();
    if extension_len > 0 {
        set_extension_bit(out);
    }
    FIXED_HEADER_LEN + extension_len
}

fn write_carried(writer: &mut ExtensionWriter<'_>, watch: &Watch, carried: &Carried) {
    let mut push = |kind, data: Option<&[u8]>| {
        if let (Some(id), Some(data)) = (watch.extensions.id(kind), data) {
            writer.push(id, data);
        }
    };
    push(ExtensionKind::AudioLevel, carried.audio_level.as_ref().map(std::slice::from_ref));
    push(ExtensionKind::VideoOrientation, carried.video_orientation.as_ref().map(std::slice::from_ref));
    push(ExtensionKind::PlayoutDelay, carried.playout_delay.as_ref().map(<[u8; 3]>::as_slice));
    push(ExtensionKind::AbsCaptureTime, carried.capture_time.as_ref().map(<[u8; 8]>::as_slice));
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
