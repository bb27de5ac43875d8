//! A whole shard without its sockets: sans-IO and deterministic (D10).
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Instant;

use crate::command::{Envelope, Event};
use crate::counters::Counters;
use crate::id::ShardId;
use crate::time::WallClock;
use crate::transport::path::{Datagram, Egress};

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

/// One shard's transports, tracks and subscriptions.
#[derive(Debug)]
pub struct Engine;

#[allow(unused_variables, missing_docs, clippy::todo)]
impl Engine {
    pub fn new(config: EngineConfig, counters: Arc<Counters>) -> Self {
        todo!()
    }
    pub fn apply(&mut self, envelope: Envelope, now: Instant) {
        todo!()
    }
    pub fn receive(&mut self, datagram: Datagram<'_>, now: Instant) {
        todo!()
    }
    pub fn expire(&mut self, now: Instant) {
        todo!()
    }
    pub fn transmit(&mut self, egress: &mut impl Egress, now: Instant) {
        todo!()
    }
    pub fn next_deadline(&self) -> Option<Instant> {
        todo!()
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }
}
