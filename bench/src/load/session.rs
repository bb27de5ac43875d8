//! What a client does once it has keys: SRTP both ways, transport feedback, reports.
//!
//! Built on the data plane's own SRTP and wire formats, because opening a packet with str0m costs the
//! generator five times as much. It has no socket and no clock: bytes and times are arguments.
//!
//! # Invariants
//!
//! - One sequence number is sealed once: the caller counts, and never back.
//! - What does not open changes nothing and is told as [`Told::Refused`].
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use dataplane::id::{PayloadType, Ssrc};
use dataplane::time::NtpTime;
use dataplane::transport::srtp::SrtpKeys;
use dataplane::wire::extension::{Elements, ExtensionWriter, Form};
use dataplane::wire::rtcp::{self, ReportBlock, RtcpPacket, RtcpWriter, SenderInfo};
use dataplane::wire::rtp::{self, RtpHeader};
use dataplane::wire::serial::Unwrapper;
use dataplane::wire::twcc::Feedback;

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

/// What was negotiated.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Of the media.
    pub(crate) payload_type: PayloadType,
    /// The id of the transport-wide sequence number, if negotiated.
    pub(crate) transport_cc_id: Option<u8>,
    /// The id and value of the media identification, if negotiated.
    pub(crate) mid: Option<(u8, String)>,
    /// Ours: of the media that is sent, or of the reports about what is received.
    pub(crate) ssrc: Ssrc,
}

/// What a client tells its owner.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    /// The payload of a media packet, and when the kernel received it, ns since 1970.
    Payload { bytes: &'a [u8], received_ns: u64 },
    /// The server wants a keyframe.
    KeyframeWanted,
    /// The server asks for this many packets again.
    PacketsWanted(usize),
    /// A packet did not open.
    Refused,
}

/// The SRTP side of one client.
#[derive(Debug)]
pub(crate) struct Session {
    keys: SrtpKeys,
    terms: Terms,
    next_feedback: Instant,
    next_report: Instant,
    sent: SentSoFar,
    received: Option<ReceivedSoFar>,
    feedback: FeedbackLog,
    plain: Box<[u8; DATAGRAM_SIZE_BYTES_MAX]>,
}

#[derive(Debug, Default)]
struct SentSoFar {
    transport_sequence_number: u16,
    packets: u32,
    bytes: u32,
    timestamp: u32,
}

/// Of the media stream that is received (RFC 3550, appendix A.3).
#[derive(Debug)]
struct ReceivedSoFar {
    ssrc: Ssrc,
    sequence: Unwrapper,
    first: u64,
    packets: u64,
    /// Expected and received at the last report.
    at_report: (u64, u64),
    /// The last sender report, and when it came.
    sender_report: Option<(NtpTime, Instant)>,
}

/// Arrivals that have not been fed back yet.
#[derive(Debug, Default)]
struct FeedbackLog {
    sequence: Unwrapper,
    arrivals: Vec<(u64, Duration)>,
    base: Option<u64>,
    count: u8,
}

impl Session {
    /// Starts with fresh keys.
    pub(crate) fn new(keys: SrtpKeys, terms: Terms, now: Instant) -> Self {
        let phase = FEEDBACK_INTERVAL * (terms.ssrc.0 % PHASES) / PHASES;
        Self {
            keys,
            next_feedback: now + phase,
            next_report: now + phase * (REPORT_INTERVAL.as_millis() / FEEDBACK_INTERVAL.as_millis()) as u32,
            terms,
            sent: SentSoFar::default(),
            received: None,
            feedback: FeedbackLog::default(),
            plain: Box::new([0; DATAGRAM_SIZE_BYTES_MAX]),
        }
    }

    /// Opens an SRTP packet.
    pub(crate) fn handle_rtp(&mut self, packet: &[u8], received_ns: u64, tell: &mut impl FnMut(Told<'_>)) {
        let Ok(header) = RtpHeader::parse(packet) else { return tell(Told::Refused) };
        let number = header.sequence_number;
        let opened =
            self.keys.opener.open_rtp(packet, header.len, header.ssrc, number, self.plain.as_mut_slice());
        let Ok(opened) = opened else { return tell(Told::Refused) };
        self.log_arrival(&header, packet, received_ns);
        // What else comes is retransmission or padding: fed back, but not part of the stream.
        if header.payload_type == self.terms.payload_type && !header.has_padding {
            self.received.get_or_insert_with(|| ReceivedSoFar::new(header.ssrc)).count(number);
            tell(Told::Payload { bytes: &self.plain[..opened.payload_len], received_ns });
        }
    }

    fn log_arrival(&mut self, header: &RtpHeader, packet: &[u8], received_ns: u64) {
        let Some((id, (profile, range))) = self.terms.transport_cc_id.zip(header.extension.clone()) else {
            return;
        };
        let element = Elements::new(profile, &packet[range]).find(|element| element.0 == id);
        if let Some((_, [high, low])) = element {
            let number = self.feedback.sequence.extend(u16::from_be_bytes([*high, *low]));
            self.feedback.arrivals.push((number, Duration::from_nanos(received_ns)));
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
                RtcpPacket::Pli { .. } | RtcpPacket::Fir(_) => tell(Told::KeyframeWanted),
                RtcpPacket::Nack { entries, .. } => tell(Told::PacketsWanted(entries.count())),
                RtcpPacket::SenderReport { ssrc, info, .. } => {
                    if let Some(received) = self.received.as_mut().filter(|received| received.ssrc == ssrc) {
                        received.sender_report = Some((info.ntp, now));
                    }
                }
                _ => {}
            }
        }
    }

