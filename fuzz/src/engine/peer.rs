//! A peer as it negotiated, and the bytes that it sends.

use std::time::Instant;

use dataplane::id::{Mid, PayloadType, Rid, Ssrc, Token, TransportId};
use dataplane::limits::DATAGRAM_SIZE_BYTES_MAX;
use dataplane::media::format::{Codec, ExtensionIds, ExtensionKind, Feedback, Format, MediaKind, Profile};
use dataplane::time::NtpTime;
use dataplane::transport::Transport;
use dataplane::transport::description::{Description, Section, SectionRole};
use dataplane::wire::extension::{ExtensionWriter, Form};
use dataplane::wire::rtcp::{ReportBlock, RtcpWriter, SenderInfo};
use dataplane::wire::rtp::{FIXED_HEADER_LEN, set_extension_bit, set_padding_bit, write_header};
use dataplane::wire::stun::USERNAME;

use super::ledger::{Ledger, Tag};
use super::step::{Packet, Payload, Report, Shape};
use crate::wire::sign;

const PASSWORD: &str = "a password of a replayed world";
const RIDS: [&str; 3] = ["l", "m", "h"];
const VIDEO: [(Codec, u8); 4] = [(Codec::Vp8, 96), (Codec::Vp9, 98), (Codec::H264, 102), (Codec::Av1, 45)];
const OPUS: u8 = 111;
/// Its own packets that a peer remembers.
const SENT_MAX: usize = 64;
/// SSRCs of one peer: sections times encodings.
const ENCODINGS_MAX: usize = 4;

pub(super) struct Peer {
    pub(super) id: TransportId,
    pub(super) sections: Vec<Section>,
    ufrag: String,
    number: u32,
    requests: u32,
    /// Highest sequence number and newest timestamp of each encoding.
    heads: [(u16, u32); 2 * ENCODINGS_MAX],
    sent: Vec<(Vec<u8>, Tag)>,
}

impl Peer {
    /// A peer and its transport; `number` makes its names and SSRCs its own.
    pub(super) fn new(id: TransportId, number: u32, shape: Shape, now: Instant) -> (Self, Box<Transport>) {
        let ufrag = format!("{number:08}");
        let description = description(number, shape);
        let peer = Self {
            id,
            sections: description.sections.clone(),
            ufrag: ufrag.clone(),
            number,
            requests: 0,
            heads: [(65_500, 0); 2 * ENCODINGS_MAX],
            sent: Vec::new(),
        };
        (peer, Box::new(Transport::replay(description, &ufrag, PASSWORD, now)))
    }

