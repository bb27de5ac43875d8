//! A client for the replay world: no encryption, no chance but the seed's, so that equal seeds give equal
//! traces. It publishes, watches, or both, in any codec, and may be hostile.

mod publishing;
mod role;
pub(crate) mod stun;
mod watching;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dataplane::id::Ssrc;
use dataplane::media::format::MediaKind;
use dataplane::time::NtpTime;
use dataplane::transport::Transport;
use dataplane::transport::description::Description;
use dataplane::wire::rtcp::{RtcpPacket, RtcpWriter, SenderInfo, packets};
use dataplane::wire::rtp::RtpHeader;

use crate::frames::PACKETS_PER_FRAME;
use crate::world::{Client, Heard, Published};
use publishing::Sending;
use watching::Receiving;

pub use role::{Encoding, Publishing, Role};

pub(crate) const STUN_INTERVAL: Duration = Duration::from_millis(500);
const NACK_INTERVAL: Duration = Duration::from_millis(40);
/// A viewer that can show nothing for this long asks for a keyframe, and again after as long.
const PATIENCE: Duration = Duration::from_millis(300);

/// A client without encryption.
#[derive(Debug)]
pub struct ReplayClient {
    address: SocketAddr,
    ufrag: String,
    sendings: Vec<Sending>,
    receivings: Vec<Receiving>,
    transmits: VecDeque<Vec<u8>>,
    published: VecDeque<Published>,
    heard: VecDeque<Heard>,
    next_stun: Instant,
    next_nack: Instant,
    stuns: u8,
    /// It does nothing any more by itself.
    pub is_silent: bool,
    /// RTP packets that arrived, whole.
    pub packets: Vec<Vec<u8>>,
    /// Sequence numbers that it was asked to send again.
    pub asked_for: Vec<u16>,
    /// Keyframes that were asked for.
    pub keyframe_requests: u32,
    /// SSRCs that were said goodbye to.
    pub farewells: Vec<Ssrc>,
    /// Sender reports that arrived: wall-clock time and RTP timestamp.
    pub sender_reports: Vec<(NtpTime, u32)>,
}

