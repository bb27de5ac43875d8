//! A client for the replay world: no encryption, no chance but the seed's, so that equal seeds give equal
//! traces.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dataplane::id::{Mid, PayloadType, Rid, Ssrc, Token};
use dataplane::media::format::{Codec, ExtensionIds, ExtensionKind, Feedback, Format, MediaKind, Profile};
use dataplane::time::NtpTime;
use dataplane::transport::Transport;
use dataplane::transport::description::{Description, Section, SectionRole};
use dataplane::wire::extension::{ExtensionWriter, Form};
use dataplane::wire::rtcp::{RtcpPacket, RtcpWriter, SenderInfo, packets};
use dataplane::wire::rtp::{FIXED_HEADER_LEN, RtpHeader, set_extension_bit, write_header};
use is::stun::{StunMessage, TransId};

use crate::frames::{self, PACKETS_PER_FRAME};
use crate::world::Client;

const PASSWORD: &str = "replay-password-of-24-chars";
const MEDIA: PayloadType = PayloadType(96);
const RTX: PayloadType = PayloadType(97);
const STUN_INTERVAL: Duration = Duration::from_millis(500);
const NACK_INTERVAL: Duration = Duration::from_millis(40);

/// One encoding that a replay publisher sends.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Its RID; also the low byte of its SSRC.
    pub rid: &'static str,
    /// Its picture size.
    pub size: (u16, u16),
}

/// A client without encryption: a publisher if it has encodings, else a subscriber.
#[derive(Debug)]
pub struct ReplayClient {
    address: SocketAddr,
    ufrag: String,
    encodings: Vec<Sending>,
    transmits: VecDeque<Vec<u8>>,
    next_stun: Instant,
    next_nack: Instant,
    stuns: u8,
    /// What arrived: sequence number, timestamp, payload.
    pub received: Vec<(u16, u32, Vec<u8>)>,
    /// RTP packets that arrived, whole.
    pub packets: Vec<Vec<u8>>,
    /// Sequence numbers that it was asked to send again.
    pub asked_for: Vec<u16>,
    missing: BTreeSet<u16>,
    highest: Option<u16>,
    media_ssrc: Option<Ssrc>,
    /// Keyframes that were asked for.
    pub keyframe_requests: u32,
    /// SSRCs that were said goodbye to.
    pub farewells: Vec<Ssrc>,
    /// Sender reports that arrived: wall-clock time and RTP timestamp.
    pub sender_reports: Vec<(NtpTime, u32)>,
}

#[derive(Debug)]
struct Sending {
    encoding: Encoding,
    ssrc: Ssrc,
    number: u16,
    picture: u16,
    timestamp: u32,
    wants_keyframe: bool,
    sent: VecDeque<(u16, Vec<u8>)>,
}

impl ReplayClient {
    /// A client named `index` and its transport.
    pub fn new(
        index: usize,
        address: SocketAddr,
        encodings: &[Encoding],
        now: Instant,
    ) -> (Self, Box<Transport>) {
        let ufrag = format!("replay{index:02}");
        let description = description(index, encodings);
        let transport = Box::new(Transport::replay(description, &ufrag, PASSWORD, now));
        let sending = |(at, encoding): (usize, &Encoding)| Sending {
            encoding: *encoding,
            ssrc: Ssrc(0x1000_0000 + (index as u32) * 256 + at as u32),
            number: 65_000 + at as u16,
            picture: 50 * at as u16,
            timestamp: 1_000_000 * at as u32,
            wants_keyframe: true,
            sent: VecDeque::new(),
        };
        let client = Self {
            address,
            ufrag,
            encodings: encodings.iter().enumerate().map(sending).collect(),
            transmits: VecDeque::new(),
            next_stun: now,
            next_nack: now,
            stuns: 0,
            received: Vec::new(),
            packets: Vec::new(),
            asked_for: Vec::new(),
            missing: BTreeSet::new(),
            highest: None,
            media_ssrc: None,
            keyframe_requests: 0,
            farewells: Vec::new(),
            sender_reports: Vec::new(),
        };
        (client, transport)
    }

    /// A client named `index` for which `description` was negotiated, and its transport. What it sends is
    /// written by the test.
    pub fn with_description(
        index: usize,
        address: SocketAddr,
        description: Description,
        now: Instant,
    ) -> (Self, Box<Transport>) {
        let (client, _) = Self::new(index, address, &[], now);
        let transport = Box::new(Transport::replay(description, &client.ufrag, PASSWORD, now));
        (client, transport)
    }

    /// Sends a datagram as it is.
    pub fn send(&mut self, bytes: Vec<u8>) {
        self.transmits.push_back(bytes);
    }