    /// Seals one media packet into `out` and returns its length. `index` is its sequence number, extended.
    pub(crate) fn seal(
        &mut self,
        out: &mut [u8; DATAGRAM_SIZE_BYTES_MAX],
        index: u64,
        timestamp: u32,
        is_marked: bool,
        payload: &[u8],
    ) -> usize {
        let Self { terms, sent, keys, .. } = self;
        let mut header_len =
            rtp::write_header(out, is_marked, terms.payload_type, index as u16, timestamp, terms.ssrc);
        let mut extensions = ExtensionWriter::new(&mut out[header_len..], Form::OneByte);
        if let Some((id, mid)) = &terms.mid {
            extensions.push(*id, mid.as_bytes());
        }
        if let Some(id) = terms.transport_cc_id {
            extensions.push(id, &sent.transport_sequence_number.to_be_bytes());
        }
        let extensions_len = extensions.finish();
        if extensions_len > 0 {
            rtp::set_extension_bit(out);
            header_len += extensions_len;
        }
        sent.transport_sequence_number = sent.transport_sequence_number.wrapping_add(1);
        sent.packets = sent.packets.wrapping_add(1);
        sent.bytes = sent.bytes.wrapping_add(payload.len() as u32);
        sent.timestamp = timestamp;
        keys.sealer.seal_rtp_from(out, header_len, payload, terms.ssrc, index)
    }

    /// When [`Session::poll_rtcp`] has something to send.
    pub(crate) fn deadline(&self) -> Instant {
        match self.feedback.arrivals.is_empty() {
            true => self.next_report,
            false => self.next_report.min(self.next_feedback),
        }
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
            } else {
                self.next_feedback = (self.next_feedback + FEEDBACK_INTERVAL).max(now);
                let media = self.received.as_ref().map_or(Ssrc(0), |received| received.ssrc);
                self.feedback.write(&mut writer, self.terms.ssrc, media);
            }
            let len = writer.len();
            if len > 0 {
                return Some(self.keys.sealer.seal_rtcp(out, len));
            }
        }
        None
    }

    /// A sender report, a receiver report, or nothing, by what has flowed.
    fn write_report(&mut self, writer: &mut RtcpWriter<'_>, now: Instant, ntp_now: NtpTime) {
        let ssrc = self.terms.ssrc;
        let blocks: Vec<ReportBlock> =
            self.received.iter_mut().map(|received| received.report(now)).collect();
        if self.sent.packets > 0 {
            let info = SenderInfo {
                ntp: ntp_now,
                rtp_timestamp: self.sent.timestamp,
                packet_count: self.sent.packets,
                octet_count: self.sent.bytes,
            };
            writer.sender_report(ssrc, &info, &blocks);
            writer.sdes_cname(ssrc, "bench");
        } else if !blocks.is_empty() {
            writer.receiver_report(ssrc, &blocks);
        }
    }
}

impl ReceivedSoFar {
    fn new(ssrc: Ssrc) -> Self {
        Self {
            ssrc,
            sequence: Unwrapper::default(),
            first: 0,
            packets: 0,
            at_report: (0, 0),
            sender_report: None,
        }
    }

    fn count(&mut self, number: u16) {
        let extended = self.sequence.extend(number);
        if self.packets == 0 {
            self.first = extended;
        }
        self.packets += 1;
    }

    /// Jitter is left 0: nothing that is measured here looks at it.
    fn report(&mut self, now: Instant) -> ReportBlock {
        let highest = self.sequence.highest().unwrap_or(self.first);
        let expected = highest - self.first.min(highest) + 1;
        let (expected_before, packets_before) = self.at_report;
        self.at_report = (expected, self.packets);
        let expected_since = expected - expected_before;
        let lost_since = expected_since.saturating_sub(self.packets - packets_before);
        let (last_sr, delay) = match self.sender_report {
            Some((ntp, at)) => (ntp.middle(), now.saturating_duration_since(at)),
            None => (0, Duration::ZERO),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: (lost_since * 256)
                .checked_div(expected_since)
                .map_or(0, |share| share.min(255) as u8),
            cumulative_lost: expected.saturating_sub(self.packets) as i32,
            // The unwrapper starts one cycle up.
            highest_sequence: (highest - (1 << 16)) as u32,
            jitter: 0,
            last_sr,
            delay_since_last_sr: (delay.as_micros() * 65_536 / 1_000_000) as u32,
        }
    }
}

