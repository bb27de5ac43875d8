//! A whole shard without its sockets: sans-IO and deterministic (D10).
//!
//! Time, randomness and packets are arguments. A turn of the shard is [`Engine::apply`] for each command,
//! [`Engine::receive`] for each datagram, [`Engine::expire`] and [`Engine::transmit`]; what is decided in
//! the first three leaves in the last. What concerns other shards leaves by [`Engine::poll_hops`] and comes by
//! [`Engine::receive_hop`].
//!
//! # Invariants
//!
//! - No address, SSRC or state is learnt from an unauthenticated packet (D13).
//! - A panic in a peer's turn closes that peer and no other (D14).
#![forbid(unsafe_code)]

mod apply;
mod binding;
mod demux;
mod egress;
mod feedback;
mod header;
mod hop;
mod ingress;
mod layers;
mod mesh;
mod occupancy;
mod peer;
mod recovery;
mod reports;
mod router;
mod streams;
mod timers;
mod tracks;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::hmac;
use slab::Slab;

use crate::command::{CloseReason, Envelope, Event};
use crate::counters::{Counters, DropReason, add};
use crate::id::{ShardId, Ssrc};
use crate::limits::{DATAGRAM_SIZE_BYTES_MAX, EVENTS_LEN_MAX};
use crate::time::WallClock;
use crate::transport::path::{Datagram, Egress};
use crate::wire::classify::{Protocol, classify};
use crate::wire::stun;
use demux::Demux;
pub use hop::{Hop, Outlets};
use mesh::Mesh;
pub use occupancy::Occupancy;
use peer::Peer;
use timers::Timers;
use tracks::Tracks;

/// What an engine is given at birth.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Which shard it is.
    pub shard: ShardId,
    /// Seeds what must be unpredictable: RTCP SSRCs, first sequence numbers.
    pub seed: u64,
    /// Wall-clock time, for sender reports.
    pub wall_clock: WallClock,
}

/// A peer's place in the shard's table. Reused after the peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct PeerIndex(usize);

/// A track's place in the shard's table. Reused after the track is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct TrackIndex(usize);

/// One shard's peers, tracks and subscriptions.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    random: Random,
    peers: Slab<Peer>,
    tracks: Tracks,
    demux: Demux,
    timers: Timers,
    /// Peers with something to send or a deadline to renew.
    dirty: Vec<PeerIndex>,
    events: VecDeque<Event>,
    mesh: Mesh,
    counters: Arc<Counters>,
    /// Opened payloads that have no place in a cache: retransmissions, and what is not bound yet.
    scratch: Box<[u8; DATAGRAM_SIZE_BYTES_MAX]>,
    /// The opened RTCP compound that is being read.
    compound: Vec<u8>,
}

impl Engine {
    /// A shard without peers.
    pub fn new(config: EngineConfig, counters: Arc<Counters>) -> Self {
        Self {
            config,
            random: Random::new(config.seed),
            peers: Slab::new(),
            tracks: Tracks::default(),
            demux: Demux::new(config.seed),
            timers: Timers::default(),
            dirty: Vec::new(),
            events: VecDeque::new(),
            mesh: Mesh::default(),
            counters,
            scratch: Box::new([0; DATAGRAM_SIZE_BYTES_MAX]),
            compound: Vec::new(),
        }
    }

    /// Carries out a command and answers it. Nobody may be waiting for the answer any more. A command that
    /// panics is counted and stays without an answer.
    pub fn apply(&mut self, envelope: Envelope, now: Instant) {
        let Envelope { command, reply } = envelope;
        match catch_unwind(AssertUnwindSafe(|| self.command(command, now))) {
            Ok(answer) => {
                let _ = reply.send(answer);
            }
            Err(_) => {
                add(&self.counters.panics_total, 1);
                tracing::error!("a command panicked");
            }
        }
    }

    /// Takes one datagram.
    pub fn receive(&mut self, datagram: Datagram<'_>, now: Instant) {
        add(&self.counters.packets_received_total, 1);
        add(&self.counters.bytes_received_total, datagram.bytes.len() as u64);
        if let Err(reason) = self.dispatch(datagram, now) {
            self.counters.note_drop(reason);
        }
    }

    /// Does what time alone brings about.
    pub fn expire(&mut self, now: Instant) {
        while let Some(index) = self.timers.pop_due(now) {
            self.guarded(index, |engine| {
                engine.peers[index.0].transport.expire(now);
                engine.note_transport_events(index, now);
                engine.ask_for_postponed_keyframes(index, now);
                engine.peers[index.0].estimator.expire(now);
                Ok(())
            })
            .unwrap_or_else(|reason| self.counters.note_drop(reason));
            self.mark_dirty(index);
        }
    }