    /// Publishes one frame of each of the first `count` encodings.
    pub fn send_frame(&mut self, count: usize) {
        for sending in self.encodings.iter_mut().take(count) {
            let size = std::mem::take(&mut sending.wants_keyframe).then_some(sending.encoding.size);
            for packet in 0..PACKETS_PER_FRAME {
                let counter = u32::from(sending.encoding.size.0) << 16 | u32::from(sending.number);
                let payload = frames::payload(counter, sending.picture, packet, size);
                let bytes = sending.packet(&payload, packet + 1 == PACKETS_PER_FRAME);
                sending.sent.push_back((sending.number, bytes.clone()));
                if sending.sent.len() > 512 {
                    sending.sent.pop_front();
                }
                self.transmits.push_back(bytes);
                sending.number = sending.number.wrapping_add(1);
            }
            sending.picture = sending.picture.wrapping_add(1);
            sending.timestamp = sending.timestamp.wrapping_add(3_000);
        }
    }

    /// As [`ReplayClient::send_frame`] of the first encoding; its packets arrive in `order`.
    pub fn send_frame_in_order(&mut self, order: [usize; PACKETS_PER_FRAME]) {
        let before = self.transmits.len();
        self.send_frame(1);
        let packets: Vec<Vec<u8>> = self.transmits.drain(before..).collect();
        self.transmits.extend(order.map(|at| packets[at].clone()));
    }

    /// The widths of the pictures that arrived, in order, without repeats.
    pub fn widths(&self) -> Vec<u16> {
        let width = |payload: &[u8]| frames::counter(payload).map(|counter| (counter >> 16) as u16);
        let mut widths: Vec<u16> =
            self.received.iter().filter_map(|(_, _, payload)| width(payload)).collect();
        widths.dedup();
        widths
    }

    /// Reports that the next frame of each encoding is captured at `ntp` of this client's clock.
    pub fn send_sender_reports(&mut self, ntp: NtpTime) {
        let next: Vec<(Ssrc, u32)> =
            self.encodings.iter().map(|sending| (sending.ssrc, sending.timestamp)).collect();
        for (ssrc, rtp_timestamp) in next {
            let info = SenderInfo { ntp, rtp_timestamp, packet_count: 1, octet_count: 1 };
            self.send_rtcp(|writer| {
                writer.sender_report(ssrc, &info, &[]);
            });
        }
    }

    /// The SSRC of the media that arrives.
    pub fn media_ssrc(&self) -> Option<Ssrc> {
        self.media_ssrc
    }

    /// Asks for a keyframe.
    pub fn send_pli(&mut self) {
        let Some(media) = self.media_ssrc else { return };
        self.send_rtcp(|writer| {
            writer.pli(Ssrc(1), media);
        });
    }