impl FeedbackLog {
    fn write(&mut self, writer: &mut RtcpWriter<'_>, sender: Ssrc, media: Ssrc) {
        self.arrivals.sort_unstable_by_key(|arrival| arrival.0);
        let base = self.base.or(self.arrivals.first().map(|first| first.0)).unwrap_or(0);
        if let Some(feedback) = Feedback::new(base, self.count, &self.arrivals) {
            writer.transport_feedback(sender, media, &feedback);
            self.count = self.count.wrapping_add(1);
            self.base = Some(feedback.next_base());
            self.arrivals.drain(..feedback.consumed());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dataplane::transport::srtp::SrtpProfile;

    use super::*;

    /// A client of each side of one handshake.
    fn pair(now: Instant) -> (Session, Session) {
        let profile = SrtpProfile::AeadAes128Gcm;
        let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
        let session = |is_client, ssrc| {
            let terms = Terms {
                payload_type: PayloadType(96),
                transport_cc_id: Some(3),
                mid: Some((4, "0".to_owned())),
                ssrc: Ssrc(ssrc),
            };
            Session::new(SrtpKeys::derive(profile, &material, is_client).unwrap(), terms, now)
        };
        (session(true, 100), session(false, 200))
    }

    fn rtcp_of(session: &mut Session, now: Instant) -> Vec<Vec<u8>> {
        let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
        let ntp = NtpTime::from_unix(Duration::from_secs(1_000_000));
        std::iter::from_fn(|| session.poll_rtcp(&mut out, now, ntp).map(|len| out[..len].to_vec())).collect()
    }

    #[test]
    fn what_is_sealed_opens_and_is_fed_back_every_50_ms_and_reported_every_second() {
        let start = Instant::now();
        let (mut publisher, mut subscriber) = pair(start);
        let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
        let (mut payloads, mut feedback, mut reports) = (0, 0, 0);
        // The first number wraps soon after.
        for number in 65_500..65_500 + 400u64 {
            let now = start + Duration::from_millis(5 * (number - 65_500));
            let len = publisher.seal(&mut out, number, 0, false, &[7; 1000]);
            subscriber.handle_rtp(&out[..len], 1_000_000_000 + 5_000_000 * number, &mut |told| match told {
                Told::Payload { bytes, .. } => payloads += usize::from(bytes == [7; 1000]),
                other => panic!("{other:?}"),
            });
            for packet in rtcp_of(&mut subscriber, now) {
                let mut plain = [0; DATAGRAM_SIZE_BYTES_MAX];
                let len = publisher.keys.opener.open_rtcp(&packet, &mut plain).unwrap();
                for packet in rtcp::packets(&plain[..len]).unwrap() {
                    match packet {
                        RtcpPacket::TransportFeedback(_) => feedback += 1,
                        RtcpPacket::ReceiverReport { mut blocks, .. } => {
                            reports += 1;
                            let block = blocks.next().unwrap();
                            assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 0));
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        assert_eq!(payloads, 400);
        assert!((38..=41).contains(&feedback), "{feedback} in 2 s");
        assert!((1..=3).contains(&reports), "{reports} in 2 s");
    }

    #[test]
    fn a_keyframe_request_is_heard_and_a_forged_packet_is_refused() {
        let now = Instant::now();
        let (mut publisher, mut server) = pair(now);
        let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
        let mut writer = RtcpWriter::new(&mut out);
        assert!(writer.pli(Ssrc(1), Ssrc(100)));
        let len = writer.len();
        let len = server.keys.sealer.seal_rtcp(&mut out, len);
        let mut told = Vec::new();
        publisher.handle_rtcp(&out[..len], now, &mut |what| told.push(format!("{what:?}")));
        out[len - 1] ^= 1;
        publisher.handle_rtcp(&out[..len], now, &mut |what| told.push(format!("{what:?}")));
        publisher.handle_rtp(&[0x80; 40], 0, &mut |what| told.push(format!("{what:?}")));
        assert_eq!(told, ["KeyframeWanted", "Refused", "Refused"]);
    }

    #[test]
    fn a_gap_is_reported_as_lost() {
        let start = Instant::now();
        let (mut publisher, mut subscriber) = pair(start);
        let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
        for number in [1, 2, 4] {
            let len = publisher.seal(&mut out, number, 0, false, &[1]);
            subscriber.handle_rtp(&out[..len], 0, &mut |_| {});
        }
        let block = subscriber.received.as_mut().unwrap().report(start);
        assert_eq!((block.fraction_lost, block.cumulative_lost, block.highest_sequence), (64, 1, 4));
    }
}
