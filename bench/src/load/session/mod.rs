//! What a client does once it has keys: SRTP both ways, transport feedback, reports, requests.
//!
//! Built on the data plane's own SRTP and wire formats, because opening a packet with str0m costs the
//! generator five times as much. It has no socket and no clock: bytes and times are arguments.
//!
//! # Invariants
//!
//! - One sequence number is sealed once, or with the same payload again: the caller counts, and never back.
//! - What does not open changes nothing and is told as [`Told::Refused`].
#![forbid(unsafe_code)]

mod feedback;
mod received;
mod sending;

use std::time::{Duration, Instant};

use dataplane::counters::DropReason;
use dataplane::id::{PayloadType, Ssrc};
use dataplane::limits::REPORT_BLOCKS_LEN_MAX;
use dataplane::time::NtpTime;
use dataplane::transport::srtp::SrtpKeys;
use dataplane::wire::extension::Elements;
use dataplane::wire::rtcp::{self, NackEntries, ReportBlock, RtcpPacket, RtcpWriter};
use dataplane::wire::rtp::RtpHeader;

use feedback::FeedbackLog;
use received::Received;
pub(crate) use sending::{EncodingTerms, Media};
use sending::{Sending, Way};

/// Time between two transport feedback packets, as in libwebrtc.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);
/// Time between two sender or receiver reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Clients start their feedback at this many different times, so that they do not speak in chorus.
const PHASES: u32 = 50;
/// Larger than any datagram of the load.
pub(crate) const DATAGRAM_SIZE_BYTES_MAX: usize = 1500;
/// SRTCP index and the longest tag.
const SRTCP_GROWTH_MAX: usize = 20;
/// The number of the original in front of what is sent again (RFC 4588, section 4).
const ORIGINAL_NUMBER_LEN: usize = 2;
/// Streams that one client receives.
const STREAMS_MAX: usize = 64;

/// What was negotiated for a client.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Ours, of the reports about what is received.
    pub(crate) ssrc: Ssrc,
    /// Header extensions of all sections.
    pub(crate) extensions: Extensions,
    /// Payload types that may come.
    pub(crate) formats: Vec<Format>,
    /// The streams of what is sent again, each with the stream that it repairs.
    pub(crate) repairs: Vec<(Ssrc, Ssrc)>,
    /// What is sent, if anything.
    pub(crate) encodings: Vec<EncodingTerms>,
}

/// The ids of header extensions, where they were negotiated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extensions {
    /// Media identification (RFC 8843).
    pub(crate) mid: Option<u8>,
    /// Which encoding of several (RFC 8852).
    pub(crate) rid: Option<u8>,
    /// The encoding that is repaired.
    pub(crate) repaired_rid: Option<u8>,
    /// The transport-wide sequence number.
    pub(crate) transport_cc: Option<u8>,
    /// Loudness (RFC 6464).
    pub(crate) audio_level: Option<u8>,
}

/// A payload type and what it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Of the media.
    pub(crate) payload_type: PayloadType,
    /// Of what is sent again.
    pub(crate) rtx: Option<PayloadType>,
    /// Ticks of the RTP timestamp per second.
    pub(crate) clock_rate: u32,
    /// Whether lost packets are asked for.
    pub(crate) is_repaired: bool,
}

/// What a client tells its owner.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    /// A media packet.
    Payload(Arrival<'a>),
    /// The server wants a keyframe of this stream of ours.
    KeyframeWanted(Ssrc),
    /// The server asks for packets of this stream of ours again.
    PacketsWanted(Ssrc, NackEntries<'a>),
    /// A packet did not open.
    Refused,
}

/// A media packet that a client got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// The stream that it belongs to.
    pub(crate) stream: Ssrc,
    /// When the kernel received it, ns since 1970.
    pub(crate) received_ns: u64,
    /// Whether it was sent again because it was asked for.
    pub(crate) is_repair: bool,
    /// What it carries.
    pub(crate) payload: &'a [u8],
}

/// The SRTP side of one client.
#[derive(Debug)]
pub(crate) struct Session {
    keys: SrtpKeys,
    terms: Terms,
    next_feedback: Instant,
    next_report: Instant,
    /// The earliest request for lost packets or keyframes.
    next_request: Option<Instant>,
    transport_number: u16,
    sending: Vec<Sending>,
    received: Vec<Received>,
    keyframes_wanted: Vec<Ssrc>,
    feedback: FeedbackLog,
    plain: Box<[u8; DATAGRAM_SIZE_BYTES_MAX]>,
}

impl Session {
    /// Starts with fresh keys.
    pub(crate) fn new(keys: SrtpKeys, terms: Terms, now: Instant) -> Self {
        let phase = FEEDBACK_INTERVAL * (terms.ssrc.0 % PHASES) / PHASES;
        Self {
            keys,
            next_feedback: now + phase,
            next_report: now + phase * (REPORT_INTERVAL.as_millis() / FEEDBACK_INTERVAL.as_millis()) as u32,
            next_request: None,
            transport_number: 0,
            sending: terms.encodings.iter().cloned().map(Sending::new).collect(),
            terms,
            received: Vec::new(),
            keyframes_wanted: Vec::new(),
            feedback: FeedbackLog::default(),
            plain: Box::new([0; DATAGRAM_SIZE_BYTES_MAX]),
        }
    }