    fn send_rtcp(&mut self, write: impl FnOnce(&mut RtcpWriter<'_>)) {
        let mut out = [0; 1200];
        let mut writer = RtcpWriter::new(&mut out);
        write(&mut writer);
        let len = writer.len();
        self.transmits.push_back(out[..len].to_vec());
    }

    fn send_stun(&mut self) {
        self.stuns = self.stuns.wrapping_add(1);
        let username = format!("{}:peer", self.ufrag);
        let request = StunMessage::binding_request(&username, TransId::new(), true, 7, 1, true);
        let mut out = [0; 256];
        let len = request.to_bytes(Some(PASSWORD.as_bytes()), &mut out, hmac_sha1).unwrap();
        // The transaction id is the only random number of this world: make it the counter.
        out[8..20].fill(self.stuns);
        let len = resign(&mut out[..len]);
        self.transmits.push_back(out[..len].to_vec());
    }

    fn note_media(&mut self, bytes: &[u8]) {
        let Ok(header) = RtpHeader::parse(bytes) else { return };
        self.packets.push(bytes.to_vec());
        let payload = &bytes[header.len..];
        let (number, payload) = if header.payload_type == RTX {
            let Some((original, payload)) = payload.split_first_chunk::<2>() else { return };
            (u16::from_be_bytes(*original), payload)
        } else {
            self.media_ssrc = Some(header.ssrc);
            (header.sequence_number, payload)
        };
        if let Some(highest) = self.highest {
            for gap in 1..number.wrapping_sub(highest).min(0x8000) {
                self.missing.insert(highest.wrapping_add(gap));
            }
        }
        if self.highest.is_none_or(|highest| number.wrapping_sub(highest) < 0x8000) {
            self.highest = Some(number);
        }
        self.missing.remove(&number);
        self.received.push((number, header.timestamp, payload.to_vec()));
    }

    fn note_rtcp(&mut self, bytes: &[u8]) {
        for packet in packets(bytes).into_iter().flatten() {
            match packet {
                RtcpPacket::SenderReport { info, .. } => {
                    self.sender_reports.push((info.ntp, info.rtp_timestamp));
                }
                RtcpPacket::Bye(ssrcs) => self.farewells.extend(ssrcs),
                RtcpPacket::Pli { media, .. } => {
                    self.keyframe_requests += 1;
                    for sending in self.encodings.iter_mut().filter(|sending| sending.ssrc == media) {
                        sending.wants_keyframe = true;
                    }
                }
                RtcpPacket::Nack { media, entries, .. } => {
                    for number in entries {
                        self.asked_for.push(number);
                        let sending = self.encodings.iter().find(|sending| sending.ssrc == media);
                        let sent =
                            sending.and_then(|sending| sending.sent.iter().find(|sent| sent.0 == number));
                        self.transmits.extend(sent.map(|(_, bytes)| bytes.clone()));
                    }
                }
                _ => {}
            }
        }
    }
}

impl Sending {
    fn packet(&self, payload: &[u8], marker: bool) -> Vec<u8> {
        let mut out = vec![0; 1500];
        write_header(&mut out, marker, MEDIA, self.number, self.timestamp, self.ssrc);
        let mut writer = ExtensionWriter::new(&mut out[FIXED_HEADER_LEN..], Form::OneByte);
        writer.push(1, b"0");
        writer.push(2, self.encoding.rid.as_bytes());
        let len = FIXED_HEADER_LEN + writer.finish();
        set_extension_bit(&mut out);
        out.truncate(len);
        out.extend(payload);
        out
    }
}

impl Client for ReplayClient {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn receive(&mut self, _source: SocketAddr, bytes: &[u8], _now: Instant) {
        match bytes {
            [first, second, ..] if (128..192).contains(first) && (192..224).contains(second) => {
                self.note_rtcp(bytes);
            }
            [first, ..] if (128..192).contains(first) => self.note_media(bytes),
            _ => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        if now >= self.next_stun {
            self.next_stun = now + STUN_INTERVAL;
            self.send_stun();
        }
        if now >= self.next_nack {
            self.next_nack = now + NACK_INTERVAL;
            let lost: Vec<u16> = self.missing.iter().copied().take(16).collect();
            if let (Some(media), false) = (self.media_ssrc, lost.is_empty()) {
                self.send_rtcp(|writer| {
                    writer.nack(Ssrc(1), media, &lost);
                });
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        Some(self.next_stun.min(self.next_nack))
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }
}

fn description(index: usize, encodings: &[Encoding]) -> Description {
    let token = |text: &str| Token::new(text.as_bytes()).unwrap();
    let feedback = Feedback { nack: true, pli: true, ..Feedback::default() };
    let format = Format {
        codec: Codec::Vp8,
        profile: Profile::Any,
        payload_type: MEDIA,
        rtx: Some(RTX),
        red: None,
        clock_rate_hz: 90_000,
        feedback,
    };
    let mut extensions = ExtensionIds::default();
    extensions.set(ExtensionKind::Mid, 1);
    let role = if encodings.is_empty() {
        let ssrc = Ssrc(0x2000_0000 + index as u32);
        SectionRole::Egress { ssrc, rtx_ssrc: Some(Ssrc(0x3000_0000 + index as u32)) }
    } else {
        extensions.set(ExtensionKind::Rid, 2);
        let rids = encodings.iter().map(|encoding| Rid(token(encoding.rid))).collect();
        SectionRole::Ingress { rids, ssrcs: Vec::new() }
    };
    let section =
        Section { mid: Mid(token("0")), kind: MediaKind::Video, role, formats: vec![format], extensions };
    Description {
        sections: vec![section],
        cname: "replay".to_owned(),
        has_reduced_size_rtcp: true,
        allows_mixed_extensions: true,
    }
}

fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().try_into().unwrap()
}

/// Signs a binding request again after its transaction id was changed, and leaves FINGERPRINT out, which is
/// optional (RFC 8489, section 14.7). Returns the length.
fn resign(bytes: &mut [u8]) -> usize {
    const INTEGRITY_LEN: usize = 24;
    const FINGERPRINT_LEN: usize = 8;
    let len = bytes.len() - FINGERPRINT_LEN;
    bytes[2..4].copy_from_slice(&((len - 20) as u16).to_be_bytes());
    let signed = len - INTEGRITY_LEN;
    let mac = hmac_sha1(PASSWORD.as_bytes(), &[&bytes[..signed]]);
    bytes[signed + 4..len].copy_from_slice(&mac);
    len
}