    /// Writes everything that wants to leave, one peer after the other, so that what one peer gets stands
    /// back to back (D3).
    pub fn transmit(&mut self, egress: &mut impl Egress, now: Instant) {
        let mut at = 0;
        while let Some(index) = self.dirty.get(at).copied() {
            at += 1;
            let is_fine = self.guarded(index, |engine| {
                engine.flush(index, egress, now);
                Ok(())
            });
            if is_fine.is_err() || self.peers[index.0].is_gone {
                self.forget(index);
            } else {
                self.peers[index.0].is_dirty = false;
                self.renew_deadline(index, now);
            }
        }
        self.dirty.clear();
    }

    /// When [`Engine::expire`] must be called next, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What the control plane should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn dispatch(&mut self, datagram: Datagram<'_>, now: Instant) -> Result<(), DropReason> {
        let protocol = classify(datagram.bytes)?;
        let index = match protocol {
            Protocol::Stun => self.demux.by_ufrag(stun::local_ufrag(datagram.bytes)?),
            _ => self.demux.by_path(datagram.path),
        }?;
        if self.peers[index.0].closing.is_some() {
            return Err(DropReason::NotConnected);
        }
        self.guarded(index, |engine| match protocol {
            Protocol::Stun => engine.receive_stun(index, datagram, now),
            Protocol::Dtls => engine.receive_dtls(index, datagram, now),
            Protocol::Rtp => engine.receive_rtp(index, datagram, now),
            Protocol::Rtcp => engine.receive_rtcp(index, datagram, now),
        })
    }

    fn receive_stun(
        &mut self,
        index: PeerIndex,
        datagram: Datagram<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let peer = &mut self.peers[index.0];
        let change = peer.transport.handle_stun(datagram.path, datagram.bytes, now)?;
        if let Some(path) = change.removed {
            self.demux.remove_path(path, index);
        }
        if let Some(path) = change.added {
            self.demux.add_path(path, index);
        }
        self.note_transport_events(index, now);
        self.mark_dirty(index);
        Ok(())
    }

    fn receive_dtls(
        &mut self,
        index: PeerIndex,
        datagram: Datagram<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let outcome = self.peers[index.0].transport.handle_dtls(datagram.path, datagram.bytes, now);
        self.note_transport_events(index, now);
        self.mark_dirty(index);
        outcome
    }

    /// Runs one peer's turn so that a panic in it ends that peer and nothing else (D14).
    fn guarded(
        &mut self,
        index: PeerIndex,
        turn: impl FnOnce(&mut Self) -> Result<(), DropReason>,
    ) -> Result<(), DropReason> {
        if let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| turn(self))) {
            return outcome;
        }
        self.note_panic(index);
        Err(DropReason::Panicked)
    }

    /// A peer whose turn panicked is closed without another word: its state cannot be trusted.
    fn note_panic(&mut self, index: PeerIndex) {
        add(&self.counters.panics_total, 1);
        let peer = &mut self.peers[index.0];
        tracing::error!(transport = peer.id.0, "a panic in this transport's turn closes it");
        peer.is_live = false;
        peer.closing.get_or_insert(CloseReason::Panicked);
        self.mark_dirty(index);
    }

    fn mark_dirty(&mut self, index: PeerIndex) {
        let peer = &mut self.peers[index.0];
        if !peer.is_dirty {
            peer.is_dirty = true;
            self.dirty.push(index);
        }
    }

    fn push_event(&mut self, event: Event) {
        if self.events.len() < EVENTS_LEN_MAX {
            self.events.push_back(event);
        } else {
            add(&self.counters.events_dropped_total, 1);
        }
    }
}

/// A stream of numbers that the seed determines and that nobody can continue who sees some of them: peers
/// see SSRCs and first sequence numbers.
#[derive(Debug)]
struct Random {
    key: hmac::Key,
    drawn: u64,
}

impl Random {
    fn new(seed: u64) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes()), drawn: 0 }
    }

    fn number(&mut self) -> u64 {
        self.drawn += 1;
        let drawn = hmac::sign(&self.key, &self.drawn.to_be_bytes());
        let head = drawn.as_ref().first_chunk().expect("a SHA-256 tag has 32 bytes");
        u64::from_be_bytes(*head)
    }

    /// The first sequence number of an SSRC, the same on every shard with this seed: far enough from the wrap that
    /// no receiver mistakes the rollover counter.
    fn first_number(&self, ssrc: Ssrc) -> u64 {
        let drawn = hmac::sign(&self.key, &[b"ssrc".as_slice(), &ssrc.0.to_be_bytes()].concat());
        let head = drawn.as_ref().first_chunk().expect("a SHA-256 tag has 32 bytes");
        1 + u64::from_be_bytes(*head) % 32_000
    }
}
