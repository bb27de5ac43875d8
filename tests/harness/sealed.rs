//! A real WebRTC peer for the sealed world: str0m with its own ICE, DTLS and SRTP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dataplane::id::ShardId;
use dataplane::media::format::Codec;
use dataplane::transport::Transport;
use dataplane::transport::negotiate::{AnswerSettings, Negotiator, PeerRole};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::decoder::Decoder;
use crate::frames::{self, PACKETS_PER_FRAME, Piece};
use crate::world::{Client, Heard, Published};

/// A viewer that can show nothing for this long asks for a keyframe, and again after as long.
const PATIENCE: Duration = Duration::from_millis(300);

/// One received RTP packet.
#[derive(Clone, Debug)]
pub struct Received {
    /// The SSRC of its media.
    pub ssrc: u32,
    /// Its extended sequence number.
    pub number: u64,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Its payload.
    pub payload: Vec<u8>,
    /// When.
    pub at: Instant,
}

/// A client on str0m.
pub struct SealedClient {
    rtc: Rtc,
    address: SocketAddr,
    deadline: Instant,
    transmits: VecDeque<Vec<u8>>,
    video: Mid,
    /// Whether ICE and DTLS are done.
    pub is_connected: bool,
    /// Video that arrived.
    pub received: Vec<Received>,
    /// Keyframes that were asked for.
    pub keyframe_requests: u32,
    /// What it could show of what arrived.
    pub decoder: Decoder,
    /// Asks for a keyframe when it can show nothing.
    pub is_impatient: bool,
    asked_at: Option<Instant>,
    published: VecDeque<Published>,
    /// How many of `received` the oracle has been told.
    heard: usize,
    origin: u32,
    wants_keyframe: bool,
    next_number: u64,
    next_counter: u32,
    next_picture: u16,
    next_timestamp: u32,
}

/// A client whose offer has no answer yet.
pub struct Offering {
    rtc: Rtc,
    pending: SdpPendingOffer,
    video: Mid,
    address: SocketAddr,
    /// The offer.
    pub sdp: String,
}

impl Offering {
    /// A client at `address` that offers VP8.
    pub fn new(role: PeerRole, address: SocketAddr, now: Instant) -> Self {
        let provider = std::sync::Arc::new(str0m_aws_lc_rs::default_provider());
        let config = RtcConfig::new().set_rtp_mode(true).set_crypto_provider(provider);
        let mut rtc = config.clear_codecs().enable_opus(true, false).enable_vp8(true).build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        let direction = match role {
            PeerRole::Publisher => Direction::SendOnly,
            PeerRole::Subscriber => Direction::RecvOnly,
        };
        let mut change = rtc.sdp_api();
        let video = change.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        Self { rtc, pending, video, address, sdp: offer.to_sdp_string() }
    }

    /// Takes the answer; the client begins to connect.
    pub fn accept(mut self, answer: &str, now: Instant) -> SealedClient {
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        self.rtc.sdp_api().accept_answer(self.pending, answer).unwrap();
        let mut client = SealedClient {
            rtc: self.rtc,
            address: self.address,
            deadline: now,
            transmits: VecDeque::new(),
            video: self.video,
            is_connected: false,
            received: Vec::new(),
            keyframe_requests: 0,
            decoder: Decoder::default(),
            is_impatient: false,
            asked_at: None,
            published: VecDeque::new(),
            heard: 0,
            origin: u32::from(self.address.port()) << 16 | last_octets(self.address),
            wants_keyframe: true,
            next_number: 1_000,
            next_counter: 0,
            next_picture: 100,
            next_timestamp: 123_456,
        };
        client.expire(now);
        client
    }
}

impl SealedClient {
    /// Makes a client at `address`, lets the server at `server` answer its offer, and gives both ends. `edit`
    /// may spoil the offer on its way.
    pub fn connect(
        negotiator: &Negotiator,
        role: PeerRole,
        address: SocketAddr,
        server: SocketAddr,
        now: Instant,
        edit: impl Fn(String) -> String,
    ) -> (Self, Box<Transport>) {
        let mut offering = Offering::new(role, address, now);
        let settings = AnswerSettings { role, shard: ShardId(0), candidates: &[server] };
        let offer = edit(std::mem::take(&mut offering.sdp));
        let answered = negotiator.answer(&offer, &settings, now).unwrap();
        (offering.accept(&answered.sdp, now), answered.transport)
    }

