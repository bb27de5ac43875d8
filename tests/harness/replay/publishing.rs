//! One encoding that a replay client publishes, and what it has sent of it.

use std::collections::VecDeque;

use dataplane::id::{PayloadType, Ssrc};
use dataplane::media::format::{Codec, Format, MediaKind};
use dataplane::wire::extension::{ExtensionWriter, Form};
use dataplane::wire::rtp::{FIXED_HEADER_LEN, set_extension_bit, set_padding_bit, write_header};

use super::role::{self, AUDIO_LEVEL_ID, Encoding, MID_ID, REPAIRED_RID_ID, RID_ID, Role, TRANSPORT_CC_ID};
use crate::frames::{self, PACKETS_PER_FRAME, Piece};
use crate::world::Published;

/// Packets kept for retransmission.
const SENT_MAX: usize = 512;
/// The temporal layers of VP8, frame by frame from a keyframe on (`L1T3`).
const TEMPORAL: [u8; 4] = [0, 2, 1, 2];

#[derive(Debug)]
pub(super) struct Sending {
    pub(super) encoding: usize,
    pub(super) ssrc: Ssrc,
    pub(super) timestamp: u32,
    pub(super) wants_keyframe: bool,
    section: usize,
    shape: Encoding,
    format: Format,
    rtx: Option<Ssrc>,
    has_transport_cc: bool,
    origin: u32,
    /// Extended, from not far below a wrap.
    number: u64,
    counter: u32,
    rtx_number: u16,
    transport_number: u16,
    picture: u16,
    /// The place of the newest frame in [`TEMPORAL`].
    in_group: usize,
    sent: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    number: u16,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

impl Sending {
    pub(super) fn all(index: usize, role: &Role) -> Vec<Self> {
        let mut all = Vec::new();
        for (section, publishing) in role.publishes.iter().enumerate() {
            for (encoding, shape) in publishing.encodings.iter().enumerate() {
                let ssrc = role::media_ssrc(index, section, encoding);
                all.push(Self {
                    encoding,
                    ssrc,
                    timestamp: 1_000_000 * encoding as u32,
                    wants_keyframe: true,
                    section,
                    shape: *shape,
                    format: role::format(index, publishing.codec),
                    rtx: role.has_rtx.then(|| role::rtx_ssrc(index, section, encoding)),
                    has_transport_cc: role.has_transport_cc,
                    origin: ssrc.0,
                    number: 65_000 + encoding as u64,
                    counter: 0,
                    rtx_number: 0,
                    transport_number: (section * 20_000 + encoding * 5_000) as u16,
                    picture: 50 * encoding as u16,
                    in_group: 0,
                    sent: VecDeque::new(),
                });
            }
        }
        all
    }

    pub(super) fn kind(&self) -> MediaKind {
        role::kind_of(self.format.codec)
    }

    pub(super) fn send_frame(
        &mut self,
        transmits: &mut VecDeque<Vec<u8>>,
        published: &mut VecDeque<Published>,
    ) {
        let is_video = self.kind() == MediaKind::Video;
        let is_key = std::mem::take(&mut self.wants_keyframe) || !is_video;
        let packets = if is_video { PACKETS_PER_FRAME } else { 1 } as u8;
        self.in_group = if is_key { 0 } else { (self.in_group + 1) % TEMPORAL.len() };
        let temporal = if self.format.codec == Codec::Vp8 { TEMPORAL[self.in_group] } else { 0 };
        for packet in 0..packets {
            let (origin, counter) = (self.origin, self.counter);
            let piece = Piece { origin, counter, packet, packets, is_key, temporal };
            let payload = frames::payload(self.format.codec, piece, self.picture, self.shape.size);
            self.counter = self.counter.wrapping_add(1);
            self.push(payload, packet + 1 == packets, transmits, published);
        }
        self.picture = self.picture.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(if is_video { 3_000 } else { 960 });
    }

    pub(super) fn send_padding(
        &mut self,
        transmits: &mut VecDeque<Vec<u8>>,
        published: &mut VecDeque<Published>,
    ) {
        self.push(Vec::new(), false, transmits, published);
    }