    pub(super) fn binding_request(&mut self, nominates: bool) -> Vec<u8> {
        self.requests += 1;
        let username = format!("{}:abc", self.ufrag);
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0];
        request.extend(self.requests.to_be_bytes());
        request.extend(USERNAME.to_be_bytes());
        request.extend((username.len() as u16).to_be_bytes());
        request.extend(username.as_bytes());
        if nominates {
            request.extend([0x00, 0x25, 0, 0]);
        }
        sign(&mut request, PASSWORD);
        request
    }

    /// A packet of media that ends in `tag`; `None` if the peer publishes nothing.
    pub(super) fn media(&mut self, packet: &Packet<'_>, tag: Tag) -> Option<Vec<u8>> {
        let at = usize::from(packet.section) % self.sections.len();
        let section = &self.sections[at];
        let SectionRole::Ingress { rids, .. } = &section.role else { return None };
        let encoding = usize::from(packet.encoding) % rids.len().max(1);
        let format = section.formats[usize::from(packet.format) % section.formats.len()];
        let head = &mut self.heads[at * ENCODINGS_MAX + encoding];
        let sequence_number = head.0.wrapping_add_signed(packet.distance.into());
        if packet.distance > 0 {
            *head = (sequence_number, head.1.wrapping_add(packet.ticks.into()));
        }
        let timestamp = head.1;

        let mut out = vec![0; DATAGRAM_SIZE_BYTES_MAX];
        let ssrc = ssrc(self.number, at, encoding);
        write_header(&mut out, packet.marker, format.payload_type, sequence_number, timestamp, ssrc);
        let mut writer = ExtensionWriter::new(&mut out[FIXED_HEADER_LEN..], Form::TwoByte);
        for (bit, kind) in ExtensionKind::ALL.into_iter().enumerate() {
            let Some(id) = section.extensions.id(kind).filter(|_| packet.extensions >> bit & 1 == 1) else {
                continue;
            };
            let number = sequence_number.to_be_bytes();
            let _ = match kind {
                ExtensionKind::Mid => writer.push(id, section.mid.0.as_bytes()),
                ExtensionKind::Rid => writer.push(id, RIDS[encoding % RIDS.len()].as_bytes()),
                ExtensionKind::TransportCc => writer.push(id, &number),
                ExtensionKind::AbsSendTime | ExtensionKind::PlayoutDelay => writer.push(id, &[1, 2, 3]),
                ExtensionKind::AudioLevel | ExtensionKind::VideoOrientation => writer.push(id, &[1]),
                ExtensionKind::AbsCaptureTime => writer.push(id, &[7; 8]),
                _ => writer.push(id, &number),
            };
        }
        let extensions_len = writer.finish();
        if extensions_len > 0 {
            set_extension_bit(&mut out);
        }
        out.truncate(FIXED_HEADER_LEN + extensions_len);
        write_payload(&mut out, &packet.payload, tag);
        if packet.padding > 0 {
            set_padding_bit(&mut out);
            out.resize(out.len() + usize::from(packet.padding), packet.padding);
        }
        self.sent.push((out.clone(), tag));
        if self.sent.len() > SENT_MAX {
            self.sent.remove(0);
        }
        Some(out)
    }

    /// The packet that was sent `back` packets ago, as it was or over RTX (RFC 4588).
    pub(super) fn again(&self, back: usize, over_rtx: bool) -> Option<(Vec<u8>, Tag)> {
        let (bytes, tag) = self.sent.get(self.sent.len().checked_sub(1 + back)?)?;
        let mut bytes = bytes.clone();
        if over_rtx {
            let header = dataplane::wire::rtp::RtpHeader::parse(&bytes).ok()?;
            let original = [bytes[2], bytes[3]];
            bytes.splice(header.len..header.len, original);
            // The number of RTX is its own; its payload type and SSRC stand next to those of the media.
            bytes[1] = (bytes[1] & 0x80) | (header.payload_type.0 + 1);
            bytes[8] ^= 0x80;
        }
        Some((bytes, *tag))
    }

    pub(super) fn rtcp(&self, report: &Report<'_>, ledger: &Ledger) -> Vec<u8> {
        let mut out = [0; 1200];
        let mut writer = RtcpWriter::new(&mut out);
        let sender = Ssrc(self.number);
        match *report {
            Report::Pli { section } => writer.pli(sender, self.egress(section)),
            Report::Fir { section, number } => writer.fir(sender, self.egress(section), number),
            Report::Nack { section, back, mask } => {
                let media = self.egress(section);
                let first = ledger.newest(media).wrapping_sub(back.into());
                let numbers = (0..16).filter(|bit| mask >> bit & 1 == 1).map(|bit| first.wrapping_add(bit));
                writer.nack(sender, media, &numbers.collect::<Vec<u16>>())
            }
            Report::Sender { section, encoding, ntp, timestamp } => {
                let at = usize::from(section) % self.sections.len();
                let ssrc = ssrc(self.number, at, usize::from(encoding) % ENCODINGS_MAX);
                let ntp = NtpTime(ntp);
                let info = SenderInfo { ntp, rtp_timestamp: timestamp, packet_count: 1, octet_count: 1 };
                writer.sender_report(ssrc, &info, &[])
            }
            Report::Receiver { section, lost, last_sr, delay } => {
                let block = ReportBlock {
                    ssrc: self.egress(section),
                    fraction_lost: lost,
                    cumulative_lost: lost.into(),
                    highest_sequence: u32::MAX - u32::from(lost),
                    jitter: delay,
                    last_sr,
                    delay_since_last_sr: delay,
                };
                writer.receiver_report(sender, &[block])
            }
            Report::ReferenceTime { receiver, ntp } => {
                let mut packet = vec![0x80, 207, 0, 4];
                packet.extend(receiver.to_be_bytes());
                packet.extend([4, 0, 0, 2]);
                packet.extend(ntp.to_be_bytes());
                return packet;
            }
            Report::Bye { section, encoding } => {
                let at = usize::from(section) % self.sections.len();
                writer.bye(&[ssrc(self.number, at, usize::from(encoding) % ENCODINGS_MAX)])
            }
            Report::Raw(bytes) => return bytes.to_vec(),
        };
        let len = writer.len();
        out[..len].to_vec()
    }

    /// The SSRC of what it watches in a section; of what it publishes, if it does.
    fn egress(&self, section: u8) -> Ssrc {
        let at = usize::from(section) % self.sections.len();
        match self.sections[at].role {
            SectionRole::Egress { ssrc, .. } => ssrc,
            SectionRole::Ingress { .. } => ssrc(self.number, at, 0),
        }
    }
}

