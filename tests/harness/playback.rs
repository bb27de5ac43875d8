//! Clients that play a capture into the replay world, and that keep what a shard makes of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dataplane::command::Command;
use dataplane::id::TrackId;
use dataplane::media::format::MediaKind;
use dataplane::media::wish::Wish;
use dataplane::transport::Transport;
use dataplane::transport::negotiate::PeerRole;
use dataplane::wire::extension::Elements;
use dataplane::wire::rtcp::{RtcpPacket, packets};
use dataplane::wire::rtp::{RtpHeader, padding_len};

use crate::capture::Capture;
use crate::replay::{STUN_INTERVAL, stun};
use crate::world::{Client, World, client_address, transport_id};

/// A publisher that plays a capture once, or a viewer.
#[derive(Debug)]
pub struct PlaybackClient {
    address: SocketAddr,
    ufrag: String,
    /// What is still to be played.
    script: VecDeque<(Instant, Vec<u8>)>,
    transmits: VecDeque<Vec<u8>>,
    next_stun: Instant,
    stuns: u8,
    /// RTP that arrived, whole packets.
    pub received: Vec<Vec<u8>>,
    /// Keyframes that were asked for.
    pub keyframe_requests: usize,
}

impl PlaybackClient {
    fn new(index: usize, script: VecDeque<(Instant, Vec<u8>)>, now: Instant) -> Self {
        Self {
            address: client_address(index),
            ufrag: format!("playback{index:02}"),
            script,
            transmits: VecDeque::new(),
            next_stun: now,
            stuns: 0,
            received: Vec::new(),
            keyframe_requests: 0,
        }
    }
}

impl Client for PlaybackClient {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn receive(&mut self, _source: SocketAddr, bytes: &[u8], _now: Instant) {
        if let [128..192, 0..192 | 224.., ..] = bytes {
            self.received.push(bytes.to_vec());
        } else if let [128..192, 192..=223, ..] = bytes {
            let asks = |packet: &RtcpPacket<'_>| matches!(packet, RtcpPacket::Pli { .. });
            self.keyframe_requests += packets(bytes).into_iter().flatten().filter(asks).count();
        }
    }

    fn expire(&mut self, now: Instant) {
        if now >= self.next_stun {
            self.next_stun = now + STUN_INTERVAL;
            self.stuns = self.stuns.wrapping_add(1);
            self.transmits.push_back(stun::request(&self.ufrag, self.stuns));
        }
        while self.script.front().is_some_and(|(at, _)| *at <= now) {
            self.transmits.extend(self.script.pop_front().map(|(_, bytes)| bytes));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let media = self.script.front().map(|(at, _)| *at);
        media.into_iter().chain([self.next_stun]).min()
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }
}

/// A packet by its parts, padding taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The header.
    pub header: RtpHeader,
    /// The elements of the header extension: id and value.
    pub elements: Vec<(u8, Vec<u8>)>,
    /// The payload. Empty for a packet of nothing but padding.
    pub payload: Vec<u8>,
}

impl Parts {
    /// Takes a packet apart.
    pub fn of(bytes: &[u8]) -> Parts {
        let header = RtpHeader::parse(bytes).unwrap();
        let payload = &bytes[header.len..];
        let padding = if header.has_padding { padding_len(payload).unwrap() } else { 0 };
        let payload = payload[..payload.len() - padding].to_vec();
        let elements = header.extension.clone().map_or_else(Vec::new, |(profile, range)| {
            let elements = Elements::new(profile, &bytes[range]);
            elements.map(|(id, value)| (id, value.to_vec())).collect()
        });
        Parts { header, elements, payload }
    }
}

/// Plays `capture` to a viewer that negotiated what the publisher did. Gives what the viewer got, in the order
/// of its arrival.
pub fn play(capture: &Capture) -> Vec<Parts> {
    play_to(capture, capture)
}

/// Plays `capture` to a viewer that takes what the publisher of another one sends.
pub fn play_to(capture: &Capture, viewer: &Capture) -> Vec<Parts> {
    play_wishing(capture, viewer, &[]).0
}

/// As [`play_to`]; the viewer asks for other layers so long after the beginning. Gives how often a keyframe was asked
/// for, too.
pub fn play_wishing(capture: &Capture, viewer: &Capture, wishes: &[(Duration, Wish)]) -> (Vec<Parts>, usize) {
    play_over(1, capture, viewer, wishes)
}

/// As [`play_wishing`] with so many shards: if there is more than one, the viewer is on another than the publisher.
pub fn play_over(
    shards: u16,
    capture: &Capture,
    viewer: &Capture,
    wishes: &[(Duration, Wish)],
) -> (Vec<Parts>, usize) {
    let mut world = World::with_shards(7, shards);
    let kind = capture.describe(PeerRole::Publisher).unwrap().sections[0].kind;
    let track = world.add_track(1, kind);
    let start = world.now + 2 * STUN_INTERVAL;
    let script = capture.packets.iter().map(|packet| (start + packet.at, packet.bytes.clone())).collect();
    join(&mut world, capture, PeerRole::Publisher, script, (track, kind));
    let viewer = join(&mut world, viewer, PeerRole::Subscriber, VecDeque::new(), (track, kind));
    for (at, wish) in wishes {
        world.run_for((start + *at).saturating_duration_since(world.now));
        world.command(Command::RequestLayer { id: transport_id(viewer), mid: None, wish: *wish });
    }
    let last = capture.packets.last().map_or_else(Default::default, |packet| packet.at);
    world.run_for((start + last + 4 * STUN_INTERVAL).saturating_duration_since(world.now));
    let received = world.clients[viewer].received.iter().map(|bytes| Parts::of(bytes)).collect();
    (received, world.clients[0].keyframe_requests)
}

fn join(
    world: &mut World<PlaybackClient>,
    capture: &Capture,
    role: PeerRole,
    script: VecDeque<(Instant, Vec<u8>)>,
    track: (TrackId, MediaKind),
) -> usize {
    let client = PlaybackClient::new(world.clients.len(), script, world.now);
    let description = capture.describe(role).unwrap();
    let transport = Transport::replay(description, &client.ufrag, stun::PASSWORD, world.now);
    world.join(client, Box::new(transport), &[track]).unwrap()
}
