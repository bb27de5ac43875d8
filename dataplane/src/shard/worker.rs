//! The loop of a shard, on one screen. It knows neither what the engine does nor how datagrams move.
//!
//! # Invariants
//!
//! - Each step of a turn is bounded, so commands, packets and timers cannot starve each other.
//! - The clock is read once a turn; every step of the turn is told the same time.
//! - The loop waits only after it has said all events and sent all datagrams of the turn.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::counters::add;
use crate::engine::{Hop, Outlets};
use crate::id::ShardId;
use crate::limits::{COMMANDS_PER_TURN, MAILBOX_LEN_MAX, PACKETS_PER_TURN};
use crate::media::crossing::Rank;
use crate::shard::Wake;
use crate::shard::backend::Backend;
use crate::shard::clock;
use crate::shard::mesh::Port;
use crate::shard::shared::Shared;
use crate::shard::turn::Turn;

/// An engine between a mailbox and a backend.
pub(super) struct Worker<T, B> {
    pub(super) engine: T,
    pub(super) backend: B,
    pub(super) shared: Arc<Shared>,
    pub(super) wake: Wake,
    pub(super) port: Port<Hop>,
}

impl<T: Turn, B: Backend> Worker<T, B> {
    /// Turns until the shard is stopped. What was commanded before the stop is still done and sent.
    pub(super) fn run(&mut self) -> io::Result<()> {
        loop {
            let at = clock::read();
            let now = at.now;
            let is_last = self.shared.begin_turn(now);
            let commands = if is_last { MAILBOX_LEN_MAX } else { COMMANDS_PER_TURN };
            self.shared.mailbox.drain(commands, |envelope| self.engine.apply(envelope, now));
            self.receive_hops(now);
            self.backend.drain_received(PACKETS_PER_TURN, at, |datagram| self.engine.receive(datagram, now));
            self.engine.expire(now);
            // Before our own subscribers are served, so that the other shards serve theirs meanwhile.
            self.send_hops(now);
            self.engine.transmit(self.backend.tx(), now);
            self.say_events();
            if is_last {
                self.backend.submit();
                return Ok(());
            }
            let deadline = self.wait_until(now);
            self.backend.submit_and_wait(deadline)?;
            self.shared.mailbox.unpark();
        }
    }

    fn receive_hops(&mut self, now: Instant) {
        let waiting = self.port.drain(|from, hop| self.engine.receive_hop(from, hop, now));
        self.shared.counters.hops_waiting.store(waiting as u64, Relaxed);
    }

    fn send_hops(&mut self, now: Instant) {
        self.engine.poll_hops(&mut Ways(&mut self.port), now);
        add(&self.shared.counters.hop_wakes_total, self.port.ring());
    }

    fn say_events(&mut self) {
        let mut has_said = false;
        while let Some(event) = self.engine.poll_event() {
            has_said = true;
            if self.shared.events.push(event).is_err() {
                add(&self.shared.counters.events_dropped_total, 1);
            }
        }
        if has_said {
            (self.wake)();
        }
    }

    /// Parks the shard; if a command or a hop waits already, the wait is over before it begins.
    fn wait_until(&mut self, now: Instant) -> Option<Instant> {
        if !self.shared.mailbox.park_if(|| self.port.is_empty()) {
            return Some(now);
        }
        self.shared.end_turn();
        self.engine.next_deadline()
    }
}

/// The rings, as an engine writes to them.
struct Ways<'a>(&'a mut Port<Hop>);

impl Outlets for Ways<'_> {
    fn offer(&mut self, to: ShardId, rank: Rank, write: impl FnOnce(&mut Hop)) -> bool {
        self.0.offer(to, |len| rank.reserve(len), write)
    }
}