    /// What is sent, in the order of [`Terms::encodings`].
    pub(crate) fn encodings(&self) -> impl Iterator<Item = &EncodingTerms> {
        self.sending.iter().map(|sending| &sending.terms)
    }

    /// Opens an SRTP packet.
    pub(crate) fn handle_rtp(
        &mut self,
        packet: &[u8],
        received_ns: u64,
        now: Instant,
        tell: &mut impl FnMut(Told<'_>),
    ) {
        let Ok(header) = RtpHeader::parse(packet) else { return tell(Told::Refused) };
        let number = header.sequence_number;
        let plain = self.plain.as_mut_slice();
        let len = match self.keys.opener.open_rtp(packet, header.len, header.ssrc, number, plain) {
            Ok(opened) => opened.payload_len,
            // A server without RTX sends a packet again under its own number, and may do so twice.
            Err(DropReason::Replayed) => return,
            Err(_) => return tell(Told::Refused),
        };
        self.note_transport_number(&header, packet, received_ns);
        // Padding is fed back, and no part of the stream.
        if header.has_padding {
            return;
        }
        if let Some((stream, is_repair, start)) = self.place(&header, len, received_ns, now) {
            let payload = &self.plain[start..len];
            tell(Told::Payload(Arrival { stream, received_ns, is_repair, payload }));
        }
    }

    /// The stream of a packet, whether it is a repair, and where its payload begins. `None` of what was there.
    fn place(
        &mut self,
        header: &RtpHeader,
        len: usize,
        received_ns: u64,
        now: Instant,
    ) -> Option<(Ssrc, bool, usize)> {
        let format = |format: &&Format| format.payload_type == header.payload_type;
        if let Some(format) = self.terms.formats.iter().find(format) {
            let at = match self.received.iter().position(|stream| stream.ssrc == header.ssrc) {
                Some(at) => at,
                None if self.received.len() < STREAMS_MAX => {
                    self.received.push(Received::new(header.ssrc, format.clock_rate, format.is_repaired));
                    self.received.len() - 1
                }
                None => return None,
            };
            let stream = &mut self.received[at];
            let is_new = stream.count(header.sequence_number, header.timestamp, received_ns, now);
            if let Some(at) = stream.deadline() {
                self.next_request = Some(self.next_request.map_or(at, |before| before.min(at)));
            }
            return is_new.then_some((header.ssrc, false, 0));
        }
        let is_rtx = self.terms.formats.iter().any(|format| format.rtx == Some(header.payload_type));
        if !is_rtx || len < ORIGINAL_NUMBER_LEN {
            return None;
        }
        let original = u16::from_be_bytes([self.plain[0], self.plain[1]]);
        let repaired = self.terms.repairs.iter().find(|(rtx, _)| *rtx == header.ssrc).map(|pair| pair.1);
        let stream = self.received.iter_mut().find(|stream| match repaired {
            Some(ssrc) => stream.ssrc == ssrc,
            None => stream.is_missing(original),
        })?;
        stream.repair(original).then_some((stream.ssrc, true, ORIGINAL_NUMBER_LEN))
    }

    fn note_transport_number(&mut self, header: &RtpHeader, packet: &[u8], received_ns: u64) {
        let id = self.terms.extensions.transport_cc;
        let Some((id, (profile, range))) = id.zip(header.extension.clone()) else { return };
        let element = Elements::new(profile, &packet[range]).find(|element| element.0 == id);
        if let Some((_, [high, low])) = element {
            self.feedback.note(u16::from_be_bytes([*high, *low]), received_ns);
        }
    }

    /// Opens an SRTCP packet.
    pub(crate) fn handle_rtcp(&mut self, packet: &[u8], now: Instant, tell: &mut impl FnMut(Told<'_>)) {
        let Ok(len) = self.keys.opener.open_rtcp(packet, self.plain.as_mut_slice()) else {
            return tell(Told::Refused);
        };
        let Ok(packets) = rtcp::packets(&self.plain[..len]) else { return tell(Told::Refused) };
        for packet in packets {
            match packet {
                RtcpPacket::Pli { media, .. } => tell(Told::KeyframeWanted(media)),
                RtcpPacket::Fir(entries) => {
                    entries.for_each(|(media, _)| tell(Told::KeyframeWanted(media)));
                }
                RtcpPacket::Nack { media, entries } => tell(Told::PacketsWanted(media, entries)),
                RtcpPacket::SenderReport { ssrc, info, .. } => {
                    let stream = self.received.iter_mut().find(|stream| stream.ssrc == ssrc);
                    stream.into_iter().for_each(|stream| stream.note_sender_report(info.ntp, now));
                }
                _ => {}
            }
        }
    }

    /// Seals one packet of encoding `encoding` into `out` and returns its length.
    pub(crate) fn seal(
        &mut self,
        out: &mut [u8; DATAGRAM_SIZE_BYTES_MAX],
        encoding: usize,
        media: &Media<'_>,
    ) -> usize {
        self.seal_as(out, encoding, media, Way::First)
    }

    /// Seals a packet again that was asked for.
    pub(crate) fn seal_again(
        &mut self,
        out: &mut [u8; DATAGRAM_SIZE_BYTES_MAX],
        encoding: usize,
        media: &Media<'_>,
    ) -> usize {
        self.seal_as(out, encoding, media, Way::Again)
    }

    fn seal_as(
        &mut self,
        out: &mut [u8; DATAGRAM_SIZE_BYTES_MAX],
        encoding: usize,
        media: &Media<'_>,
        way: Way,
    ) -> usize {
        let Self { terms, sending, keys, transport_number, .. } = self;
        let sending = &mut sending[encoding];
        let written = sending.write_header(out, &terms.extensions, *transport_number, media, way);
        *transport_number = transport_number.wrapping_add(1);
        let (header_len, ssrc, index) = (written.header_len, written.ssrc, written.index);
        match written.original {
            None => keys.sealer.seal_rtp_from(out, header_len, media.payload, ssrc, index),
            Some(original) => {
                let plain_len = ORIGINAL_NUMBER_LEN + media.payload.len();
                let plain = &mut out[header_len..header_len + plain_len];
                plain[..ORIGINAL_NUMBER_LEN].copy_from_slice(&original.to_be_bytes());
                plain[ORIGINAL_NUMBER_LEN..].copy_from_slice(media.payload);
                keys.sealer.seal_rtp(out, header_len, plain_len, ssrc, index)
            }
        }
    }

    /// Asks the server for a keyframe of a stream, with the next [`Session::poll_rtcp`].
    pub(crate) fn want_keyframe(&mut self, stream: Ssrc, now: Instant) {
        if !self.keyframes_wanted.contains(&stream) {
            self.keyframes_wanted.push(stream);
        }
        self.next_request = Some(now);
    }

    /// Packets that the numbers of all streams promise, and packets that came.
    pub(crate) fn expected_and_received(&self) -> (u64, u64) {
        let each = self.received.iter().map(Received::expected_and_received);
        each.fold((0, 0), |sum, stream| (sum.0 + stream.0, sum.1 + stream.1))
    }

    /// When [`Session::poll_rtcp`] has something to send.
    pub(crate) fn deadline(&self) -> Instant {
        let mut deadline = self.next_request.map_or(self.next_report, |at| at.min(self.next_report));
        if !self.feedback.is_empty() {
            deadline = deadline.min(self.next_feedback);
        }
        deadline
    }

    /// Seals the next RTCP packet that is due; the length of it, `None` if none is. To be called until then.
    pub(crate) fn poll_rtcp(
        &mut self,
        out: &mut [u8; DATAGRAM_SIZE_BYTES_MAX],
        now: Instant,
        ntp_now: NtpTime,
    ) -> Option<usize> {
        while self.deadline() <= now {
            let mut writer = RtcpWriter::new(&mut out[..DATAGRAM_SIZE_BYTES_MAX - SRTCP_GROWTH_MAX]);
            if self.next_report <= now {
                self.next_report = now + REPORT_INTERVAL;
                self.write_report(&mut writer, now, ntp_now);
            } else if self.next_request.is_some_and(|at| at <= now) {
                self.write_requests(&mut writer, now);
            } else {
                self.next_feedback = (self.next_feedback + FEEDBACK_INTERVAL).max(now);
                let media = self.received.first().map_or(Ssrc(0), |stream| stream.ssrc);
                self.feedback.write(&mut writer, self.terms.ssrc, media);
            }
            let len = writer.len();
            if len > 0 {
                return Some(self.keys.sealer.seal_rtcp(out, len));
            }
        }
        None
    }

    fn write_requests(&mut self, writer: &mut RtcpWriter<'_>, now: Instant) {
        for stream in self.keyframes_wanted.drain(..) {
            writer.pli(self.terms.ssrc, stream);
        }
        let mut numbers = Vec::new();
        for stream in &mut self.received {
            numbers.clear();
            stream.requests(now, &mut numbers);
            writer.nack(self.terms.ssrc, stream.ssrc, &numbers);
        }
        self.next_request = self.received.iter().filter_map(Received::deadline).min();
    }

    /// Sender reports, a receiver report, or nothing, by what has flowed.
    fn write_report(&mut self, writer: &mut RtcpWriter<'_>, now: Instant, ntp_now: NtpTime) {
        let mut blocks: Vec<ReportBlock> =
            self.received.iter_mut().map(|received| received.report(now)).collect();
        blocks.truncate(REPORT_BLOCKS_LEN_MAX);
        let mut has_sent = false;
        for sending in &self.sending {
            if let Some(info) = sending.sender_info(ntp_now) {
                writer.sender_report(sending.terms.ssrc, &info, if has_sent { &[] } else { &blocks });
                has_sent = true;
            }
        }
        if has_sent {
            writer.sdes_cname(self.terms.ssrc, "bench");
        } else if !blocks.is_empty() {
            writer.receiver_report(self.terms.ssrc, &blocks);
        }
    }
}

#[cfg(test)]
mod tests;