fn ssrc(number: u32, section: usize, encoding: usize) -> Ssrc {
    Ssrc(0x1000_0000 + (number << 8) + (section as u32 * 16) + encoding as u32)
}

fn write_payload(out: &mut Vec<u8>, payload: &Payload<'_>, tag: Tag) {
    match *payload {
        Payload::Vp8Keyframe { picture_id, has_fields, width } => {
            write_descriptor(out, 0x90, picture_id, has_fields);
            let [low, high] = (width & 0x3fff).to_le_bytes();
            out.extend([0x10, 0, 0, 0x9d, 0x01, 0x2a, low, high, 0x68, 0x01]);
        }
        Payload::Vp8Frame { picture_id, has_fields } => {
            write_descriptor(out, 0x90, picture_id, has_fields);
            out.extend([0x11, 0, 0]);
        }
        Payload::Raw(bytes) => out.extend(&bytes[..bytes.len().min(64)]),
        Payload::Nothing => return,
    }
    out.extend(tag.bytes());
}

fn write_descriptor(out: &mut Vec<u8>, first: u8, picture_id: u16, has_fields: bool) {
    let [high, low] = (picture_id | 0x8000).to_be_bytes();
    let temporal = (picture_id as u8 & 3) << 6;
    match has_fields {
        true => out.extend([first, 0xf0, high, low, picture_id as u8, temporal]),
        false => out.extend([first, 0x80, low & 0x7f]),
    }
}

fn description(number: u32, shape: Shape) -> Description {
    let has = |bit: u8| shape.options >> bit & 1 == 1;
    let feedback = Feedback { nack: has(0), pli: has(1), fir: has(2), transport_cc: has(3), remb: has(4) };
    let format = |codec, payload_type: u8| Format {
        codec,
        profile: match codec {
            Codec::H264 => Profile::H264 { profile_level_id: 0x42e01f, packetization_mode: 1 },
            Codec::Vp9 | Codec::Av1 => Profile::Number(0),
            _ => Profile::Any,
        },
        payload_type: PayloadType(payload_type),
        rtx: (has(5) && codec != Codec::Opus).then_some(PayloadType(payload_type + 1)),
        red: None,
        clock_rate_hz: if codec == Codec::Opus { 48_000 } else { 90_000 },
        feedback,
    };
    let chosen = VIDEO.iter().enumerate().filter(|(bit, _)| shape.codecs >> bit & 1 == 1);
    let mut video: Vec<Format> = chosen.map(|(_, (codec, pt))| format(*codec, *pt)).collect();
    if video.is_empty() {
        video.push(format(Codec::Vp8, 96));
    }
    let mut sections = vec![section(number, 0, MediaKind::Video, video, shape)];
    if shape.has_audio {
        sections.push(section(number, 1, MediaKind::Audio, vec![format(Codec::Opus, OPUS)], shape));
    }
    Description {
        sections,
        cname: format!("peer{number}"),
        has_reduced_size_rtcp: has(6),
        allows_mixed_extensions: true,
    }
}

fn section(number: u32, at: usize, kind: MediaKind, formats: Vec<Format>, shape: Shape) -> Section {
    let mut extensions = ExtensionIds::default();
    for (bit, kind) in ExtensionKind::ALL.into_iter().enumerate() {
        if shape.extensions >> bit & 1 == 1 {
            extensions.set(kind, 1 + (shape.first_extension_id % 8) + bit as u8);
        }
    }
    let token = |text: &str| Token::new(text.as_bytes()).expect("a short word is a token");
    let has_rtx = formats.iter().any(|format| format.rtx.is_some());
    let role = if shape.publishes {
        let encodings = if kind == MediaKind::Video { usize::from(shape.encodings) % 4 } else { 0 };
        let rids = RIDS[..encodings].iter().map(|rid| Rid(token(rid))).collect();
        let announced = (shape.options >> 7 == 1).then(|| (ssrc(number, at, 0), None));
        SectionRole::Ingress { rids, ssrcs: announced.into_iter().collect() }
    } else {
        let media = ssrc(number, at, 0);
        SectionRole::Egress { ssrc: media, rtx_ssrc: has_rtx.then_some(Ssrc(media.0 ^ 0x8000_0000)) }
    };
    Section { mid: Mid(token(&at.to_string())), kind, role, formats, extensions }
}