    fn push(
        &mut self,
        payload: Vec<u8>,
        marker: bool,
        transmits: &mut VecDeque<Vec<u8>>,
        published: &mut VecDeque<Published>,
    ) {
        let (section, ssrc, index) = (self.section, self.ssrc.0, self.number);
        published.push_back(Published { section, ssrc, index, payload: payload.clone() });
        let sent = Sent { number: self.number as u16, timestamp: self.timestamp, marker, payload };
        self.number += 1;
        transmits.push_back(self.packet(&sent));
        self.sent.push_back(sent);
        if self.sent.len() > SENT_MAX {
            self.sent.pop_front();
        }
    }

    /// Goes on under another SSRC, from another number, with another picture, as after a restart of its encoder.
    pub(super) fn restart(&mut self, number: u16) {
        // Never one that was used before: its numbers would be nonces used twice.
        self.ssrc = Ssrc(self.ssrc.0 + 0x0010_0000);
        self.rtx = self.rtx.map(|ssrc| Ssrc(ssrc.0 + 0x0010_0000));
        self.number = u64::from(number);
        self.timestamp = self.timestamp.wrapping_add(u32::from(number) * 65_537);
        self.wants_keyframe = true;
        self.sent.clear();
    }

    /// Leaves out numbers that it will never send.
    pub(super) fn jump(&mut self, step: u16) {
        self.number += u64::from(step);
    }

    /// The newest number.
    pub(super) fn newest(&self) -> u16 {
        (self.number - 1) as u16
    }

    /// What goes out for a NACK, if it is still there.
    pub(super) fn repeat(&mut self, number: u16) -> Option<Vec<u8>> {
        let at = self.sent.iter().position(|sent| sent.number == number)?;
        let sent = self.sent.remove(at)?;
        let bytes = match (self.rtx, self.format.rtx) {
            (Some(ssrc), Some(payload_type)) if !sent.payload.is_empty() => {
                self.retransmission(&sent, ssrc, payload_type)
            }
            _ => self.packet(&sent),
        };
        self.sent.insert(at, sent);
        Some(bytes)
    }

    fn packet(&mut self, sent: &Sent) -> Vec<u8> {
        let mut out = vec![0; 1500];
        let payload_type = self.format.payload_type;
        write_header(&mut out, sent.marker, payload_type, sent.number, sent.timestamp, self.ssrc);
        self.finish(out, RID_ID, &sent.payload)
    }

    fn retransmission(&mut self, sent: &Sent, ssrc: Ssrc, payload_type: PayloadType) -> Vec<u8> {
        let mut out = vec![0; 1500];
        self.rtx_number = self.rtx_number.wrapping_add(1);
        write_header(&mut out, sent.marker, payload_type, self.rtx_number, sent.timestamp, ssrc);
        self.finish(out, REPAIRED_RID_ID, &[&sent.number.to_be_bytes()[..], &sent.payload].concat())
    }

    fn finish(&mut self, mut out: Vec<u8>, rid_id: u8, payload: &[u8]) -> Vec<u8> {
        let mut writer = ExtensionWriter::new(&mut out[FIXED_HEADER_LEN..], Form::OneByte);
        writer.push(MID_ID, self.section.to_string().as_bytes());
        if !self.shape.rid.is_empty() {
            writer.push(rid_id, self.shape.rid.as_bytes());
        }
        if self.has_transport_cc {
            writer.push(TRANSPORT_CC_ID, &self.transport_number.to_be_bytes());
            self.transport_number = self.transport_number.wrapping_add(1);
        }
        if self.kind() == MediaKind::Audio {
            writer.push(AUDIO_LEVEL_ID, &[self.counter as u8 & 0x7f]);
        }
        let len = FIXED_HEADER_LEN + writer.finish();
        set_extension_bit(&mut out);
        out.truncate(len);
        out.extend(payload);
        if payload.is_empty() {
            set_padding_bit(&mut out);
            out.extend([0, 0, 0, 4]);
        }
        out
    }
}