impl ReplayClient {
    /// A client named `index` and its transport.
    pub fn new(index: usize, address: SocketAddr, role: &Role, now: Instant) -> (Self, Box<Transport>) {
        let ufrag = format!("replay{index:04}");
        let description = role.description(index);
        let transport = Box::new(Transport::replay(description, &ufrag, stun::PASSWORD, now));
        let client = Self {
            address,
            ufrag,
            sendings: Sending::all(index, role),
            receivings: Receiving::all(index, role),
            transmits: VecDeque::new(),
            published: VecDeque::new(),
            heard: VecDeque::new(),
            next_stun: now,
            next_nack: now,
            stuns: 0,
            is_silent: false,
            packets: Vec::new(),
            asked_for: Vec::new(),
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
        let (client, _) = Self::new(index, address, &Role::default(), now);
        let transport = Box::new(Transport::replay(description, &client.ufrag, stun::PASSWORD, now));
        (client, transport)
    }

    /// Publishes one frame of each of the first `count` encodings of every video section.
    pub fn send_frame(&mut self, count: usize) {
        self.publish(MediaKind::Video, count);
    }

    /// Publishes one packet of every audio section.
    pub fn send_sound(&mut self) {
        self.publish(MediaKind::Audio, 1);
    }

    fn publish(&mut self, kind: MediaKind, count: usize) {
        for sending in self.sendings.iter_mut().filter(|it| it.kind() == kind && it.encoding < count) {
            sending.send_frame(&mut self.transmits, &mut self.published);
        }
    }

    /// As [`ReplayClient::send_frame`] of the first encoding; its packets arrive in `order`.
    pub fn send_frame_in_order(&mut self, order: [usize; PACKETS_PER_FRAME]) {
        let before = self.transmits.len();
        self.send_frame(1);
        let packets: Vec<Vec<u8>> = self.transmits.drain(before..).collect();
        self.transmits.extend(order.map(|at| packets[at].clone()));
    }

    /// Retransmissions of the newest `count` packets of the first encoding, as nobody has asked for them.
    pub fn repeat_newest(&mut self, count: u16) -> Vec<Vec<u8>> {
        let sending = &mut self.sendings[0];
        (1..=count).rev().filter_map(|age| sending.repeat(sending.newest().wrapping_sub(age - 1))).collect()
    }

    /// All video goes on under other SSRCs, from these numbers.
    pub fn restart(&mut self, number: u16) {
        self.videos().for_each(|sending| sending.restart(number));
    }

    /// All video leaves out numbers that it will never send.
    pub fn jump(&mut self, step: u16) {
        self.videos().for_each(|sending| sending.jump(step));
    }

    fn videos(&mut self) -> impl Iterator<Item = &mut Sending> {
        self.sendings.iter_mut().filter(|sending| sending.kind() == MediaKind::Video)
    }

    /// Lets the next frame of every encoding be a keyframe.
    pub fn want_keyframe(&mut self) {
        self.sendings.iter_mut().for_each(|sending| sending.wants_keyframe = true);
    }

    /// Publishes a packet that holds nothing but padding, on every encoding of video.
    pub fn send_padding(&mut self) {
        for sending in self.sendings.iter_mut().filter(|it| it.kind() == MediaKind::Video) {
            sending.send_padding(&mut self.transmits, &mut self.published);
        }
    }

    /// Reports that the next frame of each encoding is captured at `ntp` of this client's clock.
    pub fn send_sender_reports(&mut self, ntp: NtpTime) {
        let next: Vec<(Ssrc, u32)> =
            self.sendings.iter().map(|sending| (sending.ssrc, sending.timestamp)).collect();
        for (ssrc, rtp_timestamp) in next {
            let info = SenderInfo { ntp, rtp_timestamp, packet_count: 1, octet_count: 1 };
            self.send_rtcp(|writer| {
                writer.sender_report(ssrc, &info, &[]);
            });
        }
    }

    /// What arrived of the first video: sequence number, timestamp, payload.
    pub fn received(&self) -> &[(u16, u32, Vec<u8>)] {
        self.video().map_or(&[], |receiving| &receiving.received)
    }

    /// The widths of the pictures that arrived of the first video, in order, without repeats.
    pub fn widths(&self) -> Vec<u16> {
        self.video().map_or(Vec::new(), Receiving::widths)
    }

    /// The SSRC of the first video, once it arrives.
    pub fn media_ssrc(&self) -> Option<Ssrc> {
        self.video().filter(|video| !video.received.is_empty()).map(|video| video.ssrc)
    }

    /// The decoders of all video that it watches, by media section.
    pub fn decoders(&mut self) -> impl Iterator<Item = (usize, &mut crate::decoder::Decoder)> {
        let videos = self.receivings.iter_mut().filter(|it| it.kind == MediaKind::Video);
        videos.map(|receiving| (receiving.section, &mut receiving.decoder))
    }

    /// Asks for a keyframe of everything that it watches.
    pub fn send_pli(&mut self) {
        for media in self.watched() {
            self.send_rtcp(|writer| {
                writer.pli(Ssrc(1), media);
            });
        }
    }

    /// Says that it misses these packets of everything that it watches, whether it does or not.
    pub fn send_nack(&mut self, numbers: &[u16]) {
        for media in self.watched() {
            self.send_rtcp(|writer| {
                writer.nack(Ssrc(1), media, numbers);
            });
        }
    }

    /// Sends a datagram as it is.
    pub fn send(&mut self, bytes: Vec<u8>) {
        self.transmits.push_back(bytes);
    }

    fn watched(&self) -> Vec<Ssrc> {
        self.receivings.iter().map(|receiving| receiving.ssrc).collect()
    }

    fn video(&self) -> Option<&Receiving> {
        self.receivings.iter().find(|receiving| receiving.kind == MediaKind::Video)
    }

    fn send_rtcp(&mut self, write: impl FnOnce(&mut RtcpWriter<'_>)) {
        let mut out = [0; 1200];
        let mut writer = RtcpWriter::new(&mut out);
        write(&mut writer);
        let len = writer.len();
        self.transmits.push_back(out[..len].to_vec());
    }

    fn note_media(&mut self, bytes: &[u8], now: Instant) {
        let Ok(header) = RtpHeader::parse(bytes) else { return };
        self.packets.push(bytes.to_vec());
        let payload = if header.has_padding { &[] } else { &bytes[header.len..] };
        for receiving in &mut self.receivings {
            if let Some((number, payload)) = receiving.take(&header, payload, now) {
                let ssrc = receiving.ssrc.0;
                self.heard.push_back(Heard { ssrc, number, payload });
            }
        }
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
                    for sending in self.sendings.iter_mut().filter(|sending| sending.ssrc == media) {
                        sending.wants_keyframe = true;
                    }
                }
                RtcpPacket::Nack { media, entries, .. } => {
                    self.asked_for.extend(entries.clone());
                    for sending in self.sendings.iter_mut().filter(|sending| sending.ssrc == media) {
                        self.transmits.extend(entries.clone().filter_map(|number| sending.repeat(number)));
                    }
                }
                _ => {}
            }
        }
    }
}

impl Client for ReplayClient {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn receive(&mut self, _source: SocketAddr, bytes: &[u8], now: Instant) {
        match bytes {
            [128..=191, 192..=223, ..] => self.note_rtcp(bytes),
            [128..=191, ..] => self.note_media(bytes, now),
            _ => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        if now >= self.next_stun {
            self.next_stun = now + STUN_INTERVAL;
            self.stuns = self.stuns.wrapping_add(1);
            self.transmits.push_back(stun::request(&self.ufrag, self.stuns));
        }
        if now >= self.next_nack {
            self.next_nack = now + NACK_INTERVAL;
            let asks: Vec<_> =
                self.receivings.iter_mut().map(|it| (it.ssrc, it.take_missing(), it.is_stuck(now))).collect();
            for (media, missing, is_stuck) in asks {
                if !missing.is_empty() {
                    self.send_rtcp(|writer| {
                        writer.nack(Ssrc(1), media, &missing);
                    });
                }
                if is_stuck {
                    self.send_rtcp(|writer| {
                        writer.pli(Ssrc(1), media);
                    });
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        (!self.is_silent).then(|| self.next_stun.min(self.next_nack))
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    fn poll_published(&mut self) -> Option<Published> {
        self.published.pop_front()
    }

    fn poll_heard(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }
}