    /// Publishes the next frame; a keyframe if one was asked for.
    pub fn send_frame(&mut self, now: Instant) {
        let size = std::mem::take(&mut self.wants_keyframe).then_some((640, 360));
        let payload_type = self.rtc.media(self.video).unwrap().remote_pts()[0];
        for packet in 0..PACKETS_PER_FRAME {
            let piece = Piece {
                origin: self.origin,
                counter: self.next_counter,
                packet: packet as u8,
                packets: PACKETS_PER_FRAME as u8,
                is_key: size.is_some(),
                temporal: 0,
            };
            let payload = frames::payload(Codec::Vp8, piece, self.next_picture, size.unwrap_or_default());
            let index = self.next_number;
            let stream = self.rtc.direct_api().stream_tx_by_mid(self.video, None).unwrap().ssrc();
            self.published.push_back(Published {
                section: 0,
                ssrc: *stream,
                index,
                payload: payload.clone(),
            });
            let write =
                RtpWrite::new(payload_type, self.next_number.into(), self.next_timestamp, now, payload)
                    .marker(packet + 1 == PACKETS_PER_FRAME)
                    .nackable(true);
            self.rtc.direct_api().stream_tx_by_mid(self.video, None).unwrap().write_rtp(write);
            self.next_number += 1;
            self.next_counter += 1;
            self.drain();
            self.expire(now);
        }
        self.next_picture += 1;
        self.next_timestamp = self.next_timestamp.wrapping_add(3_000);
    }

    /// The counter that the next frame begins with.
    pub fn next_counter(&self) -> u32 {
        self.next_counter
    }

    /// Begins to count elsewhere, so that two publishers can be told apart.
    pub fn count_from(&mut self, counter: u32) {
        self.next_counter = counter;
    }

    /// The counters of everything that arrived, sorted.
    pub fn counters(&self) -> Vec<u32> {
        let mut all: Vec<u32> =
            self.received.iter().filter_map(|packet| frames::counter(&packet.payload)).collect();
        all.sort_unstable();
        all
    }

    /// Whether str0m still considers the session alive.
    pub fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// Ends the session from this side.
    pub fn hang_up(&mut self) {
        let _ = self.rtc.close();
        self.drain();
    }

    /// Asks for a keyframe if packets come and nothing can be shown.
    fn ask_when_stuck(&mut self, now: Instant) {
        let has_waited = |since: Instant| now >= since + PATIENCE;
        let is_stuck = self.decoder.stuck_since().is_some_and(has_waited);
        if !self.is_impatient || !is_stuck || !self.asked_at.is_none_or(has_waited) {
            return;
        }
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(self.video, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
            self.asked_at = Some(now);
        }
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    return;
                }
                Ok(Output::Transmit(transmit)) => self.transmits.push_back(transmit.contents.into()),
                Ok(Output::Event(event)) => self.note(event),
                Err(_) => return,
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => self.is_connected = true,
            Event::KeyframeRequest(_) => {
                self.keyframe_requests += 1;
                self.wants_keyframe = true;
            }
            Event::RtpPacket(packet) => {
                let (number, payload) = (*packet.seq_no, packet.payload.to_vec());
                self.decoder.push(number, &payload, packet.timestamp);
                let ssrc = *packet.header.ssrc;
                let (timestamp, at) = (packet.header.timestamp, packet.timestamp);
                self.received.push(Received { ssrc, number, timestamp, payload, at });
            }
            _ => {}
        }
    }
}

impl Client for SealedClient {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn receive(&mut self, source: SocketAddr, bytes: &[u8], now: Instant) {
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.address, bytes) {
            let _ = self.rtc.handle_input(Input::Receive(now, receive));
            self.drain();
            self.ask_when_stuck(now);
        }
    }

    fn expire(&mut self, now: Instant) {
        let _ = self.rtc.handle_input(Input::Timeout(now));
        self.drain();
        self.deadline = self.deadline.max(now + Duration::from_millis(1));
    }

    fn next_deadline(&self) -> Option<Instant> {
        Some(self.deadline).filter(|_| self.rtc.is_alive())
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    fn poll_published(&mut self) -> Option<Published> {
        self.published.pop_front()
    }

    fn poll_heard(&mut self) -> Option<Heard> {
        let packet = self.received.get(self.heard)?;
        self.heard += 1;
        Some(Heard { ssrc: packet.ssrc, number: packet.number, payload: packet.payload.clone() })
    }
}

fn last_octets(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(address) => u32::from(*address.ip()) & 0xffff,
        SocketAddr::V6(_) => 0,
    }
}
